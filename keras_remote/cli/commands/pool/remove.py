"""`keras-remote pool remove`: a pool less."""

from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import place_flags

if TYPE_CHECKING:
  from keras_remote.cli.config import InfraConfig
  from keras_remote.cli.infra.tools import Tools


@click.command(short_help="Remove a pool of machines.")
@click.argument("pool")
@place_flags
@click.option(
  "--force", is_flag=True, help="Also where jobs run there, which then end."
)
@click.option("--preview", is_flag=True, help="Only say what would be done.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
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
  before = wanted.known_cluster(place, State(project)).config
  config = before.without(pool)
  if not force:
    _check_unused(before, pool)
  how = clusters.How(preview=preview, yes=yes)
  clusters.raise_up(out, tools, config, how)


def _check_unused(config: "InfraConfig", pool: str) -> None:
  """Passes where no job has a machine of the pool.

  Raises:
    ConfigError: some do; names them.
    ClusterError: that cannot be told.
  """
  from keras_remote.cli import live

  try:
    jobs = live.jobs_on(live.cluster_of(config), pool)
  except errors.KerasRemoteError as error:
    raise errors.ClusterError(
      f"whether jobs run on the pool {pool} cannot be told: {error}; `--force` "
      "removes it without knowing"
    ) from error
  if jobs:
    raise errors.ConfigError(
      f"the pool {pool} is used by {', '.join(jobs)}: wait for "
      f"{'them' if len(jobs) > 1 else 'it'}, or `keras-remote jobs cancel`, "
      "or `--force`, which ends what runs there"
    )
