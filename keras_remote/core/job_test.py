import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Observation, Wanted
from keras_remote.backend.gke import GKEBackend
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.objects import JOBS, PODS, SECRETS
from keras_remote.core import pending
from keras_remote.core.collect import error_of
from keras_remote.core.console import Console
from keras_remote.core.job import Job
from keras_remote.home import Home, ensure
from keras_remote.job import endings
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause
from keras_remote.job.spec import JobSpec, Limits, Target
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import CONTEXT, KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec


class _ClusterCase(KubernetesCase):
  """A job on a cluster, of which nothing but its directory is there."""

  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    store = open_store(str(ensure(base / "store")))
    wanted = Wanted(CONTEXT, None, "image:1")
    self.backend = GKEBackend(Home(ensure(base / "home")), wanted, None)
    spec = job_spec(accelerator="cpu")
    spec = dataclasses.replace(
      spec,
      target=Target("gke", store.uri, self.backend.place),
      limits=Limits(pending_timeout=0.2),
    )
    self.job = Job(spec, JobDirectory(store, JOB_ID), self.backend)
    self.job.directory.create_spec(spec, self.job.key())

  def refusing(self, method: str, part: str) -> Job:
    """The job, for a user who may not do this, and has asked nothing yet."""

    def refuse(request: Request) -> int | None:
      return 403 if request.method == method and part in request.path else None

    self.server.fault = refuse
    home = Home(ensure(Path(self.create_tempdir().full_path, "theirs")))
    backend = GKEBackend(home, Wanted("other", None), None)
    return dataclasses.replace(self.job, backend=backend)


class RightsTest(_ClusterCase):
  """Those who see a job that is lost, and may not do all that ends it."""

  def test_who_may_not_remove_it(self) -> None:
    """They end it, and hear how: the rest goes with its time."""
    outcome = self.refusing("DELETE", "/").outcome()
    self.assertEqual(outcome.state, State.LOST)
    self.assertEqual(self.job.directory.outcome(), outcome)

  def test_who_may_not_read_its_log(self) -> None:
    """They end it, and remove it, without that."""
    endings.claim(
      self.job.directory, self.job.spec, self.job.key(), allocation="pod"
    )
    statuses = [{"state": {"terminated": {"exitCode": 137}}}]
    labels = pods.labels(self.job.spec)
    self.put(
      PODS,
      {
        "metadata": {"name": f"{JOB_ID}-x", "labels": labels},
        "spec": {"containers": [{"image": "image:1"}]},
        "status": {"phase": "Failed", "containerStatuses": statuses},
      },
    )
    self.put(SECRETS, {"metadata": {"name": JOB_ID}})
    outcome = self.refusing("GET", "/log").outcome()
    self.assertEqual(outcome.state, State.LOST)
    self.assertIsNone(self.found(SECRETS, JOB_ID))

  def test_who_may_not_read_the_key(self) -> None:
    """They see that it is lost, and leave it to others to end it."""
    job = self.refusing("GET", "/secrets/")
    self.assertEqual([s.state for s in job.watch()], [State.LOST])
    self.assertIsNone(job.directory.outcome())
    with self.assertRaisesRegex(errors.ClusterAccessError, "create role"):
      job.outcome()


class PendingTest(_ClusterCase):
  """A job whose pod waits for what cannot come."""

  def setUp(self) -> None:
    super().setUp()
    spec = self.job.spec
    labels = pods.labels(spec)
    self.put(JOBS, {"metadata": {"name": JOB_ID, "labels": labels}, "spec": {}})
    waiting = {"reason": "InvalidImageName", "message": "A B"}
    statuses = [{"state": {"waiting": waiting}}]
    self.put(
      PODS,
      {
        "metadata": {"name": f"{JOB_ID}-x", "labels": labels},
        "spec": {"containers": [{"image": "A B"}]},
        "status": {"phase": "Pending", "containerStatuses": statuses},
      },
    )

  def test_its_end(self) -> None:
    """It says what it waited for, in an error of its own; all else goes."""
    outcome = self.job.outcome(timeout=20)
    self.assertEqual(
      (outcome.state, outcome.cause), (State.TIMED_OUT, Cause.PENDING)
    )
    self.assertIn("0.2 s in vain (pending_timeout): its image", outcome.message)
    self.assertEqual(self.job.directory.outcome(), outcome)
    self.assertIsNone(self.found(JOBS, JOB_ID))
    error = error_of(self.job.spec, outcome)
    self.assertIsInstance(error, errors.JobTimeoutError)

  def test_who_may_not_remove_it(self) -> None:
    """They end it, and hear how."""
    outcome = self.refusing("DELETE", "/").outcome(timeout=20)
    self.assertEqual(outcome.cause, Cause.PENDING)
    self.assertEqual(self.job.directory.outcome(), outcome)

  def test_who_may_not_read_the_key(self) -> None:
    """They see that it waits, and go on: others end it."""
    seen = list(self.refusing("GET", "/secrets/").watch(timeout=0.6))
    self.assertEqual({each.state for each in seen}, {State.PENDING})
    self.assertTrue(any(each.overdue for each in seen))
    self.assertIsNone(self.job.directory.outcome())

  def test_what_is_said(self) -> None:
    """Who waits in a place that is no terminal is told why, once."""
    err = io.StringIO()
    ended = pending.ending(
      self.job, Console(io.StringIO(), err), 20, prefix="train: ", quiet=0.05
    )
    self.assertEqual(ended.outcome.state, State.TIMED_OUT)
    (line,) = err.getvalue().splitlines()
    self.assertStartsWith(line, "keras_remote: train: waiting: its image A B")

  def test_a_job_that_waits_again(self) -> None:
    """Why one that ran waits again is said as well, once."""
    outcome = endings.cancel(
      self.job.directory, self.job.spec, self.job.key(), "me"
    )
    runs = Observation(State.RUNNING, "it runs")
    waits = Observation(State.PENDING, "it is started again")
    ended = Observation(outcome.state, outcome.message, outcome)

    said = self.told(iter([(runs,), (runs, waits, runs, waits, ended)]))
    self.assertEqual(
      said, "keras_remote: train: waiting: it is started again\n"
    )

  def test_a_job_that_waits_for_long(self) -> None:
    """Once it is said why, one watch tells of all that comes."""
    outcome = endings.cancel(
      self.job.directory, self.job.spec, self.job.key(), "me"
    )
    waits = Observation(State.PENDING, "it is full")
    runs = Observation(State.RUNNING, "it runs")
    ended = Observation(outcome.state, outcome.message, outcome)
    watches = iter([(waits,), (waits, runs, ended)])
    said = self.told(watches)
    self.assertEqual(said, "keras_remote: train: waiting: it is full\n")
    self.assertEmpty(list(watches))

  def told(self, watches: Iterator[tuple[Observation, ...]]) -> str:
    """What who waits is told of a job where each watch shows this."""

    class Scripted(GKEBackend):
      def watch_job(
        self, spec: JobSpec, *, timeout: float | None = None
      ) -> Iterator[Observation]:
        del spec, timeout
        yield from next(watches)

    home = Home(ensure(Path(self.create_tempdir().full_path, "home")))
    backend = Scripted(home, Wanted(CONTEXT), None)
    job = dataclasses.replace(self.job, backend=backend)
    err = io.StringIO()
    pending.ending(job, Console(io.StringIO(), err), prefix="train: ")
    return err.getvalue()

  def test_a_time_that_is_up(self) -> None:
    """The error says which, and the job goes on."""
    console = Console(io.StringIO(), io.StringIO())
    endings.claim(
      self.job.directory, self.job.spec, self.job.key(), allocation="pod"
    )
    for quiet in (0.05, 5.0):
      with self.assertRaisesRegex(TimeoutError, "within 0.3 s"):
        pending.ending(self.job, console, 0.3, quiet=quiet)

  def test_a_start_that_was_faster(self) -> None:
    """The job is not ended: it may have called the function."""
    endings.claim(
      self.job.directory, self.job.spec, self.job.key(), allocation="pod"
    )
    with self.assertRaises(TimeoutError):
      self.job.outcome(timeout=0.6)
    self.assertIsNotNone(self.found(JOBS, JOB_ID))


if __name__ == "__main__":
  absltest.main()
