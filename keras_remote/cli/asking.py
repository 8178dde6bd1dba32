"""Questions to whoever sits at the terminal."""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from keras_remote import errors
from keras_remote.cli.failure import JOB_FAILED, CommandError
from keras_remote.core.console import asker

T = TypeVar("T")


def someone() -> bool:
  """Whether somebody is here who can answer."""
  return asker() is not None


def ask(question: str, read: Callable[[str], T], default: str = "") -> T:
  """The answer as `read` makes it; asked again while that refuses.

  Args:
    default: what an empty answer means.
  """
  while True:
    text: str = click.prompt(
      question, default=default or None, type=str, err=True
    )
    try:
      return read(text.strip())
    except (errors.ConfigError, errors.AcceleratorError) as error:
      tell(str(error))


def tell(text: str) -> None:
  """Shows what helps to answer, below or above the question."""
  # Names that have hyphens stay whole, to be copied.
  folded = textwrap.fill(
    text,
    shutil.get_terminal_size().columns,
    initial_indent="  ",
    subsequent_indent="  ",
    break_on_hyphens=False,
    break_long_words=False,
  )
  click.echo(folded, err=True)


def choose(question: str, choices: Sequence[str]) -> int:
  """The number of one of several choices, which are shown."""
  for number, choice in enumerate(choices, 1):
    click.echo(f"  {number}  {choice}", err=True)
  answer: int = click.prompt(
    question, type=click.IntRange(1, len(choices)), default=1, err=True
  )
  return answer - 1


def agree(question: str, *, yes: bool, default: bool = True) -> None:
  """Passes where somebody agrees.

  Args:
    yes: it was said beforehand, with `--yes`.
    default: what an empty answer means.

  Raises:
    CommandError: somebody does not.
    ConfigError: nobody is here, and it was not.
  """
  if yes:
    return
  if not someone():
    raise errors.ConfigError(
      f"{question}: nobody is here who could answer: `--yes` says so beforehand"
    )
  if not click.confirm(question, default=default, err=True):
    raise _refused()


def typed(question: str, wanted: str, *, yes: bool) -> None:
  """Passes where somebody types just that.

  Raises:
    CommandError: somebody does not.
    ConfigError: nobody is here, and `--yes` did not say so beforehand.
  """
  if yes:
    return
  if not someone():
    raise errors.ConfigError(
      f"{question}: somebody has to type '{wanted}', and nobody is here: "
      "`--yes` does it without"
    )
  answer: str = click.prompt(
    f"{question}: type '{wanted}'", default="", show_default=False, err=True
  )
  if answer.strip() != wanted:
    raise _refused()


def _refused() -> CommandError:
  return CommandError("nothing was done: nobody agreed", JOB_FAILED)
