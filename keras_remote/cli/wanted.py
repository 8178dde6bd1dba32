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
class Asked:
  """What `up` was asked for; None and () say nothing.

  Attributes:
    place: the settings that say where.
    pools: those that there must be.
    without_members: who may run jobs no more.
    without_quotas: resources of which jobs may ask for any amount again.
  """

  place: Options
  pools: tuple[NodePool, ...] = ()
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
  return resolve(parameters.parsed(given)).options


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


def pool_of(
  accelerator: str, least: int | None, most: int | None, reservation: str = ""
) -> NodePool:
  """The pool for an accelerator as people write it.

  Raises:
    AcceleratorError: there is no such accelerator.
    ConfigError: there can be no such pool.
  """
  kind = parse_accelerator(accelerator)
  name = "cpu" + ":spot" * kind.spot if kind.category == "cpu" else str(kind)
  given: dict[str, int] = {}
  if name == "cpu":
    given = {"min_nodes": 1}
  if least is not None:
    given["min_nodes"] = least
  if most is not None:
    given["max_nodes"] = most
  return NodePool(name, reservation=reservation, **given)


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
  if place.namespace:
    given["namespace"] = place.namespace
  if before is None:
    zone = place.zone or _zone_for(asked.pools)
    cluster = place.cluster or CLUSTER
    before = InfraConfig(project, zone, cluster)
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
  return InfraConfig(project, zone, asked.place.cluster or CLUSTER)


def _with_pool(config: InfraConfig, pool: NodePool) -> InfraConfig:
  """The same with that pool, in place of one of the same name."""
  if pool.accelerator == "cpu" and pool == pool_of("cpu", None, None):
    return config  # It is always made, and nothing is said of its size.
  if pool.name not in [each.name for each in config.pools]:
    return replace(config, pools=(*config.pools, pool))
  default = NodePool(pool.accelerator)
  pools = tuple(
    pool if each.name == pool.name and pool != default else each
    for each in config.pools
  )
  return replace(config, pools=pools)


def _zone_for(pools: Sequence[NodePool]) -> str:
  """The zone where nobody names one: one that has all accelerators."""
  table, default = zones.offers(), zones.get_default_zone()
  offers = [set(table.zones(p.kind)) for p in pools if table.zones(p.kind)]
  if not offers:
    return default
  common = set.intersection(*offers)
  if default in common or not common:
    return default
  first = next(p for p in pools if table.zones(p.kind))
  return next(z for z in table.zones(first.kind) if z in common)


def zone_asked(asked: Asked) -> Asked:
  """The same with a zone, which is asked for where nobody says it."""
  if asked.place.zone or not asking.someone():
    return asked
  zone = asking.ask(
    "The zone",
    lambda text: InfraConfig("any-project", text).zone,
    _zone_for(asked.pools),
  )
  return replace(asked, place=replace(asked.place, zone=zone))


def pools_asked() -> tuple[NodePool, ...]:
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
  return (
    asking.ask(
      "The accelerator", lambda text: pool_of(text, None, None), "cpu"
    ),
  )
