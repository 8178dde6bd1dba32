"""How long calls take, and what they print, on their way."""

import sys
from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.project import project

_BARE = "def noop(): pass\nnoop()"


def figures() -> Iterator[Figure]:
  """A no-op call, a line of log, and many jobs at once."""
  with project() as place:
    calls = place.client("noop")
    bare = [place.milliseconds([sys.executable, "-c", _BARE]) for _ in calls]
    yield Figure(
      "a no-op call, over a bare Python that calls it",
      [call - alone for call, alone in zip(calls, bare, strict=True)],
      goal=250,
    )
    yield Figure(
      "from a print there to its arrival here",
      place.client("lines"),
      goal=200,
    )
    many = place.client("many")
    what = f"{many['jobs']} jobs at once"
    yield Figure(f"{what}, to the last value", [many["milliseconds"]])
    yield Figure(f"{what}: wrong values", [many["wrong"]], "jobs", goal=0)
