"""Output: the one object through which commands print."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import click

from keras_remote.cli import document
from keras_remote.job.line import printable

P = ParamSpec("P")
R = TypeVar("R")

_GAP = 2
# A folded column that is narrower is hard to read.
_NARROWEST = 20
_COLOURS = {
  "SUCCEEDED": "green",
  "RUNNING": "cyan",
  "FAILED": "red",
  "TIMED_OUT": "red",
  "LOST": "red",
  "CANCELLED": "yellow",
  "ok": "green",
  "BROKEN": "red",
}


@dataclass(frozen=True)
class Table:
  """Rows of texts under a header; without header, names with their values.

  Attributes:
    fold: the column whose texts go on in a further line where the terminal
      is narrow; the others stay whole where they can.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str]]
  fold: int = 0


class Output:
  """Where a command prints: text for people, or one JSON document.

  Attributes:
    as_json: whether a document is asked for.
  """

  def __init__(self, *, as_json: bool) -> None:
    self.as_json = as_json
    # Python has none where it was closed when it started.
    self._terminal = bool(sys.stdout and sys.stdout.isatty())
    self._colour = (
      self._terminal
      and not os.environ.get("NO_COLOR")
      and os.environ.get("TERM") != "dumb"
    )

  def show(self, content: object, *blocks: str | Table) -> None:
    """Prints the content as JSON where that is asked for, else the blocks."""
    if self.as_json:
      self.write(document.encode(content) + "\n")
      return
    self.tell(*blocks)

  def tell(self, *blocks: str | Table) -> None:
    """Prints the blocks, unless a document is asked for."""
    for block in () if self.as_json else blocks:
      text = self._table(block) if isinstance(block, Table) else f"{block}\n"
      # What a job, or a writer of its store, has said is obeyed by no terminal.
      self.write(printable(text, styles=True))

  def write(self, text: str) -> None:
    """Prints a piece of text at once; its styles only where they show."""
    click.echo(text, nl=False, color=self._colour)

  @contextlib.contextmanager
  def live(self) -> Generator[None]:
    """While a job is shown: a document alone is on stdout, logs on stderr."""
    if not self.as_json:
      yield
      return
    with contextlib.redirect_stdout(sys.stderr):
      yield

  def _table(self, table: Table) -> str:
    return self._fitted(table) if self._terminal else _aligned(table)

  def _fitted(self, table: Table) -> str:
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console(color_system="auto" if self._colour else None)
    count = _fitting(table, console.width)
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    for index in range(count):
      grid.add_column(overflow="fold", no_wrap=index != table.fold)
    if table.header:
      grid.add_row(*(Text(name, style="bold") for name in table.header[:count]))
    for row in table.rows:
      grid.add_row(
        *(Text(cell, style=_COLOURS.get(cell, "")) for cell in row[:count])
      )
    with console.capture() as captured:
      console.print(grid)
    lines = captured.get().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def prints(
  command: Callable[Concatenate[Output, P], R],
) -> Callable[P, R]:
  """Gives a command the flag `--json`, and its Output as first argument."""

  @click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document."
  )
  @functools.wraps(command)
  def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
    as_json = bool(kwargs.pop("as_json"))
    return command(Output(as_json=as_json), *args, **kwargs)

  return wrapped


def state(name: str) -> str:
  """A job's state in its colour."""
  return click.style(name, fg=_COLOURS.get(name), bold=True)


def heading(text: str) -> str:
  """The title of what follows."""
  return click.style(text, bold=True)


def faint(text: str) -> str:
  """What can be skipped."""
  return click.style(text, dim=True)


def _fitting(table: Table, width: int) -> int:
  """How many of the first columns a terminal of this width can show."""
  widths = _widths(table)
  widths[table.fold] = min(widths[table.fold], _NARROWEST)
  while (
    sum(widths) + _GAP * len(widths) > width and len(widths) > table.fold + 1
  ):
    widths.pop()
  return len(widths)


def _widths(table: Table) -> list[int]:
  rows = [table.header, *table.rows] if table.header else table.rows
  return [
    max(len(cell) for cell in column) for column in zip(*rows, strict=True)
  ]


def _aligned(table: Table) -> str:
  """The table for other programs: whole texts in columns."""
  rows = [table.header, *table.rows] if table.header else table.rows
  widths = _widths(table)
  lines = (
    (" " * _GAP).join(
      cell.ljust(width) for cell, width in zip(row, widths, strict=True)
    )
    for row in rows
  )
  return "".join(f"{line.rstrip()}\n" for line in lines)
