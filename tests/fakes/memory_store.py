"""A store in this process's memory, for tests of what uses one."""

import io
import itertools
import threading
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from keras_remote import errors
from keras_remote.storage.store import Entry, Source, check_key


class MemoryStore:
  """Objects in a dictionary: see `Store` for the contract."""

  uri = "memory"

  def __init__(self) -> None:
    self._objects: dict[str, tuple[bytes, Mapping[str, str]]] = {}
    self._lock = threading.Lock()

  def read(self, key: str) -> bytes:
    check_key(key)
    try:
      return self._objects[key][0]
    except KeyError:
      raise errors.ObjectNotFoundError(f"no '{key}' in memory") from None

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    return self.read(key)[start:end]

  def open(self, key: str) -> BinaryIO:
    return io.BytesIO(self.read(key))

  def write(self, key: str, data: Source) -> None:
    check_key(key)
    self._objects[key] = (_content(data), {})

  def create(
    self, key: str, data: Source, metadata: Mapping[str, str] | None = None
  ) -> bool:
    check_key(key)
    made = (_content(data), dict(metadata or {}))
    with self._lock:
      return self._objects.setdefault(key, made) is made

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    folder, slash, _ = prefix.rpartition("/")
    if slash:
      check_key(folder)
    with self._lock:
      found = sorted(
        i for i in self._objects.items() if i[0].startswith(prefix)
      )
    entries = (Entry(key, len(data), meta) for key, (data, meta) in found)
    return itertools.islice(entries, limit)

  def delete(self, key: str) -> None:
    check_key(key)
    with self._lock:
      self._objects.pop(key, None)


def _content(data: Source) -> bytes:
  return data if isinstance(data, bytes) else data.read()
