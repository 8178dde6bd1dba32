"""What is known of a project's clusters: a bucket of the project has it.

Pulumi keeps the resources of each stack there under `.pulumi/`, and here is
`clusters/<location>/<cluster>.json`: what was asked for, so that whoever has
no Pulumi finds the cluster too.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_remote import clock, constants, errors
from keras_remote.cli.config import InfraConfig, state_bucket
from keras_remote.job import wire
from keras_remote.packaging.provenance import who
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store

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
  """

  config: InfraConfig
  phase: Phase
  who: str
  when: str
  adopted: Mapping[str, str] = field(default_factory=dict)


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
    """Whether there is the bucket."""
    try:
      next(self._store().list(_CLUSTERS, limit=1), None)
    except errors.BucketNotFoundError:
      return False
    return True

  def make(self, location: str) -> bool:
    """Makes the bucket, near that region; False where it was there."""
    try:
      from keras_remote.storage.gcs import make_bucket
    except ModuleNotFoundError as error:
      raise errors.ConfigError(
        "what `up` makes is kept in a bucket, and Google's client library is "
        f"not installed: {constants.INSTALL_GCP}"
      ) from error
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
    found = [_read(store, key) for key in keys if key.endswith(".json")]
    return sorted(
      (r for r in found if r),
      key=lambda record: (record.config.cluster, record.config.location),
    )

  def record(self, config: InfraConfig) -> Record | None:
    """Of the cluster with this config's name and location."""
    try:
      return _read(self._store(), _key(config))
    except errors.BucketNotFoundError:
      return None

  def save(
    self,
    config: InfraConfig,
    phase: Phase,
    adopted: Mapping[str, str] | None = None,
  ) -> None:
    """Notes how far the cluster is, in place of what was there."""
    when = clock.now().isoformat(timespec="seconds")
    self.put(Record(config, phase, who(), when, dict(adopted or {})))

  def put(self, record: Record) -> None:
    """Notes all that a record says."""
    self._store().write(_key(record.config), wire.encode(record))

  def remove(self, config: InfraConfig) -> None:
    """Knows the cluster no longer."""
    self._store().delete(_key(config))

  def _store(self) -> Store:
    return open_store(self.uri)


def _read(store: Store, key: str) -> Record | None:
  try:
    data = store.read(key)
  except errors.ObjectNotFoundError:  # Somebody has just removed it.
    return None
  return wire.decode(Record, data, f"{store.uri}/{key}")


def _key(config: InfraConfig) -> str:
  return f"{_CLUSTERS}{config.location}/{config.cluster}.json"
