"""What long work tells whoever asked for it.

A room that works for long takes a `Report` and calls it; it never prints.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
  """One sentence about work that goes on.

  Attributes:
    what: the sentence, such as "packing the project".
    done: how much is done, in `unit`; None where that is not known.
    total: how much there is, in `unit`; None where that is not known.
    unit: "bytes", "files", …; empty where nothing is counted.
    warning: a person should see this even where progress is not shown.
  """

  what: str
  done: int | None = None
  total: int | None = None
  unit: str = ""
  warning: bool = False


Report = Callable[[Step], None]


def silent(step: object) -> None:
  """Drops what it is told."""
