"""What a call costs: round trips, and no request on a timer."""

import json

import pytest
from absl.testing import absltest

from tests.cluster.traffic import Traffic, rounds, traffic
from tests.fakes.http_proxy import Request

# Seconds: far longer than this machine takes for what is not asked.
_DELAY = 0.5
_SLEEP = 8.0

_CALLS = """
  import json, os, time
  import keras_remote

  @keras_remote.run(env={{"STORAGE_EMULATOR_HOST": os.environ["POD_STORAGE"]}})
  def wait(seconds):
    import time
    time.sleep(seconds)
    return seconds

  wait.submit(0).result()
  time.sleep(1)  # Others hear of its end too.
  began = time.monotonic()
  if {submits}:
    job = wait.submit({seconds})
    value = job.result()
  else:
    value = wait({seconds})
  print(json.dumps([value, began, time.monotonic()]))
"""
_MANY = """
  import json, os, time
  import keras_remote

  @keras_remote.run(
    cpu="50m",
    memory="256Mi",
    env={"STORAGE_EMULATOR_HOST": os.environ["POD_STORAGE"]},
  )
  def square(x):
    return x * x

  jobs = [square.submit(x) for x in range(50)]
  print(json.dumps([job.result() for job in jobs]))
"""


class TrafficTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.seen: Traffic = self.enter_context(traffic())

  def call(self, *, submits: bool, seconds: float) -> tuple[float, float]:
    """When a warm call began, and when it gave its value."""
    script = _CALLS.format(submits=submits, seconds=seconds)
    *_, line = self.seen.run(script)
    value, began, ended = json.loads(line)
    self.assertEqual(value, seconds)
    return began, ended

  def assert_traffic(self, *, submits: bool) -> None:
    self.seen.delay = _DELAY
    began, ended = self.call(submits=submits, seconds=_SLEEP)
    (end,) = [at for at in self.seen.ends.values() if at > began]
    requests = self.seen.between(began, ended)
    (job,) = [at for at, each in enumerate(requests) if _creates_job(each)]
    before = requests[: job + 1]
    self.assertLessEqual(rounds(before, _DELAY), 2, before)
    after = [each for each in requests if each.at > end]
    self.assertLessEqual(rounds(after, _DELAY), 1, after)
    quiet = self.seen.between(end - _SLEEP / 2, end - 0.1)
    self.assertEqual(quiet, [])

  def test_a_call(self) -> None:
    """Two round trips to the Job, one after its pod's end, none between."""
    self.assert_traffic(submits=False)

  def test_a_job(self) -> None:
    """The same for `submit().result()`."""
    self.assert_traffic(submits=True)

  @pytest.mark.timeout(400)
  def test_many_jobs(self) -> None:
    """50 at once: all return, and one watch of each kind serves them all."""
    (line,) = self.seen.run(_MANY)
    self.assertEqual(json.loads(line), [x * x for x in range(50)])
    watched = [each.path for each in self.seen.api.requests if each.watches]
    kinds = {path.partition("?")[0].rpartition("/")[2] for path in watched}
    self.assertEqual(kinds, {"events", "jobs", "pods"})
    # The server ends a watch after some minutes, and it is begun again.
    self.assertLessEqual(len(watched), 6)
    jobs = [each for each in self.seen.api.requests if _creates_job(each)]
    self.assertLen(jobs, 51)  # And one that was only tried.


def _creates_job(request: Request) -> bool:
  return request.method == "POST" and "/jobs" in request.path


if __name__ == "__main__":
  absltest.main()
