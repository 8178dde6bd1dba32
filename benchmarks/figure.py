"""Figure: one row of the table, and the table itself."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEADER = ("what", "median", "min-max", "goal", "")
_GAP = "  "


@dataclass(frozen=True)
class Figure:
  """What was measured, against its goal.

  Attributes:
    samples: one measurement or more, in `unit`.
    goal: the most that the median may be; None where nothing is promised.
  """

  what: str
  samples: Sequence[float]
  unit: str = "ms"
  goal: float | None = None

  @property
  def verdict(self) -> str:
    """`ok` or `OVER`; nothing where there is no goal."""
    if self.goal is None:
      return ""
    return "ok" if statistics.median(self.samples) <= self.goal else "OVER"

  @property
  def cells(self) -> tuple[str, ...]:
    """The row, in the order of the table's columns."""
    spread = f"{min(self.samples):,.0f}-{max(self.samples):,.0f}"
    return (
      self.what,
      f"{statistics.median(self.samples):,.0f} {self.unit}",
      spread if len(self.samples) > 1 else "",
      "" if self.goal is None else f"{self.goal:,.0f} {self.unit}",
      self.verdict,
    )


def table(figures: Iterable[Figure]) -> str:
  """All figures, in aligned columns."""
  rows = [_HEADER, *(figure.cells for figure in figures)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = (
    _GAP.join(
      cell.rjust(width) if 0 < index < len(row) - 1 else cell.ljust(width)
      for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  )
  return "\n".join(lines)
