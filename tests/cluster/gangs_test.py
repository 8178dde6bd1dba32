"""Groups of a LeaderWorkerSet that break: each ends as it should, or starts anew.

What happens                       | the test that shows it
-----------------------------------|-------------------------------------------
a host's second process is killed  | test_a_second_process (worker; leader)
a worker's first process is killed | test_a_first_process: worker
the leader's first process is      | test_a_first_process: leader
a pod is deleted                   | test_a_pod: worker; leader
  … half-way, with `retries=1`     | test_half_way_through
  … with `max_preemptions=1`       | test_taken_away_and_allowed
  … twice                          | test_twice
the client is killed               | test_no_client
the bucket is away as it ends      | test_a_bucket_that_is_away_at_the_end
a node is gone                     | restarts_test: test_a_node_of_a_group
the controller is away             | restarts_test: test_the_controller_of_sets
  … when a job is submitted        | restarts_test: test_the_controller_of_sets
the Job of a group is deleted      | pathways_test: test_what_is_made

After each nothing of the job is there, and without `retries` nothing is called
again: calls are counted in the store. The functions join no JAX.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job.state import State
from keras_remote.runner import heartbeat
from tests.cluster import containers
from tests.cluster.gang import GONE, GangTest
from tests.fakes.http_proxy import Fault, Request

# Seconds for which a bucket is away.
_AWAY = heartbeat.SILENCE + 10


@pytest.mark.timeout(600)
class KilledTest(GangTest):
  """Nothing of it is started again."""

  @parameterized.parameters(0, 1)
  def test_a_second_process(self, host: int) -> None:
    """The function's: the job fails, whichever host's it is."""
    job = self.begin()
    containers.worker(self.pod(job, host)).kill()
    outcome = self.stored(job)
    self.assertEqual((outcome.state, outcome.host), (State.FAILED, host))
    self.assertIn(f"host {host}", outcome.message)
    self.assertIn("SIGKILL", outcome.message)
    self.assert_over(job, attempts=1)
    with self.assertRaises(errors.WorkerDiedError):
      job.result(timeout=self.seconds)

  @parameterized.named_parameters(("leader", 0), ("worker", 1))
  def test_a_first_process(self, host: int) -> None:
    """All of a host: the controller starts the group anew, which ends it."""
    job = self.begin()
    containers.first(self.pod(job, host)).kill()
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.LOST)
    self.assertRegex(outcome.message, f"host {host}'s first process is gone")
    self.assert_over(job, attempts=1)
    with self.assertRaises(errors.JobLostError):
      job.result(timeout=self.seconds)

  @parameterized.named_parameters(("leader", 0), ("worker", 1))
  def test_a_pod(self, host: int) -> None:
    """That it was told to stop is the reason."""
    job = self.begin()
    self.remove(job, host)
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.LOST)
    self.assertRegex(outcome.message, f"host {host} was told to stop")
    self.assert_over(job, attempts=1)
    with self.assertRaises(errors.JobLostError):
      job.result(timeout=self.seconds)

  def test_no_client(self) -> None:
    """With nobody there every pod is gone soon after the outcome."""
    job = self.begin()
    self.tell()
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.SUCCEEDED)
    took = self.gone_after(job, outcome)
    print(f"every pod was gone {took:.1f} s after the outcome")
    self.assertLess(took, GONE)
    self.assert_over(job, attempts=1)
    self.assertIsNone(job.result(timeout=self.seconds))

  def test_a_bucket_that_is_away_at_the_end(self) -> None:
    """For longer than a host may be silent, as all have returned: nobody is
    taken for lost, and nothing is called again."""
    until: list[float] = []

    def fail(request: Request) -> Fault | None:
      if not until and request.method == "POST" and b"/hosts/" in request.begin:
        until.append(time.monotonic() + _AWAY)
      away = until and time.monotonic() < until[0]
      return Fault(503) if away else None

    job = self.begin(gcs=self.bucket(fail))
    self.tell()
    outcome = self.stored(job)
    self.assertEqual((outcome.state, outcome.attempt), (State.SUCCEEDED, 1))
    self.assertGreater(time.monotonic(), until[0])
    self.assert_over(job, attempts=1)


@pytest.mark.timeout(900)
class StartedAgainTest(GangTest):
  """All hosts start once more, together."""

  def half_way(self, **options: Any) -> Any:
    """A job that has lost a host's pod, and begun anew."""
    job = self.begin(**options)
    self.remove(job, 1)
    self.wait_begun(job, 2)
    return job

  def succeeds(self, job: Any) -> None:
    self.tell()
    outcome = self.stored(job)
    self.assertEqual((outcome.state, outcome.attempt), (State.SUCCEEDED, 2))
    self.assert_over(job, attempts=2)
    self.assertIsNone(job.result(timeout=self.seconds))

  def test_half_way_through(self) -> None:
    """It succeeds; who follows the logs sees both attempts of each host."""
    job = self.begin(retries=1)
    with ThreadPoolExecutor(2) as pool:
      logs = [
        pool.submit(lambda host=host: "".join(job.logs(follow=True, host=host)))
        for host in range(2)
      ]
      self.remove(job, 1)
      self.wait_begun(job, 2)
      self.succeeds(job)
    for log in logs:
      self.assertRegex(
        log.result(), r"(?s)called in 1\n.*attempt 2 begins.*called in 2\n"
      )

  def test_taken_away_and_allowed(self) -> None:
    """`max_preemptions` alone is enough where a machine was taken away."""
    self.succeeds(self.half_way(max_preemptions=1))

  def test_twice(self) -> None:
    """It ends, and says both times why."""
    job = self.half_way(retries=1)
    self.remove(job, 0)
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.LOST)
    self.assertRegex(
      outcome.message,
      # Which of its hosts hears of it first is the controller's to choose.
      r"attempt 1: host \d was told to stop .*; attempt 2: host \d was told to",
    )
    self.assert_over(job, attempts=2)
    with self.assertRaisesRegex(errors.JobLostError, r"attempt 2: host \d was"):
      job.result(timeout=self.seconds)


if __name__ == "__main__":
  absltest.main()
