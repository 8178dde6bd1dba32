"""How a command fails: one line on stderr, and a code that scripts can use."""

import os
import traceback

import click

from keras_remote import errors
from keras_remote.job.line import printable

JOB_FAILED, USAGE, NOT_FOUND = 1, 2, 3
# What is cured by typing something else.
_USAGE_ERRORS = (
  errors.ConfigError,
  errors.AcceleratorError,
  errors.PackagingError,
)
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


class CommandError(Exception):
  """What is wrong, for people, and the exit code that says so.

  Attributes:
    message: what is said after `Error: `; empty where the traceback says all.
    code: the exit code.
    text: a traceback, shown before the message, or empty.
  """

  def __init__(
    self, message: str, code: int = USAGE, *, text: str = ""
  ) -> None:
    super().__init__(message)
    self.message = message
    self.code = code
    self.text = text.rstrip()

  def show(self) -> None:
    """Says it on stderr."""
    if self.text:
      click.echo(printable(self.text), err=True)
    if self.message:
      click.echo(f"Error: {printable(self.message)}", err=True)


def command_error(error: errors.KerasRemoteError) -> CommandError:
  """What an error of ours is to whoever typed the command."""
  code = JOB_FAILED
  if isinstance(error, errors.JobNotFoundError):
    code = NOT_FOUND
  elif isinstance(error, _USAGE_ERRORS):
    code = USAGE
  notes: list[str] = getattr(error, "__notes__", [])
  return CommandError("\n".join([str(error), *notes]), code)


def users_traceback(error: BaseException) -> str:
  """The traceback from the user's first frame on."""
  walked = error.__traceback__
  while walked and _passed(walked.tb_frame.f_code.co_filename):
    walked = walked.tb_next
  return "".join(traceback.format_exception(type(error), error, walked))


def _passed(file: str) -> bool:
  import importlib

  return file.startswith((_OURS, "<frozen")) or file == importlib.__file__
