"""What is sent, as pieces that several threads read at once."""

import base64
import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from typing import BinaryIO

import google_crc32c

from keras_remote.constants import MIB
from keras_remote.storage.store import Source


class Piece:
  """Bytes [start, start + size) of a source, to be read by a client."""

  def __init__(
    self, read_at: Callable[[int, int], bytes], start: int, size: int
  ) -> None:
    self._read_at = read_at
    self._start = start
    self._at = 0
    self.size = size

  def split(self, size: int) -> "list[Piece]":
    """Pieces of so many bytes, the last one of what is left."""
    return [
      Piece(self._read_at, self._start + at, min(size, self.size - at))
      for at in range(0, self.size, size)
    ]

  def tell(self) -> int:
    return self._at

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}
    self._at = base[whence] + offset
    return self._at

  def read(self, size: int = -1) -> bytes:
    left = self.size - self._at
    data = self._read_at(
      left if size < 0 else min(size, left), self._start + self._at
    )
    self._at += len(data)
    return data


@contextlib.contextmanager
def as_piece(data: Source) -> Generator[Piece]:
  """What is left of the data; a stream is copied to disk for this block."""
  if isinstance(data, bytes):
    yield Piece(lambda size, at: data[at : at + size], 0, len(data))
    return
  try:
    data.flush()
    data.fileno()
    start = data.tell()
  except OSError:  # In memory, or a pipe.
    with tempfile.TemporaryFile() as copy:
      shutil.copyfileobj(data, copy, MIB)
      copy.flush()
      yield _of_file(copy.fileno(), 0)
  else:
    yield _of_file(data.fileno(), start)


def checksum(file: BinaryIO) -> str:
  """CRC32C of the whole file, in Cloud Storage's spelling."""
  found = google_crc32c.Checksum()
  file.seek(0)
  while data := file.read(MIB):
    found.update(data)
  return base64.b64encode(found.digest()).decode()


def _of_file(descriptor: int, start: int) -> Piece:
  size = os.fstat(descriptor).st_size - start
  return Piece(functools.partial(os.pread, descriptor), start, size)
