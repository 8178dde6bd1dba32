"""Prints one table: what was measured, against its goal."""

import sys
import time

from benchmarks import calling, cluster, gathering, sending, starting
from benchmarks.figure import Figure, table

_NOTE = """\
Besides, from a clean clone: `make demo` twice in under 60 s, `make test` in
under 4 min: `time make demo`, `time make test`."""


def main() -> int:
  """The exit code: 1 where a goal was missed."""
  began = time.monotonic()
  figures: list[Figure] = []
  for part in (starting, calling, sending, cluster, gathering):
    print(f"measuring {part.__name__} …", file=sys.stderr)
    figures += part.figures()
  print(table(figures))
  print(f"\nMeasured in {time.monotonic() - began:.0f} s. {_NOTE}")
  return int(any(figure.verdict == "OVER" for figure in figures))


if __name__ == "__main__":
  sys.exit(main())
