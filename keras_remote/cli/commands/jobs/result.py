"""`keras-remote jobs result`: what a job returned."""

from pathlib import Path

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Print what a job returned.")
@parameters.job_argument
@click.option(
  "-o",
  "--output",
  type=click.Path(dir_okay=False, path_type=Path),
  help="Write the value there instead, pickled.",
)
@prints
def command(out: Output, job_id: str | None, output: Path | None) -> None:
  """Prints what a job returned, when it has.

  Of a job that failed it shows the traceback, and ends as the job did.
  """
  from keras_remote.cli.watching import failing
  from keras_remote.core.console import Console
  from keras_remote.core.jobs import attach

  job = attach(job_id)
  with failing(out, job), Console().busy(f"{job.id} has not ended yet"):
    value = job.result()
  if output is None:
    content = {"id": job.id, "state": job.status(), "result": value}
    out.show(content, repr(value))
    return
  _write(value, output)
  out.show({"id": job.id, "output": output}, f"{job.id}: {output}")


def _write(value: object, path: Path) -> None:
  from keras_remote.pickling.pickler import Pickler

  try:
    with path.open("wb") as stream:
      Pickler(stream).save(value)
  except OSError as error:
    raise click.FileError(str(path), error.strerror) from error
