"""What is of one cluster alone, and what others of the project use too."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import LABELS, Resource
from keras_remote.cli.infra.kinds import IMAGES_DESCRIPTION, REPOSITORY
from keras_remote.cli.infra.state import Phase, Record, State

# Names of the rights of a config's program that are rights to the same, where
# this config's program has them.
Shared = Callable[[InfraConfig, InfraConfig], Collection[str]]


def others(state: State, config: InfraConfig) -> Sequence[Record]:
  """The other clusters of the project, and what `--keep-data` left of some."""
  own = (config.cluster, config.location)
  return [
    record
    for record in state.records()
    if (record.config.cluster, record.config.location) != own
  ]


def images_used(known: Iterable[Record], config: InfraConfig) -> bool:
  """Whether another one has images in the same repository."""
  return bool(_same_images(known, config))


def images_foreign(
  known: Iterable[Record], config: InfraConfig, name: str
) -> bool:
  """Whether no `up` has made the repository, which is there.

  Args:
    name: of the repository in programs.
  """
  same = _same_images(known, config)
  return not same or any(name in record.adopted for record in same)


def rights_used(
  resources: Iterable[Resource],
  known: Iterable[Record],
  config: InfraConfig,
  shared: Shared,
) -> list[Resource]:
  """Those that are rights which another cluster gives to the same people."""
  names = {
    name
    for record in known
    if record.phase is not Phase.KEPT
    for name in shared(record.config, config)
  }
  return [each for each in resources if each.name in names]


def made_for(resource: Resource, config: InfraConfig) -> bool:
  """Whether `up` has made the resource, by what is written on it."""
  inputs = resource.inputs
  images = resource.kind == REPOSITORY
  said = IMAGES_DESCRIPTION if images else config.description
  if inputs.get("description") == said:
    return True
  machines: Mapping[str, Any] = inputs.get("nodeConfig") or {}
  for labels in (
    # Of one that was taken over only this has all of them.
    inputs.get(LABELS),
    inputs.get("labels"),
    inputs.get("resourceLabels"),
    machines.get("resourceLabels"),
  ):
    if labels and not images:
      return config.labels.items() <= labels.items()
  return False


def _same_images(known: Iterable[Record], config: InfraConfig) -> list[Record]:
  where = config.repository_location
  return [r for r in known if r.config.repository_location == where]
