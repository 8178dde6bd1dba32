"""`keras-remote pool`: the machines of a cluster."""

import click

from keras_remote.cli.group import LazyGroup


@click.group(
  cls=LazyGroup,
  package=__name__,
  names=("list", "add", "resize", "remove"),
  short_help="List, add, resize and remove pools of machines.",
)
def command() -> None:
  """Lists, adds, resizes and removes the pools of a cluster's machines."""
