"""A store whose every call is told before it is made, and may be cut off."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import BinaryIO

from keras_remote.storage.store import Entry, Source, Store

WRITES = ("write", "create", "delete")


class WatchedStore:
  """Passes every call on to `store`, after `watch(method, key)`."""

  def __init__(self, store: Store, watch: Callable[[str, str], None]) -> None:
    self._store = store
    self._watch = watch

  @property
  def uri(self) -> str:
    return self._store.uri

  def read(self, key: str) -> bytes:
    self._watch("read", key)
    return self._store.read(key)

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    self._watch("read_range", key)
    return self._store.read_range(key, start, end)

  def open(self, key: str) -> BinaryIO:
    self._watch("open", key)
    return self._store.open(key)

  def write(self, key: str, data: Source) -> None:
    self._watch("write", key)
    self._store.write(key, data)

  def create(
    self, key: str, data: Source, metadata: Mapping[str, str] | None = None
  ) -> bool:
    self._watch("create", key)
    return self._store.create(key, data, metadata)

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    self._watch("list", prefix)
    return self._store.list(prefix, limit=limit)

  def delete(self, key: str) -> None:
    self._watch("delete", key)
    self._store.delete(key)


def failing_at(
  store: Store,
  count: int,
  error: BaseException,
  methods: Collection[str] = WRITES,
) -> WatchedStore:
  """The store, of which call number `count` of these (from 0) never happens.

  SystemExit stands for the caller's death, a StoreError for a full store.
  """
  calls = 0

  def watch(method: str, key: str) -> None:
    nonlocal calls
    if method in methods:
      calls += 1
      if calls > count:
        raise error

  return WatchedStore(store, watch)
