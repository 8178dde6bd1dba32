"""What it costs to send a large project, and a large argument."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.project import project
from keras_remote.packaging.packager import zip_working_dir

_FILES = 10_000
_FILES_A_FOLDER = 100
_RUNS = 10
# Seconds: what changed just now may change again unseen, and is read again.
_YOUNG = 3


def figures() -> Iterator[Figure]:
  """10,000 files, and an argument of 1 GB."""
  with project() as place:
    _fill(place.root)
    time.sleep(_YOUNG)
    first, *later = (
      _packing(place.root, place.root.with_name("cache"))
      for _ in range(1 + _RUNS)
    )
    yield Figure(f"packing {_FILES:,} files for the first time", [first])
    yield Figure("packing them again, unchanged", later, goal=150)
    yield Figure("a no-op call that takes them along", place.client("noop"))
  with project() as place:
    yield Figure(
      "peak memory of the client with an argument of 1 GB",
      [place.client("memory") / 1e6],
      unit="MB",
      goal=2200,
    )


def _fill(root: Path) -> None:
  for number in range(_FILES):
    path = root / f"{number // _FILES_A_FOLDER}" / f"{number}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"number = {number}\n" * 20)


def _packing(root: Path, cache: Path) -> float:
  cache.mkdir(exist_ok=True)
  began = time.perf_counter()
  zip_working_dir(root, cache)
  return (time.perf_counter() - began) * 1000
