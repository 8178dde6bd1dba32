"""`keras-remote`: the command line."""

import os
import signal
import sys
from typing import Any

import click

from keras_remote import errors
from keras_remote.cli.failure import JOB_FAILED, CommandError, command_error
from keras_remote.cli.group import LazyGroup
from keras_remote.constants import VERSION

_NAME = "keras-remote"


class _Main(LazyGroup):
  """The one place where whatever a command raises becomes an exit code."""

  def invoke(self, ctx: click.Context) -> Any:
    try:
      return super().invoke(ctx)
    except (CommandError, errors.KerasRemoteError) as error:
      failed = (
        error if isinstance(error, CommandError) else command_error(error)
      )
      failed.show()
      raise click.exceptions.Exit(failed.code) from error
    except KeyboardInterrupt:
      raise click.exceptions.Exit(128 + signal.SIGINT) from None
    except BrokenPipeError:
      raise click.exceptions.Exit(128 + signal.SIGPIPE) from None


@click.group(
  cls=_Main,
  package="keras_remote.cli.commands",
  names=(
    "run",
    "jobs",
    "up",
    "status",
    "init",
    "pool",
    "down",
    "doctor",
    "accelerators",
    "config",
    "completion",
  ),
  context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name=_NAME, message="%(prog)s %(version)s")
def cli() -> None:
  """Runs functions and commands on accelerators elsewhere.

  Exit codes: 0 well, 1 the job failed, 2 wrong usage or configuration, 3 no
  such job; of a command that ran there its own.
  """


def main() -> None:
  """Runs the command that was typed, and exits."""
  try:
    try:
      cli(prog_name=_NAME)
    finally:
      if sys.stdout:
        sys.stdout.flush()
  except OSError as error:
    if error.filename is not None:  # Of a file, not of the output.
      raise
    # What is left to be said cannot be said at the exit either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
      click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
      raise SystemExit(JOB_FAILED) from None


if __name__ == "__main__":
  main()
