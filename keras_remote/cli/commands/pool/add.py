"""`keras-remote pool add`: one pool more."""

from typing import TYPE_CHECKING, Any

import click

from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import place_flags, plan_flags

if TYPE_CHECKING:
  from keras_remote.cli.infra.tools import Tools


@click.command(short_help="Add a pool of machines.")
@click.argument("accelerator")
@place_flags
@click.option(
  "--min-nodes", type=int, metavar="N", help="Machines that stay; else 0."
)
@click.option(
  "--max-nodes", type=int, metavar="N", help="Machines at most; else 4."
)
@click.option(
  "--reservation", default="", metavar="NAME", help="Whose machines they are."
)
@plan_flags
@prints
@click.pass_obj
def command(
  tools: "Tools | None",
  out: Output,
  accelerator: str,
  min_nodes: int | None,
  max_nodes: int | None,
  reservation: str,
  preview: bool,
  yes: bool,
  **texts: Any,
) -> None:
  """Adds a pool of machines with ACCELERATOR, beside those that there are.

  A second one of the same kind is another slice, where that has several hosts.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State

  asked = wanted.AskedPool(accelerator, min_nodes, max_nodes, reservation)
  pool = asked.pool()
  pool.check_offered()
  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  tools = clusters.ready(tools)
  record = wanted.known_cluster(place, State(project))
  config = record.config.adding(pool)
  config.check_zone()
  how = clusters.How(preview=preview, yes=yes)
  clusters.raise_up(out, tools, config, how, before=record)
