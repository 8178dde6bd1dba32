"""The Store protocol: where directories live.

Keys are relative, with forward slashes: `jobs/train-…/spec.json`. No key is
a folder of another's.
"""

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from keras_remote import errors

Source = bytes | BinaryIO
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/|$)")


@dataclass(frozen=True)
class Entry:
  """One object in a listing.

  Attributes:
    key: the object's whole key.
    size: bytes.
    metadata: what `create` was given along with the data.
    written: when its data was stored, by which a bucket may delete it; None
      where nothing goes by itself.
  """

  key: str
  size: int
  metadata: Mapping[str, str] = field(default_factory=dict)
  written: datetime.datetime | None = field(default=None, compare=False)


class Store(Protocol):
  """A flat room of objects with honest conditional creation.

  Every method raises StoreError where the store cannot be reached, is full
  or refuses, and for what is no key; the readers raise ObjectNotFoundError
  for a key without object.
  """

  @property
  def uri(self) -> str:
    """The store's address: what `open_store` takes to open it again."""
    ...

  def read(self, key: str) -> bytes:
    """The whole object."""
    ...

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    """Bytes [start, end) of the object; fewer where it ends before `end`."""
    ...

  def open(self, key: str) -> BinaryIO:
    """The object as a stream, for what may not fit into memory."""
    ...

  def write(self, key: str, data: Source) -> None:
    """Stores the object whole, over whatever is there."""
    ...

  def create(
    self, key: str, data: Source, metadata: Mapping[str, str] | None = None
  ) -> bool:
    """Stores the object if there is none; whether this call made it.

    False means that another writer's object is there. A retry of this very
    call that finds its own object says True. No reader sees half an object.
    """
    ...

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    """Objects whose key starts with `prefix`, in the order of their keys.

    Args:
      limit: how many at most; None for all.
    """
    ...

  def delete(self, key: str) -> None:
    """Removes the object; one that is not there is no error."""
    ...


def is_bucket(uri: str) -> bool:
  """Whether it can be the address of a bucket of Google Cloud Storage."""
  return _BUCKET.match(uri) is not None


def check_key(key: str) -> None:
  """Passes for what may name an object in every store.

  A name that begins with a dot is, at the top, the store's own.

  Raises:
    StoreError: it may not, or would lead out of the store.
  """
  parts = key.split("/")
  odd = not {"", ".", ".."}.isdisjoint(parts) or key.startswith(".")
  if odd or "\0" in key:
    raise errors.StoreError(f"'{key}' cannot name an object in a store")
