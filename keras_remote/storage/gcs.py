"""A store in a bucket of Google Cloud Storage.

Retries of requests happen here: they are the client library's own.
"""

import contextlib
import datetime
import io
import itertools
import os
import secrets
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

import requests
from google.api_core import exceptions as api
from google.cloud import storage

from keras_remote import clock, credentials, errors
from keras_remote.constants import MIB
from keras_remote.home import DAY
from keras_remote.storage.client import (
  FAILURES,
  PATIENCE,
  TIMEOUT,
  client,
  message,
  patient,
)
from keras_remote.storage.piece import Piece, as_piece, checksum
from keras_remote.storage.store import Entry, Source, check_key, is_bucket

# Looks at an object that others write too.
_EXCHANGES = 5
# What is larger than so many bytes goes in parallel.
LARGE = 32 * MIB
# Each of the workers has two such in memory.
_PIECE = 4 * MIB
_WORKERS = 3
# As many objects as can be composed into one.
_MOST_PARTS = 32
# The store's own folder: parts of what is being written.
_PARTIAL = ".partial/"
# Metadata of ours: whose creation it was, so that a retry knows its own.
_WRITER = "keras-remote-writer"


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
    if not is_bucket(uri):
      raise errors.ConfigError(
        f"'{uri}' is no bucket's address, as gs://my-bucket/team is: a "
        "bucket's name has 3 or more lowercase letters, digits, -, _ and ., "
        "and begins and ends with a letter or digit"
      )
    name, _, prefix = uri.removeprefix("gs://").strip("/").partition("/")
    self._name = name
    self._prefix = f"{prefix}/" if prefix else ""
    self._now = now
    self._patient = patient(patience)
    self._bucket = client().bucket(name)

  @property
  def uri(self) -> str:
    return f"gs://{self._name}/{self._prefix}".rstrip("/")

  def read(self, key: str) -> bytes:
    with self.open(key) as copy:
      return copy.read()

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    blob = self._blob(key)
    last = None if end is None else end - 1
    if last is not None and last < start:
      return b""
    with self._translated(key, absent=True):
      try:
        return blob.download_as_bytes(start=start, end=last, **self._patient)
      except api.RequestRangeNotSatisfiable:  # It ends before.
        return b""

  def open(self, key: str) -> BinaryIO:
    blob = self._blob(key)
    with contextlib.ExitStack() as undo, self._translated(key, absent=True):
      temporary = undo.enter_context(tempfile.SpooledTemporaryFile(MIB))
      copy = cast(BinaryIO, temporary)
      try:
        # One request for most: what is larger shows by filling this one.
        blob.download_to_file(copy, end=LARGE - 1, **self._patient)
      except api.RequestRangeNotSatisfiable:  # It is empty.
        blob.reload(**self._patient)
      if copy.tell() == LARGE or blob.crc32c is None:
        blob = self._download_rest(blob, copy)
      if checksum(copy) != blob.crc32c:
        raise errors.StoreError(f"{self.uri}: {key} came damaged: try again")
      copy.seek(0)
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

  def exchange(
    self, key: str, same: Callable[[bytes | None], bool], data: bytes
  ) -> bool:
    """Stores the object if what is there passes; whether this call did.

    Nobody else's write comes between the look and the write. A retry of this
    very call that finds its own object says True.

    Args:
      same: is given what is there, None for nothing.
    """
    for _ in range(_EXCHANGES):
      generation, there = self._generation(key)
      if not same(there):
        return False
      with self._translated(key):
        try:
          self._upload(self._blob(key), data, generation)
        except api.PreconditionFailed:
          if self._generation(key)[1] == data:
            return True
          continue
      return True
    raise errors.StoreError(
      f"the store {self.uri} failed at {key}: others write it all the time"
    )

  def _generation(self, key: str) -> tuple[int, bytes | None]:
    """Which object is there, and what it holds; 0 and None for none."""
    blob = self._blob(key)
    try:
      with self._translated(key, absent=True):
        blob.reload(**self._patient)
        generation = int(blob.generation or 0)
        return generation, blob.download_as_bytes(**self._patient)
    except errors.ObjectNotFoundError:
      return 0, None

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    folder, slash, _ = prefix.rpartition("/")
    if slash:
      check_key(folder)
    return itertools.islice(self._entries(prefix, limit), limit)

  def delete(self, key: str) -> None:
    blob = self._blob(key)
    with (
      contextlib.suppress(errors.ObjectNotFoundError),
      self._translated(key, absent=True),
    ):
      blob.delete(**self._patient)

  def _blob(self, key: str) -> storage.Blob:
    check_key(key)
    return self._bucket.blob(self._prefix + key)

  def _entries(self, prefix: str, limit: int | None) -> Iterator[Entry]:
    with self._translated(prefix or "its top"):
      for blob in self._bucket.list_blobs(
        prefix=self._prefix + prefix,
        page_size=limit,
        fields="items(name,size,metadata,timeCreated),nextPageToken",
        **self._patient,
      ):
        metadata = dict(blob.metadata or {})
        metadata.pop(_WRITER, None)
        key = blob.name.removeprefix(self._prefix)
        if not key.startswith(_PARTIAL):
          yield Entry(key, int(blob.size or 0), metadata, blob.time_created)

  def _upload(
    self, blob: storage.Blob, data: Source, generation: int | None
  ) -> None:
    """Stores the object whole; `generation` 0 is only where there is none."""
    with as_piece(data) as piece:
      send = self._compose if piece.size > LARGE else self._send
      send(blob, piece, generation)

  def _send(
    self, blob: storage.Blob, piece: Piece, generation: int | None = None
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
    self, blob: storage.Blob, whole: Piece, generation: int | None
  ) -> None:
    """Uploads pieces in parallel, which become one object at once."""
    if generation == 0 and blob.exists(**self._patient):
      # Nobody sends a gigabyte to be told that.
      raise api.PreconditionFailed("it is there")
    self._sweep()
    pieces = whole.split(max(LARGE // 2, -(-whole.size // _MOST_PARTS)))
    folder = f"{self._prefix}{_PARTIAL}{secrets.token_hex(8)}/"
    parts = [
      self._bucket.blob(f"{folder}{number:02}") for number in range(len(pieces))
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
      part.delete(retry=None, timeout=TIMEOUT)

  def _sweep(self) -> None:
    """Removes what writers that died had half-written, after a day."""
    oldest = self._now() - datetime.timedelta(seconds=DAY)
    prefix = self._prefix + _PARTIAL
    for part in self._bucket.list_blobs(prefix=prefix, **self._patient):
      if part.time_created and part.time_created < oldest:
        self._remove(part)

  def _download_rest(self, blob: storage.Blob, copy: BinaryIO) -> storage.Blob:
    """What follows the first LARGE bytes, and what the whole must be."""

    def fetch(start: int) -> None:
      piece, data = self._bucket.blob(blob.name), io.BytesIO()
      end = min(start + _PIECE, size) - 1
      piece.download_to_file(data, start=start, end=end, **self._patient)
      os.pwrite(copy.fileno(), data.getbuffer(), start)

    whole = self._bucket.blob(blob.name)
    whole.reload(**self._patient)
    size = int(whole.size or 0)
    copy.flush()
    with ThreadPoolExecutor(_WORKERS) as pool:
      list(pool.map(fetch, range(LARGE, size, _PIECE)))
    return whole

  @contextlib.contextmanager
  def _translated(self, key: str, *, absent: bool = False) -> Generator[None]:
    """Raises our errors; `absent`: what is not found may be the object."""
    where = f"the store {self.uri} failed at {key}: "
    try:
      yield
    except api.NotFound as error:
      if absent and "bucket does not exist" not in str(error):
        said = f"the store {self.uri} holds no '{key}'"
        raise errors.ObjectNotFoundError(said) from error
      raise errors.BucketNotFoundError(
        f"{where}there is no bucket {self._name}; make it with `gcloud storage "
        f"buckets create gs://{self._name}`, or choose another one with --store"
      ) from error
    except api.Forbidden as error:
      raise errors.StoreAccessError(
        f"{where}whoever is logged in may not do this ({message(error)}); who "
        f"owns the bucket can allow it: `gcloud storage buckets "
        f"add-iam-policy-binding gs://{self._name} --member=user:YOU "
        "--role=roles/storage.objectUser`"
      ) from error
    except (api.Unauthorized, *credentials.LOGGED_OUT) as error:
      raise errors.StoreAccessError(f"{where}{credentials.CURE}") from error
    except FAILURES as error:
      raise errors.StoreError(f"{where}{message(error)}") from error
