"""What there is of a cluster, what it does, and what that costs."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from keras_remote import checks, errors
from keras_remote.cli import costs, live, long
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.state import State
from keras_remote.core.console import size
from keras_remote.core.lasting import Lasting, lasting
from keras_remote.storage.open import open_store

# Of more it is only said that there are more.
_MOST_OBJECTS = 20_000
_MOST_JOBS = 1_000
_SECONDS = 10.0
# For which a part is waited for, also by who has a busy machine.
_LIMIT = 40.0


@dataclass(frozen=True)
class Part:
  """One part of what there is.

  Attributes:
    sentence: what was seen, or why nothing was.
    well: whether anything was.
    data: the same for programs; None where nothing was seen.
    lasting: jobs in it that have waited or run for long.
  """

  sentence: str
  well: bool
  data: Any = None
  lasting: Sequence[Lasting] = ()


@dataclass
class _Looking:
  """What the parts that are looked at found, each by its name."""

  found: dict[str, Part] = field(default_factory=dict)

  def link(self, name: str, look: Callable[[], Part]) -> checks.Link:
    def checked() -> checks.Check:
      part = self.found[name] = look()
      return checks.Check(name, True, part.sentence)

    return checks.Link(name, checked)


def overview(config: InfraConfig) -> Mapping[str, Part]:
  """Its parts, looked at side by side; one that fails says why.

  "cluster", "nodes", "jobs", "bucket" and "images".
  """
  looking = _Looking()
  looks: dict[str, Callable[[InfraConfig], Part]] = {
    "cluster": _cluster,
    "nodes": _nodes,
    "jobs": _jobs,
    "bucket": _bucket,
    "images": _images,
  }
  links = [
    looking.link(name, functools.partial(look, config))
    for name, look in looks.items()
  ]
  return {
    check.what: looking.found[check.what]
    if check.ok
    else Part(check.sentence, False)
    for check in checks.look_at(links, limit=_LIMIT)
  }


def running_cost(config: InfraConfig, nodes: Mapping[str, int]) -> costs.Cost:
  """What it costs with the machines that are there, as far as is known."""
  known = costs.cost(
    config, ((pool, nodes.get(pool.name, 0)) for pool in config.every_pool)
  )
  others = tuple(
    f"the pool {name}" if name else "machines without a pool"
    for name in strangers(config, nodes)
  )
  return replace(known, unknown=known.unknown + others)


def strangers(config: InfraConfig, nodes: Mapping[str, int]) -> list[str]:
  """The pools that have machines, and that `up` does not know."""
  return sorted(nodes.keys() - {pool.name for pool in config.every_pool})


def _cluster(config: InfraConfig) -> Part:
  version = live.version(live.cluster_of(config))
  return Part(f"answers, Kubernetes {version}", True, {"version": version})


def _nodes(config: InfraConfig) -> Part:
  found = live.nodes(live.cluster_of(config))
  return Part(f"{sum(found.values())} machines", True, dict(found))


def _jobs(config: InfraConfig) -> Part:
  from keras_remote.core.jobs import list_jobs
  from keras_remote.core.settings import settings

  with settings(
    project=config.project,
    zone=config.location,
    cluster=config.cluster,
    namespace=config.namespace,
    store=f"gs://{config.bucket}",
    backend=None,
    context=None,
  ):
    found = list_jobs(limit=_MOST_JOBS, everyone=True)
    store = open_store(f"gs://{config.bucket}", patience=_SECONDS)
    lasts = {job.id: job for job in lasting(store, found)}
  active = [job for job in found if not job.state.ended]
  counted: dict[str, int] = {}
  for job in active:
    counted[str(job.state)] = counted.get(str(job.state), 0) + 1
  said = ", ".join(f"{count} {state}" for state, count in counted.items())
  data = [
    {
      "id": job.id,
      "state": job.state,
      "accelerator": job.accelerator,
      "who": job.who,
      "submitted": job.submitted,
      "lasting": long.document(lasts.get(job.id)),
    }
    for job in active
  ]
  if lasts:
    said += f"; {len(lasts)} of them for long"
  return Part(said or "none now", True, data, list(lasts.values()))


def _bucket(config: InfraConfig) -> Part:
  count, total = 0, 0
  store = open_store(f"gs://{config.bucket}", patience=_SECONDS)
  for entry in store.list("", limit=_MOST_OBJECTS):
    count, total = count + 1, total + entry.size
  State(config.project).has(config.bucket)  # Else it says whose it is.
  more = "more than " if count == _MOST_OBJECTS else ""
  sentence = f"{more}{size(total)} in {more and 'the first '}{count:,} objects"
  data = {"bytes": total, "objects": count, "complete": not more}
  return Part(f"gs://{config.bucket}: {sentence}", True, data)


def _images(config: InfraConfig) -> Part:
  import os

  from keras_remote.images.builder import EMULATOR_VARIABLE

  try:
    from keras_remote.images.container_builder import ContainerBuilder
  except ModuleNotFoundError as error:
    raise errors.ConfigError(
      f"{error.name}, which tells of images, is not installed"
    ) from error
  builder = ContainerBuilder(
    config.project,
    config.repository_location,
    config.repository,
    emulator=os.environ.get(EMULATOR_VARIABLE),
    patience=_SECONDS,
  )
  count = builder.count()
  return Part(f"{count} of jobs", True, {"count": count})
