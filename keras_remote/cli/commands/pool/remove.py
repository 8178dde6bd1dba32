"""`keras-remote pool remove`: a pool less."""

from typing import TYPE_CHECKING, Any

import click

from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import place_flags, plan_flags

if TYPE_CHECKING:
  from keras_remote.cli.infra.tools import Tools


@click.command(short_help="Remove a pool of machines.")
@click.argument("pool")
@place_flags
@click.option(
  "--force", is_flag=True, help="Also where jobs run there, which then end."
)
@plan_flags
@prints
@click.pass_obj
def command(
  tools: "Tools | None",
  out: Output,
  pool: str,
  force: bool,
  preview: bool,
  yes: bool,
  **texts: Any,
) -> None:
  """Removes POOL with its machines, unless jobs run there."""
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State

  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  tools = clusters.ready(tools)
  record = wanted.known_cluster(place, State(project))
  config = record.config.without(pool)
  how = clusters.How(
    preview=preview, yes=yes, force=force, force_flag="--force"
  )
  clusters.raise_up(out, tools, config, how, before=record)
