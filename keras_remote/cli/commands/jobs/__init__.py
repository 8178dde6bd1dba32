"""`keras-remote jobs`: jobs that were submitted, here or elsewhere."""

import click

from keras_remote.cli.group import LazyGroup


@click.group(
  cls=LazyGroup,
  package=__name__,
  names=(
    "list",
    "show",
    "why",
    "logs",
    "result",
    "cancel",
    "rerun",
    "prune",
  ),
  short_help="List, see, cancel and rerun jobs.",
)
def command() -> None:
  """Lists, sees, cancels and reruns jobs.

  JOB is any unique part of a job's id; without it the latest job is meant.
  """
