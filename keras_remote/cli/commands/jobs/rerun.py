"""`keras-remote jobs rerun`: the same call again."""

from typing import Any

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints

# A job runs again with what was sent, from where it is kept.
_FIXED = ("store", "working_dir")


@click.command(short_help="Run a job again, there or here.")
@parameters.job_argument
@parameters.option_flags(without=_FIXED)
@click.option("-d", "--detach", is_flag=True, help="Print the id; do not wait.")
@click.option("--local", is_flag=True, help="Call it here, in this process.")
@click.option("--pdb", is_flag=True, help="With --local: debug what it raises.")
@prints
def command(
  out: Output,
  job_id: str | None,
  detach: bool,
  local: bool,
  pdb: bool,
  **texts: Any,
) -> None:
  """Runs a job again as it was sent, as a new job with options changed.

  Values of variables are never stored: they are taken from here.
  """
  from keras_remote.cli.watching import call_here, watch
  from keras_remote.core.jobs import attach

  options = parameters.parsed(texts)
  if pdb and not local:
    raise click.UsageError("--pdb goes with --local")
  if local and (options or detach):
    raise click.UsageError("--local takes no further options than --pdb")
  job = attach(job_id)
  if local:
    call_here(out, job.spec, debug=pdb)
    return
  with out.live():
    again = job.rerun(**options)
  watch(out, again, detach=detach)
