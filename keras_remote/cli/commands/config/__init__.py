"""`keras-remote config`: the options of calls, and who says them."""

import click

from keras_remote.cli.group import LazyGroup


@click.group(
  cls=LazyGroup,
  package=__name__,
  names=("show", "set", "unset", "profiles", "use"),
  short_help="Show and change the options of calls.",
)
def command() -> None:
  """Shows and changes the options of calls."""
