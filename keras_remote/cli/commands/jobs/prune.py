"""`keras-remote jobs prune`: removes old jobs."""

import datetime
from pathlib import Path
from typing import cast

import click

from keras_remote import clock
from keras_remote.cli import asking
from keras_remote.cli.output import Output, prints
from keras_remote.core.kinds import DURATION


def _seconds(ctx: click.Context, param: click.Parameter, text: str) -> float:
  try:
    return cast(float, DURATION.read(text, Path()))
  except ValueError:
    raise click.BadParameter(f"takes {DURATION.takes}") from None


@click.command(short_help="Remove old jobs.")
@click.option(
  "--older-than",
  callback=_seconds,
  required=True,
  metavar="TIME",
  help="Those submitted longer ago, such as 12h or 7d.",
)
@click.option(
  "--all", "everyone", is_flag=True, help="Everyone's, not mine only."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@prints
def command(out: Output, older_than: float, everyone: bool, yes: bool) -> None:
  """Removes my jobs that have ended, with their results, logs and files."""
  from keras_remote.core.jobs import list_jobs, prune

  age = datetime.timedelta(seconds=older_than)
  limit = clock.now() - age
  old = [
    job
    for job in list_jobs(everyone=everyone)
    if job.state.ended and job.submitted < limit
  ]
  if old:
    question = f"Remove {_jobs(len(old))} for ever"
    asking.agree(question, yes=yes, default=False)
  removed = prune(age, everyone=everyone)
  out.show({"removed": removed}, f"{_jobs(len(removed))} removed")


def _jobs(count: int) -> str:
  return f"{count} job{'s' * (count != 1)}"
