"""What goes wrong in a job ends in the right state, and leaves nothing."""

import atexit
import contextlib
import dataclasses
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from absl.testing import absltest, parameterized

import keras_remote
from keras_remote import errors
from keras_remote.backend.local import LocalBackend
from keras_remote.core import execution, packing
from keras_remote.core.context import job_context
from keras_remote.core.handle import JobHandle
from keras_remote.home import Home, home
from keras_remote.job import layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.state import State
from keras_remote.progress import silent
from keras_remote.storage.open import open_store
from tests.integration.harness import (
  JobTestCase,
  first_process,
  processes,
  wait_for_text,
  wait_until,
)

# A module that takes long to import in a job: before its call, or for it.
_SLOW = """
import os, sys, time
def work(): pass
if "keras_remote.runner.worker" in sys.modules:
  print("importing", "KERAS_REMOTE_JOB" not in os.environ, flush=True)
  time.sleep(600)
"""


class ExceptionTest(JobTestCase):
  def test_it_is_raised_as_itself_with_the_remote_source(self) -> None:
    """Class, arguments, notes and chain arrive; the cause shows the source."""

    def divide(x: int) -> float:
      try:
        return 1 / x
      except ZeroDivisionError as error:
        wrapped = ValueError("bad x", x)
        wrapped.add_note("try another")
        raise wrapped from error

    happens = self.stamp()

    def fail() -> float:
      happens()
      return divide(0)

    job = self.submit(fail)
    self.assert_prompt(job)
    error = self.assert_ends(job, State.FAILED, ValueError, "bad x")
    self.assertEqual(error.args, ("bad x", 0))
    self.assertEqual(error.__notes__, ["try another"])
    self.assertIsInstance(error.__cause__, ZeroDivisionError)
    remote = str(error.__cause__.__cause__)
    self.assertIn("return 1 / x", remote)
    self.assertIn("raise wrapped from error", remote)
    self.assertNotIn("keras_remote/runner", remote)

  def test_a_class_that_cannot_be_made_here_becomes_a_remote_error(
    self,
  ) -> None:
    """Type, message and traceback survive where the class does not."""

    def fail() -> None:
      class StubbornError(Exception):
        def __reduce__(self) -> str:
          raise RuntimeError("no pickling")

      raise StubbornError("cannot travel")

    job = self.submit(fail)
    error = self.assert_ends(
      job, State.FAILED, errors.RemoteError, "cannot travel"
    )
    assert isinstance(error, errors.RemoteError)
    self.assertIn("StubbornError", error.type_name)
    self.assertEqual(error.job_id, job.id)

  def test_sys_exit_is_a_failure_with_its_code(self) -> None:
    """`sys.exit(4)` is a RemoteError; the client lives on."""
    job = self.submit(lambda: sys.exit(4))
    error = self.assert_ends(job, State.FAILED, errors.RemoteError)
    assert isinstance(error, errors.RemoteError)
    self.assertEqual(error.exit_code, 4)
    self.assertEqual(job.outcome().exit_code, 4)

  def test_sys_exit_with_a_text(self) -> None:
    """As Python does it: the text is told, and the code is 1."""
    job = self.submit(lambda: sys.exit("no data"))
    self.assert_ends(job, State.FAILED, errors.RemoteError, "no data")
    self.assertEqual(job.outcome().exit_code, 1)
    self.assertEqual(job.outcome().message, "no data")

  def test_sys_exit_with_a_code_that_is_none(self) -> None:
    """A number that no system takes is the code 255, as Python has it."""
    outcome = self.submit(lambda: sys.exit(10**5000)).outcome(timeout=30)
    self.assertEqual((outcome.state, outcome.exit_code), (State.FAILED, 255))

  def test_sys_exit_zero_is_a_success(self) -> None:
    """A script's `sys.exit(0)` at its end is no failure."""
    job = self.submit(lambda: sys.exit(0))
    self.assertIsNone(job.result(timeout=30))
    self.assertEqual(job.status(), State.SUCCEEDED)

  def test_a_result_that_cannot_be_pickled_is_named(self) -> None:
    """The error says where in the result the culprit is."""
    happens = self.stamp()
    job = self.submit(lambda: happens() or {"a": [threading.Lock()]})
    self.assert_prompt(job)
    self.assert_ends(
      job, State.FAILED, errors.PackagingError, r"\['a'\] → \[0\]"
    )

  def test_a_module_that_is_missing_there_is_named(self) -> None:
    """Also what ignore rule kept it back, where it exists here."""
    (self.project / "secretive.py").write_text("x = 1")
    (self.project / ".gitignore").write_text("secretive.py\n")
    happens = self.stamp()

    def load() -> None:
      happens()
      import secretive  # type: ignore  # noqa: F401

    job = self.submit(load)
    self.assert_prompt(job)
    error = self.assert_ends(job, State.FAILED, ModuleNotFoundError)
    self.assertIn("secretive.py", "".join(error.__notes__))
    self.assertIn(".gitignore", "".join(error.__notes__))

  def test_a_file_that_was_kept_back_is_explained(self) -> None:
    """A FileNotFoundError there for a file that exists here says the rule."""
    (self.project / ".env").write_text("x")
    happens = self.stamp()
    job = self.submit(lambda: happens() or Path(".env").read_text())
    self.assert_prompt(job)
    error = self.assert_ends(job, State.FAILED, FileNotFoundError)
    self.assertIn(".env", "".join(error.__notes__))


class DeathTest(JobTestCase):
  def test_os_exit(self) -> None:
    """The worker's own exit code is told."""

    happens = self.stamp()

    def leave() -> None:
      print("last words", flush=True)
      happens()
      os._exit(3)

    job = self.submit(leave)
    self.assert_prompt(job)
    error = self.assert_ends(job, State.FAILED, errors.WorkerDiedError)
    assert isinstance(error, errors.WorkerDiedError)
    self.assertEqual((error.exit_code, error.signal), (3, None))
    self.assertIn("last words", job.tail())

  def test_a_segmentation_fault_leaves_its_stack_in_the_log(self) -> None:
    """The log shows the Python line that was running."""
    happens = self.stamp()

    def crash() -> None:
      import ctypes

      happens()
      ctypes.string_at(0)

    job = self.submit(crash)
    self.assert_prompt(job)
    error = self.assert_ends(
      job, State.FAILED, errors.WorkerDiedError, "SIGSEGV"
    )
    assert isinstance(error, errors.WorkerDiedError)
    self.assertEqual(error.signal, signal.SIGSEGV)
    self.assertIn("in crash", "".join(job.logs()))

  def test_a_killed_worker(self) -> None:
    """SIGKILL is told, with what it often means."""
    happens = self.stamp()
    job = self.submit(lambda: happens() or os.kill(os.getpid(), signal.SIGKILL))
    self.assert_prompt(job)
    self.assert_ends(job, State.FAILED, errors.WorkerDiedError, "memory")

  def test_a_killed_first_process_takes_its_tree_along(self) -> None:
    """The worker ends itself; whoever looks stores LOST and sweeps the rest."""

    def work() -> None:
      # A child that left the worker's session and closed its pipes.
      subprocess.Popen(
        ["sleep", "600"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
      )
      print("running", flush=True)
      time.sleep(600)

    job = self.submit(work)
    wait_for_text(job, "running")
    self.stamp()()
    first_process(job).kill()
    self.assert_prompt(job)
    self.assert_ends(job, State.LOST, errors.JobLostError, "killed")
    self.assertIn("running", "".join(job.logs()))

  def test_output_that_arrives_late(self) -> None:
    """A child that lives on has a second to say what it has to say."""

    def work() -> None:
      worker = os.getpid()
      if not os.fork():
        _await_end(worker)
        time.sleep(0.2)
        print("late", flush=True)
        time.sleep(600)
      os._exit(3)

    job = self.submit(work)
    self.assert_ends(job, State.FAILED, errors.WorkerDiedError)
    self.assertIn("late", job.tail())

  def test_children_that_outlive_the_function_are_ended(self) -> None:
    """A job's end is the end of all that it started."""

    def work() -> int:
      child = subprocess.Popen(["sleep", "600"], start_new_session=True)
      return child.pid

    job = self.submit(work)
    pid = job.result(timeout=30)
    wait_until(lambda: not psutil.pid_exists(pid), "the child lives")


class TimeoutTest(JobTestCase):
  def test_a_job_that_heeds_sigterm_ends_at_once_and_cleans_up(self) -> None:
    """`finally` blocks run, and what they print is kept."""
    happens = self.stamp()

    def work() -> None:
      try:
        time.sleep(600)
      finally:
        time.sleep(0.5)
        print("saved", flush=True)
        happens()

    job = self.submit(work, timeout=0.5)
    self.assert_prompt(job)
    error = self.assert_ends(job, State.TIMED_OUT, errors.JobTimeoutError)
    self.assertIsInstance(error, TimeoutError)
    self.assertIn("saved", job.tail())

  def test_a_job_that_does_not_is_killed_with_its_children(self) -> None:
    """After the grace everything is killed, detached children too."""

    def work() -> None:
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
      script = "import signal, time; signal.signal(15, 1); time.sleep(600)"
      subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
      time.sleep(600)

    job = self.submit(work, timeout=0.5)
    self.assert_ends(job, State.TIMED_OUT, errors.JobTimeoutError)
    self.assert_nothing_left(job)

  def test_waiting_with_a_timeout_leaves_the_job_running(self) -> None:
    """`result(timeout)` gives up waiting, not the job."""
    job = self.submit(lambda: time.sleep(1) or "done")
    with self.assertRaises(TimeoutError):
      job.result(timeout=0.1)
    self.assertFalse(job.done())
    self.assertEqual(job.result(timeout=30), "done")


class CancelTest(JobTestCase):
  def test_while_running(self) -> None:
    """The function is told by SIGTERM; its log is kept."""

    def work() -> None:
      print("running", flush=True)
      time.sleep(600)

    job = self.submit(work)
    wait_for_text(job, "running")
    self.stamp()()
    self.assertTrue(job.cancel())
    self.assert_prompt(job)
    self.assert_ends(job, State.CANCELLED, errors.JobCancelledError)
    self.assertIn("running", job.tail())

  @parameterized.parameters("site-packages", "project")
  def test_while_importing(self, place: str) -> None:
    """A module that takes long to import does not hold a cancel up.

    An installed one is imported early, one of the project with the function.
    """
    folder = self.project
    if place == "site-packages":
      folder = Path(self.create_tempdir("site-packages").full_path)
      self.enter_context(_variable("PYTHONPATH", str(folder)))
    name = f"slow_of_{place[:4]}"
    (folder / f"{name}.py").write_text(_SLOW)
    self.enter_context(_importable(folder))
    module = importlib.import_module(name)
    self.addCleanup(sys.modules.pop, name)
    job = self.submit(module.work)
    wait_for_text(job, f"importing {place == 'site-packages'}")
    self.stamp()()
    self.assertTrue(job.cancel())
    self.assert_prompt(job)
    self.assert_ends(job, State.CANCELLED, errors.JobCancelledError)

  def test_at_once(self) -> None:
    """A job whose processes have only just started is cancelled too."""
    job = self.submit(lambda: time.sleep(600))
    self.assertTrue(job.cancel())
    self.assert_ends(job, State.CANCELLED, errors.JobCancelledError)

  def test_after_the_end_changes_nothing(self) -> None:
    """What has succeeded stays so."""
    job = self.submit(lambda: 7)
    self.assertEqual(job.result(timeout=30), 7)
    self.assertFalse(job.cancel())
    self.assertEqual(job.result(), 7)


class StopTest(JobTestCase):
  @parameterized.parameters(0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.4)
  def test_sigterm_is_not_an_ending(self, delay: float) -> None:
    """At whatever stage it comes: no outcome of the job's own, nothing left."""
    job = self.submit(lambda: time.sleep(600))
    wait_until(lambda: job.spec and processes(job), "nothing was started")
    first = first_process(job)
    time.sleep(delay)
    self.stamp()()
    first.terminate()
    self.assert_prompt(job)
    self.assert_ends(job, State.LOST, errors.JobLostError)
    outcome = job.outcome()
    self.assertNotIn("host", outcome.writer.split("@")[0])

  def test_sigterm_while_the_ending_is_stored_is_ignored(self) -> None:
    """Once the function has returned its value counts, come what may."""

    def stop() -> None:
      time.sleep(0.5)  # The answer is heard long before.
      os.kill(os.getppid(), signal.SIGTERM)
      time.sleep(0.2)

    def work() -> int:
      atexit.register(stop)
      return 7

    job = self.submit(work)
    self.assertEqual(job.result(timeout=30), 7)
    self.assertEqual(job.status(), State.SUCCEEDED)

  def test_sigterm_when_the_worker_has_ended_is_ignored(self) -> None:
    """Its exit code is what counts, though a child holds its pipes open."""

    def work() -> None:
      first, worker = os.getppid(), os.getpid()
      if not os.fork():
        _await_end(worker)
        time.sleep(0.1)
        os.kill(first, signal.SIGTERM)
        time.sleep(600)
      os._exit(3)

    job = self.submit(work)
    self.assert_ends(job, State.FAILED, errors.WorkerDiedError)
    self.assertEqual(job.outcome().exit_code, 3)


class ForkTest(JobTestCase):
  def test_a_child_that_comes_back(self) -> None:
    """It ends as a child would; the answer is the worker's own."""

    def work(code: object) -> tuple[str, int]:
      child = os.fork()
      if not child:
        if code is None:
          return "the child's", 0
        if code == 1:
          raise ValueError("the child's")
        sys.exit(code)  # type: ignore
      status = os.waitpid(child, 0)[1]
      return "the worker's", os.waitstatus_to_exitcode(status)

    for code, expected in ((None, 0), (1, 1), (5, 5), ("no", 1)):
      job = self.submit(work, code)
      self.assertEqual(job.result(timeout=30), ("the worker's", expected))
      self.assertEqual("the child's" in job.tail(), code == 1)

  @parameterized.parameters(False, True)
  def test_a_child_without_streams_that_comes_back(self, raises: bool) -> None:
    """It ends all the same, and leaves the answer to the worker."""

    def work() -> tuple[str, int]:
      child = os.fork()
      if not child:
        sys.stdout = sys.stderr = None  # type: ignore
        if raises:
          raise ValueError("the child's")
        return "the child's", 0
      status = os.waitpid(child, 0)[1]
      return "the worker's", os.waitstatus_to_exitcode(status)

    job = self.submit(work)
    self.assertEqual(job.result(timeout=30), ("the worker's", int(raises)))

  @parameterized.parameters("fork", "spawn")
  def test_multiprocessing(self, method: str) -> None:
    """Children find the script's functions and classes, and do not run it."""
    script = textwrap.dedent("""
      import functools, multiprocessing, os, sys
      import keras_remote

      class Squared:
        def __init__(self, x):
          self.x = x * x

      def plainly(f):
        @functools.wraps(f)
        def call(*args):
          return f(*args)
        return call

      @plainly
      def square(x):
        return Squared(x)

      @keras_remote.run
      def work(method):
        with multiprocessing.get_context(method).Pool(2) as pool:
          return [s.x for s in pool.map(square, [1, 2])], __file__

      if __name__ == "__main__":
        values, file = work(sys.argv[1])
        print(values, os.path.basename(file), file == __file__)
    """)
    (self.project / "script.py").write_text(script)
    done = subprocess.run(
      [sys.executable, "script.py", method],
      cwd=self.project,
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertEqual(done.stdout, "[1, 4] script.py False\n", done.stderr)


class SecretTest(JobTestCase):
  def test_what_people_read_shows_no_secret(self) -> None:
    """Message, traceback, notes, locals: also as Python writes the value."""
    secret = "s3cret\n" + "0123456789" * 20
    done = repr(secret)[1:-1], secret, "0123456789012"

    def fail(cause: object) -> None:
      value = os.environ["SECRET_OF_TEST"]
      error = KeyError(value)
      error.add_note(value)
      os.environ.pop("SECRET_OF_TEST")
      raise RuntimeError(value) from error

    with _variable("SECRET_OF_TEST", secret):
      job = self.submit(fail, None, capture_env_vars=["SECRET_OF_TEST"])
      outcome = job.outcome(timeout=30)
    directory = job._directory
    report = directory.host_report(1, 0)
    assert report
    self.assertEqual(report.message, "[redacted]")
    self.assertIn("KeyError", outcome.traceback)
    for part in done:
      self.assertNotIn(part, str(outcome))
      self.assertNotIn(part, str(report))

  def test_a_secret_of_several_lines(self) -> None:
    """Each of them is one: texts may show them one by one."""
    lines = ("-----BEGIN KEY-----", "bGluZSBvbmU", "bGluZSB0d28")

    def fail() -> None:
      second = os.environ["SECRET_OF_TEST"].splitlines()[1]
      raise ValueError(f"cannot read {second}")

    with _variable("SECRET_OF_TEST", "\n".join(lines)):
      job = self.submit(fail, capture_env_vars=["SECRET_OF_TEST"])
      outcome = job.outcome(timeout=30)
    self.assertEqual(outcome.message, "cannot read [redacted]")
    self.assertNotIn(lines[1], str(job._directory.host_report(1, 0)))

  def test_a_message_of_20_mb(self) -> None:
    """The outcome keeps its beginning and its end."""

    def fail() -> None:
      raise ValueError("begin" + "x" * 20_000_000 + "end")

    outcome = self.submit(fail).outcome(timeout=30)
    self.assertRegex(outcome.message, r"(?s)^beginx.*characters.*xend$")
    self.assertLess(len(outcome.message), 9_000)
    self.assertLess(len(outcome.traceback), 300_000)


class OutputTest(JobTestCase):
  def test_what_is_not_stored_is_told(self) -> None:
    """The log says which link leads out; what was renamed is kept once."""

    def work() -> None:
      job = keras_remote.current_job()
      assert job
      os.symlink("/", job.output_dir / "outside")
      (job.output_dir / "ckpt").write_text("x")

    job = self.submit(work)
    job.result(timeout=30)
    self.assertEqual([file.path for file in job.files()], ["ckpt"])
    self.assertIn("'outside' leads out", job.tail())


class TamperTest(JobTestCase):
  def _directory(self, job: JobHandle[Any]) -> JobDirectory:
    return job._directory

  def _overwrite(self, job: JobHandle[Any], name: str, data: bytes) -> None:
    directory = self._directory(job)
    directory.store.write(layout.job(job.id, name), data)

  def test_a_result(self) -> None:
    """A result with other bytes than the outcome names is not unpickled."""
    job = self.submit(lambda: 7)
    digest = job.outcome(timeout=30).result
    assert digest
    self._overwrite(job, layout.result(digest), _bomb(self))
    with self.assertRaisesRegex(
      errors.IntegrityError, "the result.*not the one"
    ):
      job.result()
    self.assertFalse(_exploded(self))

  def test_a_result_with_an_outcome_to_match(self) -> None:
    """An outcome that the job did not sign counts as absent.

    What its host has signed says how it ended all the same.
    """
    job = self.submit(lambda: 7)
    outcome = job.outcome(timeout=30)
    self.assert_nothing_left(job)
    bomb = _bomb(self)
    digest = layout.digest(bomb)
    self._overwrite(job, layout.result(digest), bomb)
    from keras_remote.job import wire

    forged = dataclasses.replace(outcome, result=digest)
    self._overwrite(job, layout.OUTCOME, wire.encode(forged))
    self.assertEqual(job.result(timeout=30), 7)
    self.assertFalse(_exploded(self))
    self._overwrite(job, layout.OUTCOME, wire.encode(forged))
    report = layout.attempt(1, layout.host_report(0))
    self._overwrite(job, report, b"{}")
    self.assert_ends(job, State.LOST, errors.JobLostError)
    self.assertFalse(_exploded(self))

  @parameterized.parameters("payload", "context", "spec")
  def test_what_was_sent(self, what: str) -> None:
    """A payload, context or spec that was swapped is refused there."""
    bomb = _bomb(self)

    def swap(directory: JobDirectory, job_id: str, context: str) -> None:
      keys = {
        "payload": layout.job(job_id, layout.PAYLOAD),
        "context": layout.context(context),
        "spec": layout.job(job_id, layout.SPEC),
      }
      data = directory.store.read(keys[what])
      forged = data.replace(b'"retries": 0', b'"retries": 9')
      directory.store.write(keys[what], forged if what == "spec" else bomb)

    job = _submit_with(self, _SwappingBackend, swap)
    if what == "context":  # Other jobs share it: it must not stay so.
      context = layout.context(job._submitted.result().context)
      self.addCleanup(job._directory.store.delete, context)
    with self.assertRaisesRegex(errors.IntegrityError, "not the one that was"):
      job.result(timeout=30)
    self.assertEqual(job.outcome().state, State.FAILED)
    self.assertFalse(_exploded(self))

  def test_an_outcome_that_is_cut_short_counts_as_absent(self) -> None:
    """Whoever looks stores it anew, or that the job was lost where its host has
    not said how it ended; nothing is made up."""
    job = self.submit(lambda: 7)
    self.assertEqual(job.result(timeout=30), 7)
    self.assert_nothing_left(job)
    key = layout.job(job.id, layout.OUTCOME)
    whole = job._directory.store.read(key)
    self._overwrite(job, layout.OUTCOME, whole[:-1])
    self.assertEqual(job.result(timeout=30), 7)
    self._overwrite(job, layout.attempt(1, layout.host_report(0)), b"{}")
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
      self._overwrite(job, layout.OUTCOME, whole[:length])
      self.assert_ends(job, State.LOST, errors.JobLostError)


class FullDiskTest(JobTestCase):
  def test_logs_stop_first_and_the_ending_is_stored(self) -> None:
    """A disk that fills up while the job logs does not cost the ending."""

    def chatter() -> str:
      for _ in range(200):
        print("x" * 100_000)
      return "survived"

    with self.small_disk():
      job = self.submit(chatter)
      self.assertEqual(job.result(timeout=60), "survived")
      self.assertIn("xxx", "".join(job.logs()))
      self.assert_nothing_left(job)

  def test_not_a_byte_is_left(self) -> None:
    """What was kept in reserve suffices for the ending to be told."""

    def fill(path: str) -> str:
      with open(path, "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12):
          with contextlib.suppress(OSError):
            while True:
              filler.write(bytes(size))
      return "x" * 10_000

    with self.small_disk() as disk:
      job = self.submit(fill, f"{disk}/filler")
      outcome = job.outcome(timeout=60)
      self.assert_nothing_left(job)
    self.assertEqual(outcome.state, State.FAILED)
    self.assertIn("No space left", outcome.message)

  def test_a_result_that_does_not_fit(self) -> None:
    """The function has returned: it is not blamed, and the disk is named."""
    with self.small_disk() as disk:
      job = self.submit(lambda: bytes(8 << 20))
      outcome = job.outcome(timeout=60)
      with self.assertRaisesRegex(errors.StoreError, "function has returned"):
        job.result()
      (report,) = job.why().attempts[0].hosts
      self.assert_nothing_left(job)
    self.assertIn(f"in {disk}", outcome.message)
    self.assertIn("No space left on device); make room", outcome.message)
    self.assertEmpty(outcome.traceback)
    self.assertEmpty(report.frames)

  @contextlib.contextmanager
  def small_disk(self) -> Iterator[str]:
    """The home is on a disk of 4 MiB; gives where that is."""
    if os.geteuid() or sys.platform != "linux":
      self.skipTest("mounting a small disk takes root on Linux")
    disk = self.create_tempdir().full_path
    subprocess.run(
      ["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=True
    )
    self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
    with tempfile.TemporaryDirectory(dir=disk) as place:
      os.chmod(place, 0o700)
      with _variable("KERAS_REMOTE_HOME", place):
        yield disk


class KillPointTest(JobTestCase):
  """Killed between any two writes: exactly one ending, nothing left."""

  def test_the_first_process(self) -> None:
    """At each point the job ends as LOST, or as it did, and ran once at most.

    An audit hook of Python kills the process at its n-th link, rename or
    removal: so between any two of its writes.
    """
    marks = self.create_tempdir()
    path = marks.full_path
    states = []
    for point in range(1, 40):
      job = _submit_with(
        self,
        _killing(point),
        None,
        lambda n=point: Path(path, f"{n}-{os.getpid()}").touch(),
      )
      outcome = job.outcome(timeout=30)
      self.assert_nothing_left(job)
      states.append(outcome.state)
      ran = list(Path(path).glob(f"{point}-*"))
      self.assertLessEqual(len(ran), 1)
      if outcome.state is State.SUCCEEDED:
        self.assertLen(ran, 1)
        self.assertIsNone(job.result())
      else:
        self.assertEqual(outcome.state, State.LOST)
      if not _was_killed(job):
        break
    self.assertIn(State.LOST, states)
    self.assertEqual(states[-1], State.SUCCEEDED)
    self.assertGreater(len(states), 5)

  def test_the_client(self) -> None:
    """At each point the job does not exist, was never started, or runs on."""
    script = textwrap.dedent("""
      import os, signal, sys
      import keras_remote
      left = int(sys.argv[1])
      def count(event, args):
        global left
        if event in ("os.link", "os.rename", "os.mkdir"):
          left -= 1
          if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
      job = keras_remote.run(lambda: 7)
      sys.addaudithook(count)
      job.submit().spec
    """)
    (self.project / "client.py").write_text(script)
    place = self.create_tempdir().full_path
    os.chmod(place, 0o700)
    seen: set[str] = set()
    with _variable("KERAS_REMOTE_HOME", place):
      for point in range(1, 60):
        before = {job.id for job in keras_remote.list_jobs()}
        done = subprocess.run(
          [sys.executable, "client.py", str(point)],
          cwd=self.project,
          check=False,
          capture_output=True,
        )
        new = [j for j in keras_remote.list_jobs() if j.id not in before]
        self.assertLessEqual(len(new), 1)
        for summary in new:
          try:
            job = keras_remote.attach(summary.id)
          except errors.JobNotFoundError:  # Listed, and no more than that.
            self.assertEqual(summary.state, State.LOST)
            continue
          outcome = job.outcome(timeout=30)
          seen.add(f"{outcome.state}")
          self.assert_nothing_left(job)
          self.assertIn(outcome.state, (State.LOST, State.SUCCEEDED))
        if not new:
          seen.add("none")
        if done.returncode == 0:
          break
      else:
        self.fail("the client was killed at every point")
    self.assertEqual(seen, {"none", "LOST", "SUCCEEDED"})


def _await_end(pid: int) -> None:
  """Waits until the process is gone and its parent knows."""
  with contextlib.suppress(ProcessLookupError):
    while True:
      os.kill(pid, 0)
      time.sleep(0.01)


class _SwappingBackend(LocalBackend):
  """Changes what is in the store just before the processes start."""

  swap: Any = None

  def submit_job(
    self, submission: Any, stored: Callable[[], object] = lambda: None
  ) -> None:
    stored()
    spec = submission.spec
    directory = JobDirectory(open_store(spec.target.store), spec.job_id)
    type(self).swap(directory, spec.job_id, spec.context)
    super().submit_job(submission)


def _killing(point: int) -> type[LocalBackend]:
  """A backend whose first processes are killed at their n-th write."""
  script = textwrap.dedent("""
    import os, runpy, signal, sys
    left = int(sys.argv.pop(1))
    def count(event, args):
      global left
      if event in ("os.link", "os.rename", "os.remove"):
        left -= 1
        if left == 0:
          os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    sys.argv[:] = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
  """)

  class KillingBackend(LocalBackend):
    def command(self, runner: Path, store: str) -> list[str]:
      # The last word stays as argv[0] of the runner.
      return [sys.executable, "-I", "-S", "-c", script, str(point), str(runner)]

  return KillingBackend


def _submit_with(
  test: JobTestCase,
  backend: type[LocalBackend],
  swap: Any,
  function: Callable[[], object] = lambda: 7,
) -> JobHandle[Any]:
  context = job_context({})
  used = backend(Home(home()))
  if swap is not None:
    _SwappingBackend.swap = staticmethod(swap)
  context = dataclasses.replace(context, backend=used)
  packed = packing.pack_call(context, function, (), {}, {}, silent)
  job_id, submitted = execution.execute_remote(context, packed, silent)
  job: JobHandle[Any] = JobHandle(job_id, context.store, used, submitted)
  test.addCleanup(test.assert_nothing_left, job)
  return job


def _was_killed(job: JobHandle[Any]) -> bool:
  """Whether the first process was killed rather than ended by itself."""
  scratch = Home(home()).local / job.id / "host-0" / "scratch"
  return scratch.exists() or job.outcome().state is State.LOST


def _bomb(test: absltest.TestCase) -> bytes:
  """A pickle that leaves a trace when it is loaded."""
  import pickle

  class Bomb:
    def __reduce__(self) -> Any:
      return os.mkdir, (_trace(test),)

  return pickle.dumps(Bomb())


def _trace(test: absltest.TestCase) -> str:
  return os.path.join(tempfile.gettempdir(), f"bomb-{os.getpid()}-{id(test)}")


def _exploded(test: absltest.TestCase) -> bool:
  return os.path.exists(_trace(test))


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
  sys.path.insert(0, str(folder))
  try:
    yield
  finally:
    sys.path.remove(str(folder))


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
  before = os.environ.get(name)
  os.environ[name] = value
  try:
    yield
  finally:
    if before is None:
      del os.environ[name]
    else:
      os.environ[name] = before


if __name__ == "__main__":
  absltest.main()
