"""A store in a bucket of Google Cloud Storage: the one importer of its client.

Retries of requests happen here: they are the client library's own.
"""

import base64
import contextlib
import datetime
import functools
import io
import itertools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, cast

import google_crc32c
import requests
from google.api_core import exceptions as api
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from keras_remote import clock, credentials, errors
from keras_remote.constants import MIB
from keras_remote.home import DAY
from keras_remote.storage.store import Entry, Source, check_key

# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = (10.0, 60.0)
# Seconds for which a request that fails is made again.
PATIENCE = 120.0
# What is larger than so many bytes goes in parallel.
LARGE = 32 * MIB
_PIECE = 8 * MIB
_WORKERS = 4
# As many objects as can be composed into one.
_MOST_PARTS = 32
# The store's own folder: parts of what is being written.
_PARTIAL = ".partial/"
# Metadata of ours: whose creation it was, so that a retry knows its own.
_WRITER = "keras-remote-writer"
# As Google's own client: an address that needs no log-in.
_EMULATOR = "STORAGE_EMULATOR_HOST"
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class GcsStore:
  """Objects of a bucket, below a prefix: see `Store` for the contract.

  Args:
    uri: `gs://bucket`, or `gs://bucket/prefix`.
    patience: seconds for which a request that fails is made again.
    now: the time, by which what dead writers left is old.

  Raises:
    ConfigError: it is no such address.
    CredentialsError: nobody is logged in.
  """

  def __init__(
    self,
    uri: str,
    *,
    patience: float = PATIENCE,
    now: Callable[[], datetime.datetime] = clock.now,
  ) -> None:
    name, _, prefix = uri.removeprefix("gs://").strip("/").partition("/")
    if not uri.startswith("gs://") or not _BUCKET_NAME.fullmatch(name):
      raise errors.ConfigError(
        f"'{uri}' is no bucket's address: write gs://bucket or gs://bucket/team"
      )
    self._name = name
    self._prefix = f"{prefix}/" if prefix else ""
    self._now = now
    self._retry = DEFAULT_RETRY.with_timeout(patience)
    emulator = os.environ.get(_EMULATOR)
    self._bucket = _client(os.getpid(), emulator).bucket(name)

  @property
  def uri(self) -> str:
    return f"gs://{self._name}/{self._prefix}".rstrip("/")

  def read(self, key: str) -> bytes:
    blob = self._blob(key)
    with self._translated(key, absent=True):
      return blob.download_as_bytes(checksum="crc32c", **self._patient)

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    blob = self._blob(key)
    if end is not None and end <= start:
      return b""
    last = None if end is None else end - 1
    with self._translated(key, absent=True):
      try:
        return blob.download_as_bytes(start=start, end=last, **self._patient)
      except api.RequestRangeNotSatisfiable:  # It ends before.
        return b""

  def open(self, key: str) -> BinaryIO:
    blob = self._blob(key)
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(MIB))
    with contextlib.ExitStack() as undo, self._translated(key, absent=True):
      undo.callback(copy.close)
      # One request for most: what is larger shows by filling this one.
      with contextlib.suppress(api.RequestRangeNotSatisfiable):  # Empty.
        blob.download_to_file(copy, end=LARGE - 1, **self._patient)
      if copy.tell() == LARGE:
        self._download_rest(blob, copy)
      _check(copy, blob)
      undo.pop_all()
    return copy

  def write(self, key: str, data: Source) -> None:
    blob = self._blob(key)
    with self._translated(key):
      self._upload(blob, data, None)

  def create(
    self, key: str, data: Source, metadata: Mapping[str, str] | None = None
  ) -> bool:
    blob = self._blob(key)
    writer = secrets.token_hex(8)
    blob.metadata = {**(metadata or {}), _WRITER: writer}
    with self._translated(key):
      try:
        self._upload(blob, data, 0)
      except api.PreconditionFailed:
        # Perhaps our own: the answer to an earlier try was lost.
        with contextlib.suppress(api.NotFound):
          blob.reload(**self._patient)
          return (blob.metadata or {}).get(_WRITER) == writer
        return False
    return True

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    folder, slash, _ = prefix.rpartition("/")
    if slash:
      check_key(folder)
    own = None if prefix else _PARTIAL
    found = self._entries(prefix, limit)
    return itertools.islice(
      (entry for entry in found if not (own and entry.key.startswith(own))),
      limit,
    )

  def delete(self, key: str) -> None:
    blob = self._blob(key)
    with contextlib.suppress(errors.ObjectNotFoundError):
      with self._translated(key, absent=True):
        blob.delete(**self._patient)

  def _blob(self, key: str) -> storage.Blob:
    check_key(key)
    return self._bucket.blob(self._prefix + key)

  @property
  def _patient(self) -> dict[str, Any]:
    return {"retry": self._retry, "timeout": _TIMEOUT}

  def _entries(self, prefix: str, limit: int | None) -> Iterator[Entry]:
    with self._translated(prefix or "its top"):
      for blob in self._bucket.list_blobs(
        prefix=self._prefix + prefix,
        page_size=limit,
        fields="items(name,size,metadata),nextPageToken",
        **self._patient,
      ):
        metadata = dict(blob.metadata or {})
        metadata.pop(_WRITER, None)
        key = blob.name.removeprefix(self._prefix)
        yield Entry(key, int(blob.size or 0), metadata)

  def _upload(
    self, blob: storage.Blob, data: Source, generation: int | None
  ) -> None:
    """Stores the object whole; `generation` 0 is only where there is none."""
    with contextlib.ExitStack() as stack:
      piece = _piece(data, stack)
      if piece.size > LARGE:
        self._compose(blob, piece, generation)
      else:
        self._send(blob, piece, generation)

  def _send(
    self, blob: storage.Blob, piece: "_Piece", generation: int | None = None
  ) -> None:
    blob.chunk_size = _PIECE  # Else 100 MB are in memory.
    blob.upload_from_file(
      piece,
      size=piece.size,
      checksum="crc32c",
      if_generation_match=generation,
      **self._patient,
    )

  def _compose(
    self, blob: storage.Blob, whole: "_Piece", generation: int | None
  ) -> None:
    """Uploads pieces in parallel, which become one object at once."""
    if generation == 0 and blob.exists(**self._patient):
      # Nobody sends a gigabyte to be told that.
      raise api.PreconditionFailed("it is there")
    self._sweep()
    pieces = whole.split(max(LARGE // 2, -(-whole.size // _MOST_PARTS)))
    folder = f"{self._prefix}{_PARTIAL}{secrets.token_hex(8)}/"
    parts = [
      self._bucket.blob(f"{folder}{number:02}")
      for number in range(len(pieces))
    ]

    with ThreadPoolExecutor(_WORKERS) as pool:
      try:
        list(pool.map(self._send, parts, pieces))
        blob.compose(parts, if_generation_match=generation, **self._patient)
      finally:
        list(pool.map(self._remove, parts))

  def _remove(self, part: storage.Blob) -> None:
    # What stays is swept after a day.
    with contextlib.suppress(api.GoogleAPIError, requests.RequestException):
      part.delete(**self._patient)

  def _sweep(self) -> None:
    """Removes what writers that died had half-written, after a day."""
    oldest = self._now() - datetime.timedelta(seconds=DAY)
    for part in self._bucket.list_blobs(
      prefix=self._prefix + _PARTIAL, **self._patient
    ):
      if part.time_created and part.time_created < oldest:
        self._remove(part)

  def _download_rest(self, blob: storage.Blob, copy: BinaryIO) -> None:
    """What follows the first LARGE bytes, of the very same object."""
    pinned = self._bucket.blob(blob.name, generation=blob.generation)
    pinned.reload(**self._patient)
    size = int(pinned.size or 0)
    copy.flush()

    def fetch(start: int) -> None:
      piece = self._bucket.blob(blob.name, generation=blob.generation)
      data = piece.download_as_bytes(
        start=start, end=min(start + _PIECE, size) - 1, **self._patient
      )
      os.pwrite(copy.fileno(), data, start)

    with ThreadPoolExecutor(_WORKERS) as pool:
      list(pool.map(fetch, range(LARGE, size, _PIECE)))

  @contextlib.contextmanager
  def _translated(
    self, key: str, *, absent: bool = False
  ) -> Generator[None]:
    """Raises our errors for the client's.

    Args:
      absent: whether what is not found may be the object.
    """
    where = f"the store {self.uri} failed at {key}: "
    try:
      yield
    except api.NotFound as error:
      if absent and "bucket does not exist" not in str(error):
        raise errors.ObjectNotFoundError(
          f"the store {self.uri} holds no '{key}'"
        ) from error
      raise errors.StoreError(
        f"{where}there is no bucket {self._name}; make it with `gcloud storage "
        f"buckets create gs://{self._name}`, or choose another one with --store"
      ) from error
    except (api.Forbidden, api.Unauthorized) as error:
      raise errors.StoreAccessError(
        f"{where}whoever is logged in may not do this ({_message(error)}); who "
        f"owns the bucket can allow it: `gcloud storage buckets "
        f"add-iam-policy-binding gs://{self._name} --member=user:YOU "
        "--role=roles/storage.objectUser`"
      ) from error
    except credentials.LOGGED_OUT as error:
      raise errors.StoreAccessError(f"{where}{credentials.CURE}") from error
    except (
      api.GoogleAPIError,
      credentials.GoogleAuthError,
      requests.RequestException,
      DataCorruption,
      OSError,
    ) as error:
      raise errors.StoreError(f"{where}{_message(error)}") from error


class _Piece(io.RawIOBase):
  """Bytes [start, start + size) of a file, whose position stays as it is."""

  def __init__(self, descriptor: int, start: int, size: int) -> None:
    super().__init__()
    self._descriptor = descriptor
    self._start = start
    self._at = 0
    self.size = size

  def split(self, size: int) -> "list[_Piece]":
    """Pieces of so many bytes, the last one of what is left."""
    return [
      _Piece(
        self._descriptor, self._start + at, min(size, self.size - at)
      )
      for at in range(0, self.size, size)
    ]

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def tell(self) -> int:
    return self._at

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}
    self._at = base[whence] + offset
    return self._at

  def readinto(self, buffer: Any) -> int:
    count = min(len(buffer), self.size - self._at)
    data = os.pread(self._descriptor, count, self._start + self._at)
    buffer[: len(data)] = data
    self._at += len(data)
    return len(data)


def _piece(data: Source, stack: contextlib.ExitStack) -> _Piece:
  """What is left of the data, as a file; a copy is closed with the stack."""
  if isinstance(data, bytes):
    data = io.BytesIO(data)
  try:
    data.flush()
    descriptor, start = data.fileno(), data.tell()
  except OSError:  # In memory, or a pipe.
    copy = stack.enter_context(tempfile.TemporaryFile())
    shutil.copyfileobj(data, copy, MIB)
    copy.flush()
    descriptor, start = copy.fileno(), 0
  return _Piece(descriptor, start, os.fstat(descriptor).st_size - start)


def _check(copy: BinaryIO, blob: storage.Blob) -> None:
  """Compares what came with the object's checksum, and rewinds.

  Raises:
    StoreError: they differ.
  """
  checksum = google_crc32c.Checksum()
  copy.seek(0)
  while piece := copy.read(MIB):
    checksum.update(piece)
  found = base64.b64encode(checksum.digest()).decode()
  if copy.tell() and blob.crc32c != found:
    raise errors.StoreError(f"{blob.name} was damaged on its way: try again")
  copy.seek(0)


def _message(error: Exception) -> str:
  # With the request in front of it, and its address.
  text = getattr(error, "message", None) or str(error) or type(error).__name__
  return text.splitlines()[0]


@functools.cache
def _client(process: int, emulator: str | None) -> storage.Client:
  """The one client of a process: it keeps connections, which no fork shares."""
  found = None if emulator else credentials.google_credentials()
  return storage.Client(project=None, credentials=found)
