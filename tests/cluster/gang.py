"""Jobs of several hosts on pathways that tests disturb, and count."""

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

# Seconds after the outcome within which every pod is gone.
GONE = 5.0
# Seconds between two looks: what is looked at has its time, and the cores are
# for the hosts.
_LOOK = 0.5
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
  """Makes jobs of several hosts, and says how they stand.

  Attributes:
    accelerator: what they ask for.
    hosts: that this is; of one machine each, where the number does not follow.
    seconds: that two busy cores may take to start or end a group.
  """

  accelerator = "cpu"
  hosts = 2
  seconds = 240.0

  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("its processes are on other machines")
    (self.project / "work.py").write_text(_SCRIPT)

  def begin(self, gcs: str | None = None, **options: Any) -> JobHandle[None]:
    """A job whose hosts have called, each in a pod of its own.

    Args:
      gcs: where its hosts find the bucket.
    """
    job = self.send(gcs, **options)
    self.wait_begun(job, 1)
    return job

  def send(self, gcs: str | None = None, **options: Any) -> JobHandle[None]:
    """A job that is on its way; as above."""
    used: Any = {
      "backend": "pathways",
      "accelerator": self.accelerator,
      "cpu": 0.1,
      "capture_env_vars": [GCS],
      **({"hosts": self.hosts} if self.accelerator == "cpu" else {}),
      **options,
    }
    with environment(**({GCS: gcs} if gcs else {})):
      job = submit_command(("python3", "work.py", self.store), used)
      # It is sent with its spec, which has the variable.
      self.assertEqual(job.spec.job_id, job.id)
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
    hosts = [(attempt, host) for host in range(self.hosts)]
    wait_until(
      lambda: self.called(job)[-self.hosts :] == hosts,
      f"attempt {attempt} does not begin",
      self.seconds,
      _LOOK,
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
    return wait_until(outcome, "there is no outcome", self.seconds, _LOOK)

  def gone_after(self, job: JobHandle[None], outcome: Outcome) -> float:
    """Seconds from the outcome until none of its pods was there."""
    wait_until(lambda: not self.pods(job), "pods are left", self.seconds)
    ended = datetime.datetime.fromisoformat(outcome.ended)
    return (clock.now() - ended).total_seconds()

  def assert_over(self, job: JobHandle[None], attempts: int) -> None:
    """Nothing of it is left, and each host was called once an attempt."""
    self.assert_gone(pods.selector(job.id))
    calls = [
      (attempt + 1, host)
      for attempt in range(attempts)
      for host in range(self.hosts)
    ]
    self.assertEqual(self.called(job), calls)

  def assert_gone(self, selector: str = pods.JOB_LABEL) -> None:
    """Nothing is left with such labels, by default nothing of any job."""
    there = open_cluster(self.cluster.context, self.namespace)

    def left() -> list[str]:
      return [
        f"{kind.plural} {each['metadata']['name']}"
        for kind in _KINDS
        for each in there.list(kind, selector).items
      ]

    with contextlib.suppress(AssertionError):
      wait_until(lambda: not left(), "something is left", self.seconds, _LOOK)
    self.assertEqual(left(), [])
