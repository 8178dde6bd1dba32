"""How long it takes until the first line of a user's own runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.project import Project, project

_RUNS = 10
_HEAVY = ("google", "jax", "keras", "kubernetes", "numpy")
_IMPORT = "import keras_remote"
_DECORATE = f"{_IMPORT}\n@keras_remote.run\ndef noop(): pass"
_LOADED = f"import sys\nprint(*[m for m in {_HEAVY} if m in sys.modules])"


def figures() -> Iterator[Figure]:
  """Importing, decorating, and the command line's help."""
  with project() as place:
    yield _over_bare(place, "import keras_remote", _IMPORT)
    yield _over_bare(place, "import it and decorate a function", _DECORATE)
    loaded = place.run(_script(f"{_DECORATE}\n{_LOADED}")).split()
    names = ", ".join(_HEAVY)
    yield Figure(f"of {names} then loaded", [len(loaded)], "modules", goal=0)
    command = [str(Path(sys.executable).with_name("keras-remote")), "--help"]
    place.run(command)
    yield Figure(
      "keras-remote --help, with Python's own start",
      [place.milliseconds(command) for _ in range(_RUNS)],
      goal=200,
    )


def _over_bare(place: Project, what: str, code: str) -> Figure:
  """The time that `code` adds to a start of Python."""
  place.run(_script(code))
  samples = [
    place.milliseconds(_script(code)) - place.milliseconds(_script("pass"))
    for _ in range(_RUNS)
  ]
  return Figure(f"{what}, over a bare start", samples, goal=100)


def _script(code: str) -> list[str]:
  return [sys.executable, "-c", code]
