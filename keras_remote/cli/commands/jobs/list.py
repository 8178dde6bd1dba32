"""`keras-remote jobs list`: my jobs, newest first."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, Table, prints

_HEADER = ("JOB", "STATE", "AGE", "ACCELERATOR", "TOOK")


@click.command(short_help="List my jobs, newest first.")
@click.option("--all", "everyone", is_flag=True, help="Those of others too.")
@parameters.tag_option
@click.option(
  "--limit",
  type=click.IntRange(min=1),
  default=20,
  show_default=True,
  metavar="N",
  help="How many at most.",
)
@prints
def command(out: Output, everyone: bool, tag: str | None, limit: int) -> None:
  """Lists my jobs, newest first."""
  from keras_remote.cli import times
  from keras_remote.core.console import duration
  from keras_remote.core.jobs import list_jobs
  from keras_remote.core.settings import resolve
  from keras_remote.job.directory import JobDirectory
  from keras_remote.storage.open import open_store

  found = list_jobs(limit=limit + 1, everyone=everyone, tag=tag)
  jobs, more = found[:limit], found[limit:]
  store = open_store(resolve({}).options.store)
  took = {
    job.id: outcome.seconds
    for job in jobs
    if job.state.ended and (outcome := JobDirectory(store, job.id).outcome())
  }
  header = _HEADER if not everyone else (*_HEADER, "WHO")
  rows = [
    (
      job.id,
      str(job.state),
      times.age(job.submitted),
      job.accelerator,
      "" if (seconds := took.get(job.id)) is None else duration(seconds),
      job.who,
    )[: len(header)]
    for job in jobs
  ]
  content = [{**vars(job), "seconds": took.get(job.id)} for job in jobs]
  nothing = "No jobs with this tag." if tag else "No jobs yet."
  hint = ["", f"Older ones are left out: --limit {10 * limit}"] if more else []
  out.show(content, Table(header, rows) if rows else nothing, *hint)
