"""Groups of a LeaderWorkerSet that end, break, and are started anew."""

import datetime
import time
from typing import Any

from absl.testing import absltest
from kubernetes import client

from keras_remote import clock, errors
from keras_remote.core.command import submit_command
from keras_remote.core.handle import JobHandle
from keras_remote.job.outcome import Outcome
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.cluster.calls import CallTest, wait_until
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS

_HOSTS = 2
# Says that it was called, and waits until it is told to go on.
_SCRIPT = """
import os, sys, time, uuid
import keras_remote
from keras_remote.storage.open import open_store
job, store = keras_remote.current_job(), open_store(sys.argv[1])
called = f"{job.attempt}/{job.host}/{uuid.uuid4().hex}"
store.write(f"called/{job.id}/{called}", b"")
while not list(store.list("told", limit=1)):
  time.sleep(0.2)
"""
# Seconds after the outcome within which every pod is gone.
_GONE = 5.0


class GangTest(CallTest):
  def setUp(self) -> None:
    super().setUp()
    (self.project / "work.py").write_text(_SCRIPT)

  def begin(self, retries: int = 0) -> JobHandle[None]:
    """A job whose two hosts have called, each in a pod of its own."""
    options: Any = {
      "backend": "pathways",
      "accelerator": "cpu",
      "hosts": _HOSTS,
      "retries": retries,
      "cpu": 0.1,
      "capture_env_vars": ["STORAGE_EMULATOR_HOST"],
    }
    job = submit_command(("python3", "work.py", self.store), options)
    self.wait_begun(job, 1)
    return job

  def called(self, job: JobHandle[None]) -> list[tuple[int, int]]:
    """Attempt and host of each call, in order."""
    prefix = f"called/{job.id}/"
    return sorted(
      (int(attempt), int(host))
      for entry in open_store(self.store).list(prefix)
      for attempt, host, _ in [entry.key.removeprefix(prefix).split("/")]
    )

  def wait_begun(self, job: JobHandle[None], attempt: int) -> None:
    """Returns once all hosts have called, in this attempt."""
    hosts = [(attempt, host) for host in range(_HOSTS)]
    wait_until(
      lambda: self.called(job)[-_HOSTS:] == hosts,
      f"attempt {attempt} does not begin",
    )

  def pod(self, job: JobHandle[None], host: int) -> str:
    """The name of a host's pod."""
    return f"{job.id}-0" if host == 0 else f"{job.id}-0-{host}"

  def remove(self, job: JobHandle[None], host: int) -> None:
    """Deletes a host's pod, as whoever takes its machine away."""
    self.core.delete_namespaced_pod(
      self.pod(job, host), self.namespace, _request_timeout=REQUEST_SECONDS
    )

  def kill(self, job: JobHandle[None], host: int) -> None:
    """Kills a host's first process, which is process 1 of its container.

    Within the container nothing can: so its worker is, by its parent's trap.
    """
    script = "import ctypes, os, signal; os.kill(1, signal.SIGSEGV)"
    self.execute(self.pod(job, host), "python3", "-c", script)

  def assert_gone(self, outcome: Outcome) -> None:
    """Soon after the outcome nothing of the job is there."""

    def left() -> list[str]:
      found = self.core.list_namespaced_pod(
        self.namespace, _request_timeout=REQUEST_SECONDS
      ).items
      return [pod.metadata.name for pod in found]

    wait_until(lambda: not left(), "pods are left")
    ended = datetime.datetime.fromisoformat(outcome.ended)
    took = (clock.now() - ended).total_seconds()
    print(f"every pod gone {took:.1f} s after the outcome")
    self.assertLess(took, _GONE)
    batch: Any = client.BatchV1Api(self.api)
    wait_until(
      lambda: (
        not batch.list_namespaced_job(
          self.namespace, _request_timeout=REQUEST_SECONDS
        ).items
      ),
      "its Job is left",
    )

  def stored(self, job: JobHandle[None]) -> Outcome:
    """How it ended, as its own processes have stored: no client helps."""
    directory = self.directory(job)
    return wait_until(directory.outcome, "there is no outcome")

  def test_all_return(self) -> None:
    """Each host has called once, and all is gone with no client there."""
    job = self.begin()
    time.sleep(1)
    self.tell()
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.SUCCEEDED)
    self.assert_gone(outcome)
    self.assertEqual(self.called(job), [(1, 0), (1, 1)])
    self.assertIsNone(job.result(timeout=POD_SECONDS))

  def test_a_pod_that_is_deleted(self) -> None:
    """All hosts start once more, and the job succeeds."""
    job = self.begin(retries=1)
    self.remove(job, 1)
    self.wait_begun(job, 2)
    self.tell()
    outcome = self.stored(job)
    self.assertEqual((outcome.state, outcome.attempt), (State.SUCCEEDED, 2))
    self.assert_gone(outcome)
    self.assertEqual(self.called(job), [(1, 0), (1, 1), (2, 0), (2, 1)])

  def test_pods_that_are_deleted_twice(self) -> None:
    """It ends, and says both times why; nothing is called again."""
    job = self.begin(retries=1)
    self.remove(job, 1)
    self.wait_begun(job, 2)
    self.remove(job, 0)
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.LOST)
    self.assertRegex(
      outcome.message,
      r"attempt 1: host 1 was told to stop .*; attempt 2: host 0 was told to",
    )
    self.assert_gone(outcome)
    self.assertLen(self.called(job), 2 * _HOSTS)
    with self.assertRaises(errors.JobLostError):
      job.result(timeout=POD_SECONDS)


if __name__ == "__main__":
  absltest.main()
