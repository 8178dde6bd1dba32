"""Jobs of two hosts on pathways that tests disturb, and count."""

import contextlib
import datetime
from typing import Any

from keras_remote import clock
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  PODS,
  ROLES,
  SECRETS,
  SETS,
)
from keras_remote.core.command import submit_command
from keras_remote.core.handle import JobHandle
from keras_remote.job.outcome import Outcome
from keras_remote.storage.open import open_store
from tests.cluster.calls import GCS, CallTest, wait_until
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.environment import environment

HOSTS = 2
# Seconds after the outcome within which every pod is gone.
GONE = 5.0
_KINDS = (PODS, SETS, JOBS, ACCOUNTS, ROLES, BINDINGS, SECRETS)
# Says that it was called, and waits until it is told to go on. A command joins
# no JAX, which no host needs here.
_SCRIPT = """
import sys, time, uuid
import keras_remote
from keras_remote.storage.open import open_store
job, store = keras_remote.current_job(), open_store(sys.argv[1])
print("called in", job.attempt, flush=True)
called = f"{job.attempt}/{job.host}/{uuid.uuid4().hex}"
store.write(f"called/{job.id}/{called}", b"")
while not list(store.list("told", limit=1)):
  time.sleep(0.2)
"""


class GangTest(CallTest):
  """Makes jobs of two hosts, and says how they stand.

  Attributes:
    seconds: that two busy cores may take to start or end a group.
  """

  seconds = 240.0

  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("its processes are on other machines")
    (self.project / "work.py").write_text(_SCRIPT)

  def begin(self, gcs: str | None = None, **options: Any) -> JobHandle[None]:
    """A job whose two hosts have called, each in a pod of its own.

    Args:
      gcs: where its hosts find the bucket.
    """
    used: Any = {
      "backend": "pathways",
      "accelerator": "cpu",
      "hosts": HOSTS,
      "cpu": 0.1,
      "capture_env_vars": [GCS],
      **options,
    }
    with environment(**({GCS: gcs} if gcs else {})):
      job = submit_command(("python3", "work.py", self.store), used)
      # It is sent when its spec is there.
      self.assertEqual(job.spec.job_id, job.id)
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
    hosts = [(attempt, host) for host in range(HOSTS)]
    wait_until(
      lambda: self.called(job)[-HOSTS:] == hosts,
      f"attempt {attempt} does not begin",
      self.seconds,
    )

  def pod(self, job: JobHandle[None], host: int) -> Any:
    """The pod of a host."""
    return self.core.read_namespaced_pod(
      f"{job.id}-0" if host == 0 else f"{job.id}-0-{host}",
      self.namespace,
      _request_timeout=REQUEST_SECONDS,
    )

  def remove(self, job: JobHandle[None], host: int) -> None:
    """Deletes a host's pod, as whoever takes its machine away."""
    self.core.delete_namespaced_pod(
      self.pod(job, host).metadata.name,
      self.namespace,
      _request_timeout=REQUEST_SECONDS,
    )

  def stored(self, job: JobHandle[None]) -> Outcome:
    """How it ended, as its own processes have stored: no client helps."""
    outcome = self.directory(job).outcome
    return wait_until(outcome, "there is no outcome", self.seconds)

  def gone_after(self, job: JobHandle[None], outcome: Outcome) -> float:
    """Seconds from the outcome until none of its pods was there."""
    wait_until(lambda: not self.pods(job), "pods are left", self.seconds)
    ended = datetime.datetime.fromisoformat(outcome.ended)
    return (clock.now() - ended).total_seconds()

  def assert_over(self, job: JobHandle[None], attempts: int) -> None:
    """Nothing of it is left, and each host was called once an attempt."""
    there = open_cluster(self.cluster.context, self.namespace)

    def left() -> list[str]:
      return [
        f"{kind.plural} {each['metadata']['name']}"
        for kind in _KINDS
        for each in there.list(kind, pods.selector(job.id)).items
      ]

    with contextlib.suppress(AssertionError):
      wait_until(lambda: not left(), "something is left", self.seconds)
    self.assertEqual(left(), [])
    calls = [
      (attempt + 1, host)
      for attempt in range(attempts)
      for host in range(HOSTS)
    ]
    self.assertEqual(self.called(job), calls)
