"""`keras-remote jobs logs`: what a job printed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints

if TYPE_CHECKING:
  from keras_remote.core.handle import JobHandle


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
  pieces = _pieces(job, host or 0, follow=follow, tail=tail)
  if out.as_json:
    text = "".join(pieces)
    out.show({"id": job.id, "host": host or 0, "text": text})
    return
  for piece in pieces:
    out.write(piece)


def _pieces(
  job: "JobHandle[Any]", host: int, *, follow: bool, tail: int | None
) -> Iterator[str]:
  if tail is None:
    yield from job.logs(follow=follow, host=host)
    return
  from keras_remote.core.job import last_lines

  left = 0

  def counted() -> Iterator[str]:
    nonlocal left
    for piece in job.logs(host=host):
      left += len(piece)
      yield piece

  yield "".join(last_lines(counted(), tail))
  if follow:
    for piece in job.logs(follow=True, host=host):
      yield piece[left:]
      left = max(0, left - len(piece))
