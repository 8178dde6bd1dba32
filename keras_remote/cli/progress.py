"""What goes on with each resource, shown on a terminal."""

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from keras_remote import clock
from keras_remote.cli.infra.engine import Change, Event, Op, Report, Stage
from keras_remote.cli.infra.words import named
from keras_remote.core.console import Console, duration
from keras_remote.progress import Step

if TYPE_CHECKING:
  from rich.console import Console as Rich
  from rich.status import Status

_DOING = {
  Op.CREATE: "making",
  Op.UPDATE: "changing",
  Op.REPLACE: "replacing",
  Op.DELETE: "removing",
  Op.ADOPT: "taking over",
}
DONE = {
  Op.CREATE: "made",
  Op.UPDATE: "changed",
  Op.REPLACE: "replaced",
  Op.DELETE: "removed",
  Op.ADOPT: "took over",
}
# Seconds above which it is said how long something took.
_LONG = 5.0
_MOST_SHOWN = 2


@contextlib.contextmanager
def showing(what: str, total: int = 0) -> Generator[Report]:
  """Shows what it is told, in place and line by line, until the block ends.

  Where nobody looks, warnings and what is done are said, in plain lines.

  Args:
    what: goes on, such as "making the cluster x".
    total: resources that are to be changed, where that is known.
  """
  console = Console()
  if not console.is_live:
    yield lambda told: _say(console, told)
    return
  from rich.console import Console as Rich

  rich = Rich(stderr=True, highlight=False)
  with rich.status(what) as status:
    yield _Shown(rich, status, what, total)


def _say(console: Console, told: Event | Step) -> None:
  if isinstance(told, Step):
    if told.warning:
      console.say(told.what)
  elif told.change.op is not Op.SAME and told.stage is not Stage.BEGUN:
    console.say(_ended(told.change, told.stage))


def _ended(change: Change, stage: Stage) -> str:
  what = named(change.resource)
  if stage is Stage.FAILED:
    return f"{_DOING[change.op]} {what} failed"
  return f"{DONE[change.op]} {what}"


class _Shown:
  """Tells of each resource when it is done, and what goes on meanwhile."""

  def __init__(
    self,
    rich: "Rich",
    status: "Status",
    what: str,
    total: int,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._rich, self._status, self._now = rich, status, now
    self._total = total
    self._open: dict[Change, float] = {}
    self._done = 0
    self._step = what

  def __call__(self, told: Event | Step) -> None:
    if isinstance(told, Step):
      self._step = told.what
      if told.warning:
        self._line(told.what, "yellow")
    elif told.change.op is not Op.SAME:
      self._event(told.change, told.stage)
    self._status.update(self._text())

  def _event(self, change: Change, stage: Stage) -> None:
    if stage is Stage.BEGUN:
      self._open.setdefault(change, self._now())
      return
    began = self._open.pop(change, self._now())
    took = self._now() - began
    if stage is Stage.FAILED:
      self._line(_ended(change, stage), "red")
      return
    self._done += 1
    long = f" in {duration(took)}" if took >= _LONG else ""
    self._line(f"{_ended(change, stage)}{long}", "green")

  def _line(self, text: str, style: str) -> None:
    from rich.text import Text

    self._rich.print(Text.assemble(("• ", style), text))

  def _text(self) -> str:
    from rich.markup import escape

    doing = [
      f"{_DOING[change.op]} {named(change.resource)}"
      for change in list(self._open)[:_MOST_SHOWN]
    ]
    more = len(self._open) - len(doing)
    text = ", ".join(doing) or self._step
    of = f" of {self._total}" if self._total else ""
    return escape(
      f"{self._done}{of}: {text}{f' and {more} more' if more else ''}"
    )
