"""A zip that depends on names and contents only, written in one pass.

Not by zipfile, which cannot take a file over, packed as it is, from an older
zip. The format's figures are those of PKWARE's APPNOTE.TXT 6.3.10, by section.
"""

import errno
import hashlib
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from keras_remote.constants import MIB

_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_DESCRIPTOR = struct.Struct("<4s3L")  # 4.3.9
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR_64 = struct.Struct("<4sLQL")  # 4.3.15
_END = struct.Struct("<4s4H2LH")  # 4.3.16

_VERSION = 20  # 4.4.3: deflated, with folders
_VERSION_64 = 45
_MADE_BY = 3 << 8 | _VERSION  # 4.4.2: Unix, so that the mode is read
_FLAGS = 1 << 3 | 1 << 11  # 4.4.4: sizes follow the data, names are UTF-8
_DEFLATED = 8
_TIME, _DATE = 0, 1 << 5 | 1  # 4.4.6: 1 January 1980, the first there is
_DIRECTORY = 0x10  # 4.4.15: MS-DOS knows folders by it
_MAX_ENTRIES = 0xFFFF  # 4.4.22: more are counted in the zip64 record


class Record(NamedTuple):
  """Where and how one file lies in a zip.

  Attributes:
    start: bytes before its local header.
    length: bytes of header, data and descriptor.
    crc: CRC-32 of the content.
    size: bytes of the content.
    packed: bytes of the compressed content.
  """

  start: int
  length: int
  crc: int
  size: int
  packed: int


class ZipWriter:
  """Writes files in the order given; `finish` gives the zip's digest."""

  def __init__(self, file: IO[bytes]) -> None:
    self._file = file
    self._digest = hashlib.sha256()
    self._central: list[bytes] = []
    self.size = 0

  def add(self, name: str, source: IO[bytes], *, executable: bool) -> Record:
    """Packs what is left of `source`; `name` ends with `/` for a folder."""
    start = self.size
    encoded = name.encode()
    self._write(_local_header(encoded) + encoded)
    deflate = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
    crc = size = 0
    before = self.size
    for chunk in _chunks(source):
      crc = zlib.crc32(chunk, crc)
      size += len(chunk)
      self._write(deflate.compress(chunk))
    self._write(deflate.flush())
    packed = self.size - before
    self._write(_DESCRIPTOR.pack(b"PK\x07\x08", crc, packed, size))
    record = Record(start, self.size - start, crc, size, packed)
    self._enter(encoded, record, executable)
    return record

  def copy(
    self, name: str, old: IO[bytes], record: Record, *, executable: bool
  ) -> Record:
    """Takes a file over from an older zip, where it has the same name."""
    start = self.size
    old.seek(record.start)
    for chunk in _chunks(old, record.length):
      self._write(chunk)
    if self.size - start != record.length:
      raise OSError(errno.EIO, f"the last zip is cut short at {name}")
    moved = record._replace(start=start)
    self._enter(name.encode(), moved, executable)
    return moved

  def finish(self) -> str:
    """Writes the directory and gives the SHA-256 of the whole zip, in hex."""
    start, count = self.size, len(self._central)
    self._write(b"".join(self._central))
    length, end = self.size - start, self.size
    if count > _MAX_ENTRIES:
      self._write(
        _END_64.pack(
          b"PK\x06\x06",
          _END_64.size - 12,
          _VERSION_64,
          _VERSION_64,
          *(0, 0, count, count, length, start),
        )
        + _LOCATOR_64.pack(b"PK\x06\x07", 0, end, 1)
      )
    count = min(count, _MAX_ENTRIES)
    self._write(_END.pack(b"PK\x05\x06", 0, 0, count, count, length, start, 0))
    return self._digest.hexdigest()

  def _write(self, data: bytes) -> None:
    self._file.write(data)
    self._digest.update(data)
    self.size += len(data)

  def _enter(self, name: bytes, record: Record, executable: bool) -> None:
    if name.endswith(b"/"):
      attributes = (stat.S_IFDIR | 0o755) << 16 | _DIRECTORY
    else:
      attributes = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    header = _CENTRAL.pack(
      b"PK\x01\x02",
      *(_MADE_BY, _VERSION, _FLAGS, _DEFLATED, _TIME, _DATE),
      *(record.crc, record.packed, record.size, len(name), 0, 0, 0, 0),
      *(attributes, record.start),
    )
    self._central.append(header + name)


def _local_header(name: bytes) -> bytes:
  return _LOCAL.pack(
    b"PK\x03\x04",
    *(_VERSION, _FLAGS, _DEFLATED, _TIME, _DATE, 0, 0, 0, len(name), 0),
  )


def _chunks(source: IO[bytes], length: int | None = None) -> Iterator[bytes]:
  """The stream's bytes in pieces of 1 MiB, up to `length` bytes or its end."""
  left = length
  while left is None or left > 0:
    chunk = source.read(MIB if left is None else min(left, MIB))
    if not chunk:
      return
    if left is not None:
      left -= len(chunk)
    yield chunk
