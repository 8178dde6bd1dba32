"""`keras-remote jobs logs`: what a job printed."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Print what a job printed.")
@parameters.job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option(
  "--host",
  type=click.IntRange(min=0),
  metavar="N",
  help="Of this host only.",
)
@click.option(
  "--tail",
  type=click.IntRange(min=0),
  metavar="N",
  help="Only the last lines.",
)
@prints
def command(
  out: Output,
  job_id: str | None,
  follow: bool,
  host: int | None,
  tail: int | None,
) -> None:
  """Prints what a job printed, as far as it has."""
  from keras_remote.core.jobs import attach

  job = attach(job_id)
  hosts = job.spec.resources.hosts
  if host is not None and host >= hosts:
    raise click.BadParameter(
      f"{job.id} has {hosts} host{'s' * (hosts > 1)}, counted from 0",
      param_hint="--host",
    )
  if hosts > 1 and host is None and not out.as_json:
    job.show_logs(follow=follow, tail=tail)
    return
  pieces = job.logs(follow=follow, host=host or 0, tail=tail)
  if out.as_json:
    text = "".join(pieces)
    out.show({"id": job.id, "host": host or 0, "text": text})
    return
  for piece in pieces:
    out.write(piece)
