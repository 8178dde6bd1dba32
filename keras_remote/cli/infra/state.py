"""What is known of a project's clusters: a bucket of the project has it.

Pulumi keeps the resources of each stack there under `.pulumi/`, and here is
`clusters/<location>/<cluster>.json`: what was asked for, so that whoever has
no Pulumi finds the cluster too.
"""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from keras_remote import clock, errors
from keras_remote.cli.config import InfraConfig, state_bucket
from keras_remote.job import wire
from keras_remote.packaging.provenance import who
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store

if TYPE_CHECKING:
  from keras_remote.storage.gcs import GcsStore

_CLUSTERS = "clusters/"
_LABELS = {"managed-by": "keras-remote"}


class Phase(enum.StrEnum):
  """How far a cluster is."""

  UPDATING = "updating"
  READY = "ready"
  REMOVING = "removing"
  # Only its bucket and images are left.
  KEPT = "kept"


@dataclass(frozen=True)
class Record:
  """A cluster as it was asked for last.

  Attributes:
    who: asked, as user@machine.
    when: in UTC, as ISO 8601 writes it.
    adopted: ids of what is somebody else's, by the program's names.
    kept: keys of resources that a `--keep-data` has left, or is to leave.
  """

  config: InfraConfig
  phase: Phase
  who: str
  when: str
  adopted: Mapping[str, str] = field(default_factory=dict)
  kept: tuple[str, ...] = ()


class State:
  """The clusters of a project.

  Each method raises StoreError where the bucket cannot be reached, and
  StoreAccessError where whoever is logged in may not.
  """

  def __init__(self, project: str) -> None:
    self.project = project

  @property
  def uri(self) -> str:
    """The bucket's address."""
    return f"gs://{state_bucket(self.project)}"

  def exists(self) -> bool:
    """Whether there is the bucket, which is the project's then.

    Raises:
      StoreAccessError: as `has`.
    """
    return self.has(state_bucket(self.project))

  def has(self, bucket: str) -> bool:
    """Whether there is a bucket of this name, which is the project's then.

    Raises:
      StoreAccessError: it is another project's, or that cannot be told.
    """
    try:
      next(open_store(f"gs://{bucket}").list("", limit=1), None)
    except errors.BucketNotFoundError:
      return False
    from keras_remote.storage.buckets import check_owner

    check_owner(bucket, self.project)
    return True

  def make(self, location: str) -> bool:
    """Makes the bucket, near that region; False where it was there."""
    from keras_remote.storage.buckets import make_bucket

    name = state_bucket(self.project)
    return make_bucket(
      name, project=self.project, location=location, labels=_LABELS
    )

  def records(self) -> list[Record]:
    """Every cluster, in the order of their names; none without the bucket."""
    store = self._store()
    try:
      keys = [entry.key for entry in store.list(_CLUSTERS)]
    except errors.BucketNotFoundError:
      return []
    found = [self._read(store, key) for key in keys if key.endswith(".json")]
    return sorted(
      (r for r in found if r),
      key=lambda record: (record.config.cluster, record.config.location),
    )

  def record(self, config: InfraConfig) -> Record | None:
    """Of the cluster with this config's name and location."""
    try:
      return self._read(self._store(), _key(config))
    except errors.BucketNotFoundError:
      return None

  def written(
    self,
    config: InfraConfig,
    phase: Phase,
    adopted: Mapping[str, str],
    kept: Collection[str],
  ) -> Record:
    """What is noted by whoever is here, now."""
    when = clock.now().isoformat(timespec="seconds")
    kept = tuple(sorted(kept))
    return Record(config, phase, who(), when, dict(adopted), kept)

  def exchange(self, old: Record | None, new: Record) -> bool:
    """Notes `new` if what is there is `old`; whether it was.

    Args:
      old: None where nothing is to be there.
    """
    store, key = self._store(), _key(new.config)

    def same(data: bytes | None) -> bool:
      return old == (None if data is None else self._record(store, key, data))

    return store.exchange(key, same, wire.encode(new))

  def remove(self, config: InfraConfig) -> None:
    """Knows the cluster no longer."""
    self._store().delete(_key(config))

  def _read(self, store: Store, key: str) -> Record | None:
    try:
      data = store.read(key)
    except errors.ObjectNotFoundError:  # Somebody has just removed it.
      return None
    return self._record(store, key, data)

  def _record(self, store: Store, key: str, data: bytes) -> Record:
    record = wire.decode(Record, data, f"{store.uri}/{key}")
    if record.config.project != self.project:
      # Else calls would send code and data to whoever wrote it.
      raise errors.StoreAccessError(
        f"{store.uri}/{key} is a cluster of project {record.config.project}, "
        f"not of {self.project}: it is not believed. Ask who owns the project "
        f"whose {self.uri} is"
      )
    return record

  def _store(self) -> "GcsStore":
    return cast("GcsStore", open_store(self.uri))


def _key(config: InfraConfig) -> str:
  return f"{_CLUSTERS}{config.location}/{config.cluster}.json"
