"""`keras-remote pool list`: the pools that a cluster was asked to have."""

from typing import Any

import click

from keras_remote.cli.output import Output, Table, prints
from keras_remote.cli.parameters import place_flags

_HEADER = ("POOL", "ACCELERATOR", "LEAST", "MOST", "RESERVATION")


@click.command(short_help="List the pools of a cluster.")
@place_flags
@prints
def command(out: Output, **texts: Any) -> None:
  """Lists the pools that a cluster was asked to have.

  `keras-remote status` says how many machines they have now.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State

  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  clusters.log_in()
  config = wanted.known_cluster(place, State(project)).config
  rows = [
    (
      pool.name,
      pool.accelerator,
      str(pool.min_nodes),
      str(pool.most),
      pool.reservation,
    )
    for pool in config.every_pool
  ]
  out.show(clusters.pools_document(config), Table(_HEADER, rows, fold=1))
