"""From flags, settings and what there is to the cluster that is meant."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from keras_remote import errors
from keras_remote.accelerators import zones
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.cli import asking, parameters
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.core.options import Options
from keras_remote.core.settings import resolve

# As Google's own tools read it.
_PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
CLUSTER = "keras-remote"
_HINT = (
  "What jobs can ask for, such as v5e-8, l4 or h100x8; with :spot, machines",
  "that may be taken away; cpu for nothing else. All of them: `keras-remote",
  "accelerators`",
)
# What is taken over as it is asked for.
_ALONE = ("regional", "private_nodes", "retention_days", "release_channel")


@dataclass(frozen=True)
class AskedPool:
  """A pool that there must be; None says nothing.

  Attributes:
    accelerator: as people write it.
  """

  accelerator: str
  min_nodes: int | None = None
  max_nodes: int | None = None
  reservation: str | None = None

  @property
  def said(self) -> Mapping[str, Any]:
    """What is said of it, by the names of a pool's fields."""
    fields = ("min_nodes", "max_nodes", "reservation")
    found = {name: getattr(self, name) for name in fields}
    return {name: value for name, value in found.items() if value is not None}

  def pool(self) -> NodePool:
    """The pool where there is none yet.

    Raises:
      AcceleratorError: there is no such accelerator.
      ConfigError: there can be no such pool.
    """
    kind = parse_accelerator(self.accelerator)
    if self.reservation and kind.category == "cpu":
      raise errors.ConfigError(
        f"the reservation {self.reservation} is for an accelerator's machines: "
        "jobs on CPUs, and what the cluster itself runs, take any"
      )
    cpu = "cpu" + ":spot" * kind.spot
    name = cpu if kind.category == "cpu" else str(kind)
    least: dict[str, Any] = {"min_nodes": 1} if name == "cpu" else {}
    return NodePool(name, **(least | dict(self.said)))


@dataclass(frozen=True)
class Asked:
  """What `up` was asked for; None and () say nothing.

  Attributes:
    place: the settings that say where.
    pools: those that there must be.
    namespace: as it was typed, not as settings have it.
    without_members: who may run jobs no more.
    without_quotas: resources of which jobs may ask for any amount again.
  """

  place: Options
  pools: tuple[AskedPool, ...] = ()
  namespace: str | None = None
  regional: bool | None = None
  private_nodes: bool | None = None
  retention_days: int | None = None
  quota: tuple[tuple[str, str], ...] = ()
  members: tuple[str, ...] = ()
  release_channel: str | None = None
  without_members: tuple[str, ...] = ()
  without_quotas: tuple[str, ...] = ()


def place_of(texts: Mapping[str, Any]) -> Options:
  """The settings with those flags.

  Raises:
    ConfigError: a source of settings is wrong.
  """
  given = {name: texts[name] for name in parameters.PLACE}
  place, usual = resolve(parameters.parsed(given)).options, resolve({}).options
  # The zone that settings have is that of the cluster that they have.
  elsewhere = usual.cluster not in (None, place.cluster)
  if elsewhere and not given["zone"]:
    place = replace(place, zone=None)
  return place


def project_of(place: Options) -> str:
  """The project; asked for where nobody says it.

  Raises:
    ConfigError: nobody says it, and nobody is here to be asked.
  """
  known = place.project or os.environ.get(_PROJECT_VARIABLE, "").strip()
  if known:
    return known
  if not asking.someone():
    raise errors.ConfigError(
      "no project is named: set --project or KERAS_REMOTE_PROJECT to one that "
      "`gcloud projects list` shows"
    )

  def read(text: str) -> str:
    return InfraConfig(text, zones.get_default_zone()).project

  return asking.ask("The project of Google Cloud, by its id", read)


def found(place: Options, state: State) -> Record | None:
  """What is known of the cluster that is meant; None where there is none.

  Raises:
    ConfigError: several have its name.
  """
  name = place.cluster or CLUSTER
  same = [r for r in state.records() if r.config.cluster == name]
  there = [
    r for r in same if place.zone in (None, r.config.zone, r.config.location)
  ]
  if len(there) > 1:
    where = " or ".join(r.config.zone for r in there)
    raise errors.ConfigError(
      f"{len(there)} clusters are called {name}: set --zone to {where}"
    )
  if same and not there:
    raise errors.ConfigError(
      f"the cluster {name} of this project is in {same[0].config.zone}, not in "
      f"{place.zone}, and cannot move: leave --zone out, or give another one "
      "there another name with --cluster"
    )
  return there[0] if there else None


def known_cluster(place: Options, state: State) -> Record:
  """The record of the cluster that is meant, which must be there.

  Raises:
    ConfigError: it is not; names those that are.
  """
  record = found(place, state)
  if record is not None and record.phase is not Phase.KEPT:
    return record
  others = [r.config.cluster for r in state.records() if r.phase != Phase.KEPT]
  has = f"it has {', '.join(others)}: --cluster names one" if others else ""
  raise errors.ConfigError(
    f"the project {state.project} has no cluster '{place.cluster or CLUSTER}' "
    f"that `keras-remote up` made; {has or '`keras-remote up` makes one'}"
  )


def config_of(
  asked: Asked, project: str, before: InfraConfig | None
) -> InfraConfig:
  """What is to be there: what is asked for, and all that there was.

  A pool that is there is never removed for not being asked for.

  Raises:
    ConfigError: that cannot be.
  """
  given = {
    name: value
    for name in _ALONE
    if (value := getattr(asked, name)) is not None
  }
  place = asked.place
  if before is None:
    zone = place.zone or _zone_for(asked.pools)
    cluster = place.cluster or CLUSTER
    before = InfraConfig(project, zone, cluster)
    given["namespace"] = place.namespace or before.namespace
  elif asked.namespace:
    given["namespace"] = asked.namespace
  elif place.namespace not in (None, before.namespace):
    # It is everybody's: their jobs could read no bucket any more.
    raise errors.ConfigError(
      f"the jobs of {before.cluster} are in the namespace {before.namespace}, "
      f"and settings of yours say {place.namespace}: `--namespace "
      f"{before.namespace}` leaves them there, `--namespace {place.namespace}` "
      "moves everybody's"
    )
  config = replace(before, **given)
  if asked.quota:
    config = replace(
      config, quota=tuple({**dict(config.quota), **dict(asked.quota)}.items())
    )
  members = dict.fromkeys((*config.members, *asked.members))
  config = replace(config, members=tuple(members))
  for pool in asked.pools:
    config = _with_pool(config, pool)
  return config


def anywhere(asked: Asked, project: str) -> InfraConfig:
  """A cluster that may not be there, to try on it what was asked for.

  Raises:
    ConfigError: nothing can be called so.
  """
  zone = asked.place.zone or zones.get_default_zone()
  if _REGION.fullmatch(zone):  # Of a cluster that is regional.
    zone += "-a"
  place = asked.place
  return InfraConfig(
    project,
    zone,
    place.cluster or CLUSTER,
    namespace=place.namespace or "default",
  )


def _with_pool(config: InfraConfig, asked: AskedPool) -> InfraConfig:
  """The same with that pool; of one that is there, what is said changes."""
  new = asked.pool()
  there = {pool.name: pool for pool in config.every_pool}
  if new.name in there:
    old = there[new.name]
    new = replace(old, **asked.said)
    if new == old:
      return config
  return config.having(new)


def _zone_for(pools: Sequence[AskedPool]) -> str:
  """The zone where nobody names one: one that has all accelerators."""
  table, default = zones.offers(), zones.get_default_zone()
  found = [table.zones(each.pool().kind) for each in pools]
  known = [each for each in found if each]
  if not known:
    return default
  common = set.intersection(*map(set, known))
  return zones.near(default, common)[0] if common else default


def zone_asked(asked: Asked) -> Asked:
  """The same with a zone, which is asked for where nobody says it."""
  if asked.place.zone or not asking.someone():
    return asked
  default = _zone_for(asked.pools)
  table = zones.offers()
  for pool in asked.pools:
    if having := table.zones(pool.pool().kind):
      where = zones.some(default, having)
      asking.tell(f"{pool.accelerator} is in {where} (as of {table.date})")

  def read(zone: str) -> Asked:
    there = replace(asked, place=replace(asked.place, zone=zone))
    config_of(there, "any-project", None).check_zone()
    return there

  return asking.ask("The zone", read, default)


def pools_asked() -> tuple[AskedPool, ...]:
  """Pools, as somebody at the terminal wants them.

  Raises:
    ConfigError: nobody is here.
  """
  if not asking.someone():
    raise errors.ConfigError(
      "no accelerator is named: set --accelerator, to cpu for none; "
      "`keras-remote accelerators` lists them"
    )
  for line in _HINT:
    click.echo(line, err=True)

  def read(text: str) -> AskedPool:
    asked = AskedPool(text)
    asked.pool().check_offered()
    return asked

  return (asking.ask("The accelerator", read, "cpu"),)
