"""What is sent, and what is taken back where that fails."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Submission
from keras_remote.backend.local import LocalBackend
from keras_remote.core import archives, execution, packing
from keras_remote.core.context import JobContext, job_context
from keras_remote.core.handle import JobHandle
from keras_remote.home import ensure
from keras_remote.job import index, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import ALLOCATION_VARIABLE
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.progress import Step, silent
from keras_remote.storage.store import Store
from tests.fakes.environment import environment
from tests.fakes.watched_store import WatchedStore, failing_at


class _Failing(LocalBackend):
  """Fails when the processes have started already."""

  def submit_job(
    self,
    submission: Submission,
    stored: Callable[[], object] = lambda: None,
  ) -> None:
    super().submit_job(submission, stored)
    raise errors.SubmitError("the machine is full")


class _Unreachable(_Failing):
  """Fails so, and cannot be asked to take it back either."""

  def cleanup_job(self, spec: JobSpec) -> None:
    raise errors.ClusterError("the cluster cannot be reached")


class ExecutionTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path).resolve()
    project = base / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    self.enter_context(environment(KERAS_REMOTE_HOME=str(base / "home")))
    self.context = job_context({"working_dir": project})
    self.said: list[Step] = []

  def execute(
    self, context: JobContext, function: Callable[[], object] = lambda: 7
  ) -> JobHandle[int]:
    packed = packing.pack_call(context, function, (), {}, {}, silent)
    report = self.said.append
    job_id, submitted = execution.execute_remote(context, packed, report)
    return JobHandle(job_id, context.store, context.backend, submitted)

  def with_store(self, store: Store) -> JobContext:
    return dataclasses.replace(self.context, store=store)

  def refused(self, context: JobContext) -> None:
    """Sends a job until that fails, however long it takes."""
    _ = self.execute(context).spec

  def assert_nothing_left(self) -> None:
    store, home = self.context.store, self.context.home
    archives.remove_unused(store, home)
    rooms = (layout.JOBS, layout.INDEX, layout.CONTEXTS)
    self.assertEmpty([e.key for room in rooms for e in store.list(room)])
    for folder in home.local, home.preparing:
      self.assertEmpty(list(folder.glob("*")))
    self.assertEmpty([p for p in psutil.process_iter() if self._ours(p)])

  def _ours(self, process: psutil.Process) -> bool:
    try:
      environ = process.environ()
    except psutil.Error:
      return False
    home = os.environ["KERAS_REMOTE_HOME"]
    # Pods on this machine have an allocation too, and no home.
    return (
      ALLOCATION_VARIABLE in environ
      and environ.get("KERAS_REMOTE_HOME") == home
    )

  def test_a_backend_that_fails(self) -> None:
    """Neither files nor processes are left of the job."""
    backend = _Failing(self.context.home)
    context = dataclasses.replace(self.context, backend=backend)
    with self.assertRaisesRegex(errors.SubmitError, "is full"):
      self.refused(context)
    self.assert_nothing_left()

  def test_what_a_refused_job_costs(self) -> None:
    """Nothing of other jobs is read; its project stays for the next try."""
    asked: list[str] = []

    def watch(method: str, key: str) -> None:
      asked.append(f"{method} {key}")

    other = self.execute(self.context)
    self.assertEqual(other.result(timeout=30), 7)
    (ensure(self.context.root) / "new.py").touch()
    context = self.with_store(WatchedStore(self.context.store, watch))
    backend = _Failing(self.context.home)
    with self.assertRaisesRegex(errors.SubmitError, "is full"):
      self.refused(dataclasses.replace(context, backend=backend))
    self.assertEmpty([each for each in asked if other.id in each])
    sent = [each for each in asked if each.startswith("create contexts/")]
    self.assertLen(sent, 1)
    asked.clear()
    self.assertEqual(self.execute(context).result(timeout=30), 7)
    self.assertNotIn(sent[0], asked)

  def test_a_backend_that_cannot_take_it_back(self) -> None:
    """What may have been started hears from the store that it is cancelled."""
    backend = _Unreachable(self.context.home)
    context = dataclasses.replace(self.context, backend=backend)
    with self.assertRaisesRegex(errors.SubmitError, "is full"):
      self.refused(context)
    (warning,) = [step.what for step in self.said if step.warning]
    self.assertIn("may have started all the same", warning)
    (row,) = index.rows(self.context.store)
    directory = JobDirectory(self.context.store, row.job_id)
    key = signing.job_key(backend.signing_key(), row.job_id)
    spec, outcome = directory.spec(key=key), directory.outcome(key)
    self.addCleanup(self.context.backend.cleanup_job, spec)
    assert outcome
    self.assertEqual(outcome.state, State.CANCELLED)

  def assert_fails_at(self, write: int) -> None:
    error = errors.StoreError("the store is full")
    store = failing_at(self.context.store, write, error, ("write", "create"))
    with self.assertRaisesRegex(errors.StoreError, "is full"):
      self.refused(self.with_store(store))

  def test_a_store_that_fails_at_any_write(self) -> None:
    """What had been written is taken back, but what other jobs need."""
    for write in range(5):  # Index, signature, spec, project and payload.
      self.assert_fails_at(write)
      self.assert_nothing_left()
    job = self.execute(self.context)
    self.assertEqual(job.result(timeout=30), 7)
    for write in range(4):  # The project need not be sent again.
      self.assert_fails_at(write)
      archives.keep(self.context.store, job.spec)

  def test_the_key_is_asked_for_while_the_project_is_packed(self) -> None:
    """The first call of a process need not wait for it on its own."""
    asked = threading.Event()

    class Asked(LocalBackend):
      def signing_key(self) -> bytes:
        asked.set()
        return super().signing_key()

    def report(step: Step) -> None:
      if step.what.startswith("packing the project"):
        self.said.append(step)
        self.assertTrue(asked.wait(30))

    (self.context.root / "some.py").touch()
    backend = Asked(self.context.home)
    context = dataclasses.replace(self.context, backend=backend)
    packed = packing.pack_call(context, lambda: 7, (), {}, {}, silent)
    job_id, sent = execution.execute_remote(context, packed, report)
    job = JobHandle[int](job_id, context.store, backend, sent)
    self.assertEqual(job.result(timeout=30), 7)
    self.assertNotEmpty(self.said)

  def test_a_key_that_is_not_there(self) -> None:
    """Nothing is sent, and the call's payload is let go."""

    class Closed(LocalBackend):
      def signing_key(self) -> bytes:
        raise errors.ClusterAccessError("it is not yours")

    context = dataclasses.replace(
      self.context, backend=Closed(self.context.home)
    )
    packed = packing.pack_call(context, lambda: 7, (), {}, {}, silent)
    with self.assertRaisesRegex(errors.ClusterAccessError, "not yours"):
      execution.execute_remote(context, packed, silent)[1].result()
    assert packed.stream
    self.assertTrue(packed.stream.closed)
    self.assert_nothing_left()

  def test_what_stays_of_a_submission(self) -> None:
    """That it was this home's own is known for a day, and then swept away."""
    home = self.context.home
    (ensure(home.preparing) / "old").touch()
    os.utime(home.preparing / "old", (1, 1))
    job = self.execute(self.context)
    job.result(timeout=30)
    self.sent()
    self.assertEqual([p.name for p in home.preparing.iterdir()], [job.id])
    self.assertTrue(home.has_prepared(job.id))
    self.assertFalse(home.prepares(job.id))

  def test_a_slow_store(self) -> None:
    """`submit` does not wait for it, and the job comes to run."""
    go = threading.Event()

    def watch(method: str, key: str) -> None:
      if method == "create":
        go.wait(30)

    began = time.monotonic()
    job = self.execute(self.with_store(WatchedStore(self.context.store, watch)))
    try:
      self.assertLess(time.monotonic() - began, 2.5)
      self.assertEqual(job.status(), State.PREPARING)
    finally:
      go.set()
    self.assertEqual(job.result(timeout=30), 7)

  def sent(self) -> None:
    """Returns once nobody is at sending a job any more."""
    for thread in threading.enumerate():
      if thread.name.startswith("submit "):
        thread.join(30)

  def assert_withdrawn(self, job: JobHandle[int]) -> None:
    """It is cancelled, and nobody had to wait for that."""
    began = time.monotonic()
    self.assertTrue(job.cancel())
    self.assertEqual(job.status(), State.CANCELLED)
    with self.assertRaisesRegex(errors.JobCancelledError, job.id):
      job.result()
    self.assertFalse(job.cancel())
    self.assertLess(time.monotonic() - began, 2.0)

  def test_cancelling_while_it_is_sent(self) -> None:
    """It is neither waited for nor sent, and nothing is left of it."""
    go = threading.Event()

    def watch(method: str, key: str) -> None:
      if method == "create":
        go.wait(30)

    job = self.execute(self.with_store(WatchedStore(self.context.store, watch)))
    try:
      self.assert_withdrawn(job)
    finally:
      go.set()
    self.sent()
    self.assert_nothing_left()
    self.assertEmpty([step.what for step in self.said if step.warning])

  def test_cancelling_just_as_it_starts(self) -> None:
    """What is there already ends as cancelled."""
    begun, go = threading.Event(), threading.Event()

    class Slow(LocalBackend):
      def submit_job(
        self,
        submission: Submission,
        stored: Callable[[], object] = lambda: None,
      ) -> None:
        super().submit_job(submission, stored)
        begun.set()
        go.wait(30)

    backend = Slow(self.context.home)
    context = dataclasses.replace(self.context, backend=backend)
    job = self.execute(context, lambda: time.sleep(60))
    try:
      self.assertTrue(begun.wait(30))
      self.assert_withdrawn(job)
    finally:
      go.set()
    self.sent()
    (row,) = index.rows(self.context.store)
    self.assertEqual((row.job_id, row.state), (job.id, State.CANCELLED))

  def test_what_was_found_in_the_store_stays(self) -> None:
    """Who removes what no job needs does not take it from one that is sent."""
    first = self.execute(self.context)
    self.assertEqual(first.result(timeout=30), 7)
    store, key = self.context.store, layout.context(first.spec.context)
    JobDirectory(store, first.id).delete(first.spec)
    sent: list[JobHandle[int]] = []
    found = threading.Event()

    def watch_sender(method: str, key: str) -> None:
      if method == "create" and key.endswith(layout.PAYLOAD):
        found.set()

    def send() -> None:
      watched = WatchedStore(store, watch_sender)
      sent.append(self.execute(self.with_store(watched)))

    sender = threading.Thread(target=send)

    def watch_remover(method: str, key: str) -> None:
      if (method, key) == ("list", layout.CONTEXTS):
        sender.start()
        found.wait(0.5)

    remover = WatchedStore(store, watch_remover)
    archives.remove_unused(remover, self.context.home)
    sender.join()
    self.assertEqual(sent[0].result(timeout=30), 7)
    archives.remove_unused(store, self.context.home)
    self.assertNotEmpty(list(store.list(key)))


if __name__ == "__main__":
  absltest.main()
