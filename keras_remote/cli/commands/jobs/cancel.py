"""`keras-remote jobs cancel`: ends a job."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Cancel a job.")
@parameters.job_argument
@prints
def command(out: Output, job_id: str | None) -> None:
  """Cancels a job; one that has ended stays as it is."""
  from keras_remote.core.jobs import attach

  job = attach(job_id)
  cancelled = job.cancel()
  state = job.status()
  sentence = "cancelled" if cancelled else f"had ended before: {state}"
  out.show(
    {"id": job.id, "cancelled": cancelled, "state": state},
    f"{job.id} {'is' * cancelled} {sentence}".replace("  ", " "),
  )
