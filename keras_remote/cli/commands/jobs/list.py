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
  """Lists my jobs, newest first, and names those that wait or run for long."""
  from keras_remote.cli import long, times
  from keras_remote.core.console import Console, duration
  from keras_remote.core.jobs import list_jobs
  from keras_remote.core.lasting import lasting
  from keras_remote.core.settings import resolve
  from keras_remote.storage.open import open_store

  found = list_jobs(
    limit=limit + 1, everyone=everyone, tag=tag, report=Console().report
  )
  jobs, more = found[:limit], found[limit:]
  store = open_store(resolve({}).options.store)
  lasts = {job.id: job for job in lasting(store, jobs)}
  header = _HEADER if not everyone else (*_HEADER, "WHO")
  rows = [
    (
      job.id,
      str(job.state),
      times.age(job.submitted),
      job.accelerator,
      "" if job.seconds is None else duration(job.seconds),
      job.who,
    )[: len(header)]
    for job in jobs
  ]
  content = [
    {**vars(job), "lasting": long.document(lasts.get(job.id))} for job in jobs
  ]
  nothing = "No jobs with this tag." if tag else "No jobs yet."
  blocks: list[str | Table] = [Table(header, rows) if rows else nothing]
  if more:
    blocks += ["", f"Older ones are left out: --limit {10 * limit}"]
  out.show(content, *blocks, *long.noted(list(lasts.values())))
