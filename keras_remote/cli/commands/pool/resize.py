"""`keras-remote pool resize`: how many machines a pool may have."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import place_flags, plan_flags

if TYPE_CHECKING:
  from keras_remote.cli.config import InfraConfig
  from keras_remote.cli.infra.tools import Tools


@click.command(short_help="Say how many machines a pool may have.")
@click.argument("pool")
@place_flags
@click.option(
  "--min-nodes",
  type=int,
  metavar="N",
  help="Machines that stay without jobs, once jobs have brought them.",
)
@click.option("--max-nodes", type=int, metavar="N", help="Machines at most.")
@plan_flags
@prints
@click.pass_obj
def command(
  tools: "Tools | None",
  out: Output,
  pool: str,
  min_nodes: int | None,
  max_nodes: int | None,
  preview: bool,
  yes: bool,
  **texts: Any,
) -> None:
  """Says how many machines POOL keeps, and how many it may have.

  What is not said stays as it is. More machines to keep are not brought at
  once: those that jobs bring from now on stay.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State

  if min_nodes is None and max_nodes is None:
    raise errors.ConfigError(
      f"nothing is said of the pool {pool}: give --min-nodes or --max-nodes"
    )
  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  tools = clusters.ready(tools)
  record = wanted.known_cluster(place, State(project))
  config = _resized(record.config, pool, min_nodes, max_nodes)
  how = clusters.How(preview=preview, yes=yes)
  clusters.raise_up(out, tools, config, how, before=record)


def _resized(
  config: "InfraConfig", name: str, least: int | None, most: int | None
) -> "InfraConfig":
  """The same with that pool so large.

  Raises:
    ConfigError: there is no such pool, or it cannot be so large.
  """
  from keras_remote.core.options import nearest

  known = {pool.name: pool for pool in config.every_pool}
  if name not in known:
    raise errors.ConfigError(
      f"the cluster {config.cluster} has no pool '{name}': "
      f"{nearest(name, known)}"
    )
  old = known[name]
  new = replace(
    old,
    min_nodes=old.min_nodes if least is None else least,
    max_nodes=old.max_nodes if most is None else most,
  )
  return config.having(new)
