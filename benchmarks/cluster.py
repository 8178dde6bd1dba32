"""What a call on a cluster costs: round trips, and time after its pod's end.

On the cluster that `make cluster-up` starts here; nothing where it is not up.
"""

import json
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure
from tests.cluster.cluster import parts
from tests.cluster.traffic import rounds, traffic

_CALLS, _MANY = 5, 50
# Seconds that each answer is late where round trips are counted: far longer
# than anything else takes.
_DELAY = 0.5
_FUNCTION = """
import json, os, time
import keras_remote

@keras_remote.run(
  cpu="50m",
  memory="256Mi",
  env={"STORAGE_EMULATOR_HOST": os.environ["POD_STORAGE"]},
)
def square(x):
  return x * x
"""
_WARM = f"""{_FUNCTION}
times = []
for number in range({_CALLS} + 1):
  began = time.monotonic()
  job = square.submit(number)
  job.result()
  times.append([job.id, began, time.monotonic()])
  time.sleep(1)
print(json.dumps(times[1:]))
"""
_AT_ONCE = f"""{_FUNCTION}
began = time.monotonic()
jobs = [square.submit(x) for x in range({_MANY})]
wrong = sum(job.result() != x * x for x, job in enumerate(jobs))
print(json.dumps([wrong, time.monotonic() - began]))
"""


def figures() -> Iterator[Figure]:
  """Warm calls, and many at once."""
  if not is_up():
    print("no test cluster is up: make cluster-up", file=sys.stderr)
    return
  yield from _warm()
  yield from _at_once()


def is_up() -> bool:
  """Whether the cluster is there to be measured."""
  return all(each.pid and each.ready() for each in parts().processes)


def _warm() -> Iterator[Figure]:
  with traffic() as seen:
    (line,) = seen.run(_WARM)
    yield Figure(
      "on a cluster: from the report of a pod's end to the value",
      [(ended - seen.ends[job]) * 1000 for job, _, ended in json.loads(line)],
      goal=150,
    )
    seen.delay = _DELAY
    (line,) = seen.run(_WARM)
    before: list[float] = []
    after: list[float] = []
    for job, began, ended in json.loads(line):
      requests = seen.between(began, ended)
      made = next(
        at
        for at, each in enumerate(requests)
        if each.method == "POST" and "/jobs" in each.path
      )
      before.append(rounds(requests[: made + 1], _DELAY))
      late = [each for each in requests if each.at > seen.ends[job]]
      after.append(rounds(late, _DELAY))
  unit = "round trips"
  yield Figure("to have the Job of a warm call", before, unit, goal=2)
  yield Figure("after its pod's end", after, unit, goal=1)


def _at_once() -> Iterator[Figure]:
  with traffic() as seen:
    (line,) = seen.run(_AT_ONCE)
    wrong, seconds = json.loads(line)
    watches = sum(each.watches for each in seen.api.requests)
  what = f"{_MANY} jobs at once on a cluster"
  yield Figure(f"{what}, to the last value", [seconds * 1000])
  yield Figure(f"{what}: wrong values", [wrong], "jobs", goal=0)
  yield Figure(f"{what}: watches, of 3 kinds", [watches], "watches")
