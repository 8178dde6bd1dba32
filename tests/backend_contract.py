"""What every backend promises, as one suite: see backend/base.py.

A backend's own test module makes a subclass of `BackendContract`. Jobs here
are commands: a backend knows nothing of payloads and results.
"""

import contextlib
import dataclasses
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from absl.testing import parameterized

from keras_remote import clock, errors, home
from keras_remote.backend.base import Backend, Observation, Submission
from keras_remote.job import endings, ids, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import Entry, EntryKind, Image, JobSpec, Target
from keras_remote.job.state import State
from keras_remote.packaging import runner_archive
from keras_remote.storage.folder import FolderStore
from keras_remote.storage.store import Store
from tests.fakes.specs import job_spec

# Long enough for anybody: a test that gets there has failed.
LONG = "import time; print('begun', flush=True); time.sleep(600)"
_PATIENCE = 60.0


class BackendContract(parameterized.TestCase):
  """A subclass gives the backend, and a way to kill what it has started."""

  accelerator = "v5e-8"
  image = Image()

  def backend(self) -> Backend:
    """The backend, with room of its own; the same one if asked again."""
    raise AssertionError("a subclass says")

  def kill(self, spec: JobSpec) -> None:
    """Kills the job's first processes, as a failing machine would."""
    raise AssertionError("a subclass says")

  def store(self) -> Store:
    """Where jobs live: both this process and the jobs must reach it."""
    folder = Path(self.create_tempdir("store").full_path)
    folder.chmod(0o700)
    return FolderStore(folder)

  def environ(self) -> Mapping[str, str]:
    """Variables without which jobs would not reach the store."""
    return {}

  @contextlib.contextmanager
  def failing_store(self) -> Iterator[None]:
    """The store fails for this process, and not for jobs."""
    path = Path(self.jobs.uri)
    path.chmod(0o777)  # It is refused: others could write to it.
    try:
      yield
    finally:
      path.chmod(0o700)

  def setUp(self) -> None:
    super().setUp()
    self.used = self.backend()
    self.jobs = self.store()
    # The tests' own home: it is packed once.
    cache = home.ensure(home.Home(home.home()).cache)
    self.runner = runner_archive.runner_archive(cache).path

  def prepare(
    self, script: str, *, hosts: int = 1, timeout: float | None = None
  ) -> Submission:
    """A job that runs the Python script, stored but not submitted."""
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    context = layout.digest(packed.getvalue())
    self.jobs.write(layout.context(context), packed.getvalue())
    job_id = ids.new_job_id("contract", clock.now())
    base = job_spec(job_id, hosts=hosts, accelerator=self.accelerator)
    spec = dataclasses.replace(
      base,
      entry=Entry(EntryKind.COMMAND, argv=("python", "-c", script)),
      environment=dataclasses.replace(base.environment, imports=()),
      limits=dataclasses.replace(base.limits, timeout=timeout),
      target=Target(self.used.name, self.jobs.uri, self.used.place),
      payload=None,
      context=context,
      image=self.image,
    )
    key = signing.job_key(self.used.signing_key(), spec.job_id)
    digest = self.directory(spec).create_spec(spec, key)
    self.addCleanup(self.used.cleanup_job, spec)
    return Submission(spec, digest, self.runner, self.environ(), key)

  def submit(
    self, script: str, *, hosts: int = 1, timeout: float | None = None
  ) -> JobSpec:
    submission = self.prepare(script, hosts=hosts, timeout=timeout)
    self.used.submit_job(submission)
    return submission.spec

  def directory(self, spec: JobSpec) -> JobDirectory:
    return JobDirectory(self.jobs, spec.job_id)

  def watch(self, spec: JobSpec) -> list[Observation]:
    return list(self.used.watch_job(spec, timeout=_PATIENCE))

  def begin(self, script: str = LONG) -> JobSpec:
    """A job that has printed "begun"."""
    spec = self.submit(script)
    printed = b""
    for data in self.used.job_logs(spec, 0):
      printed += data
      if printed == b"begun\n":
        break
    return spec

  def cancel(self, spec: JobSpec) -> None:
    key = signing.job_key(self.used.signing_key(), spec.job_id)
    endings.cancel(self.directory(spec), spec, key, "me")
    self.used.cancel_job(spec)

  def test_a_job_that_succeeds(self) -> None:
    """Its states change until the last one, which an outcome stands for."""
    spec = self.submit("print('hello')")
    seen = self.watch(spec)
    self.assertEqual(seen[-1].state, State.SUCCEEDED)
    for one, other in zip(seen, seen[1:], strict=False):
      self.assertNotEqual(one, other)
      self.assertFalse(one.state.ended)
      self.assertTrue(one.sentence)
    outcome = self.directory(spec).outcome()
    assert outcome
    key = signing.job_key(self.used.signing_key(), spec.job_id)
    signing.verify(outcome, spec.job_id, key)

  def test_a_job_that_fails(self) -> None:
    """Its exit code arrives."""
    spec = self.submit("raise SystemExit(3)")
    self.assertEqual(self.watch(spec)[-1].state, State.FAILED)
    outcome = self.directory(spec).outcome()
    assert outcome
    self.assertEqual(outcome.exit_code, 3)

  def test_submitting_twice(self) -> None:
    """One job: also where several do it at once, and after its end."""
    submission = self.prepare("print('ran')")
    threads = [
      threading.Thread(target=self.used.submit_job, args=(submission,))
      for _ in range(4)
    ]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    self.watch(submission.spec)
    self.used.submit_job(submission)
    self.assertEqual(self.watch(submission.spec)[-1].state, State.SUCCEEDED)
    directory = self.directory(submission.spec)
    self.assertEqual(directory.attempts(), [1])
    self.assertEqual(b"".join(directory.log(1, 0)), b"ran\n")

  def test_values_of_the_environment(self) -> None:
    """They reach the job; the job's key does not."""
    submission = self.prepare("import os; print(sorted(os.environ.items()))")
    environ = {**submission.environ, "TOKEN": "hunter2"}
    submission = dataclasses.replace(submission, environ=environ)
    self.used.submit_job(submission)
    self.watch(submission.spec)
    printed = b"".join(self.directory(submission.spec).log(1, 0)).decode()
    self.assertIn("('TOKEN', 'hunter2')", printed)
    self.assertNotIn(submission.key.hex(), printed)
    self.assertNotIn("KEY_FILE", printed)
    for entry in self.jobs.list(layout.job(submission.spec.job_id)):
      if "/logs/" not in entry.key:
        self.assertNotIn(b"hunter2", self.jobs.read(entry.key))

  def test_a_job_that_was_never_submitted(self) -> None:
    """Nothing is there that could end it: it is lost."""
    spec = self.prepare("").spec
    seen = self.watch(spec)
    self.assertEqual([each.state for each in seen], [State.LOST])

  def test_processes_that_are_gone(self) -> None:
    """They stored no outcome: the job is lost, and nobody waits for ever."""
    spec = self.begin()
    self.kill(spec)
    self.assertEqual(self.watch(spec)[-1].state, State.LOST)
    self.assertIsNone(self.directory(spec).outcome())

  def test_processes_that_are_gone_after_the_end(self) -> None:
    """What an outcome says counts."""
    spec = self.submit("")
    self.watch(spec)
    self.used.cleanup_job(spec)
    self.assertEqual(
      [each.state for each in self.watch(spec)], [State.SUCCEEDED]
    )

  def test_watching_for_a_while(self) -> None:
    """It says how the job stands, and ends when its time is up."""
    spec = self.begin()
    for timeout in (0.0, 0.05):
      seen = list(self.used.watch_job(spec, timeout=timeout))
      self.assertEqual([each.state for each in seen], [State.RUNNING])

  def test_a_store_that_fails(self) -> None:
    """Whoever watches is told; the job goes on."""
    spec = self.begin()
    with self.failing_store(), self.assertRaises(errors.StoreError):
      self.watch(spec)
    self.assertEqual(
      next(iter(self.used.watch_job(spec, timeout=0))).state, State.RUNNING
    )

  def test_logs(self) -> None:
    """Live while it goes on, until it ends; from any byte on; and at once."""
    spec = self.submit(
      "import sys\nfor n in range(3): print(n, flush=True)\n"
      "print('done', file=sys.stderr)"
    )
    whole = b"0\n1\n2\ndone\n"
    self.assertEqual(b"".join(self.used.job_logs(spec, 0)), whole)
    for offset in (0, 3, len(whole), len(whole) + 5):
      found = b"".join(self.used.job_logs(spec, 0, offset=offset))
      self.assertEqual(found, whole[offset:])
    self.assertEqual(b"".join(self.used.job_logs(spec, 0, follow=False)), whole)

  def test_logs_while_it_runs(self) -> None:
    """Without following they are what is there now."""
    spec = self.begin()
    now = b"".join(self.used.job_logs(spec, 0, follow=False))
    self.assertEqual(now, b"begun\n")

  def test_logs_of_what_does_not_exist(self) -> None:
    """They are empty."""
    spec = self.prepare("").spec
    self.assertEqual(list(self.used.job_logs(spec, 0)), [])
    self.assertEqual(list(self.used.job_logs(spec, 7)), [])

  def test_cancelling(self) -> None:
    """The processes end soon, with time to save what they have."""
    spec = self.begin(
      "import signal, time\n"
      "def save(*_):\n"
      "  print('saved', flush=True)\n"
      "  raise SystemExit\n"
      "signal.signal(signal.SIGTERM, save)\n"
      "print('begun', flush=True)\n"
      "time.sleep(600)"
    )
    self.cancel(spec)
    self.assertEqual(self.watch(spec)[-1].state, State.CANCELLED)
    self.assert_log(spec, b"begun\nsaved\n")

  def assert_log(self, spec: JobSpec, text: bytes) -> None:
    """The job's log comes to be this, when its processes have ended."""
    deadline = clock.monotonic() + _PATIENCE
    while b"".join(self.directory(spec).log(1, 0)) != text:
      self.assertLess(clock.monotonic(), deadline, "the log is another one")
      threading.Event().wait(0.02)

  def test_telling_the_processes(self) -> None:
    """They need not find the ending to stop."""
    spec = self.begin()
    self.used.cancel_job(spec)
    self.assertEqual(self.watch(spec)[-1].state, State.LOST)

  def test_cancelling_what_has_ended(self) -> None:
    """It does nothing: not to a job that has ended, not to one unknown."""
    spec = self.submit("")
    self.watch(spec)
    self.used.cancel_job(spec)
    self.used.cancel_job(self.prepare("").spec)
    self.assertEqual(self.watch(spec)[-1].state, State.SUCCEEDED)

  def test_what_was_abandoned(self) -> None:
    """Killed processes leave something, until it is cleaned up; others no."""
    spec = self.begin()
    self.assertFalse(self.used.abandoned(spec))
    self.kill(spec)
    self.watch(spec)
    self.assertTrue(self.used.abandoned(spec))
    self.used.cleanup_job(spec)
    self.assertFalse(self.used.abandoned(spec))
    self.assertFalse(self.used.abandoned(self.prepare("").spec))

  def test_a_death_of_which_nothing_is_known(self) -> None:
    """There is nothing to add."""
    spec = self.prepare("").spec
    self.assertEqual(self.used.death(spec, "nobody"), "")

  def test_cleaning_up(self) -> None:
    """Whatever is left is gone; a second time, or unknown, is no error."""
    spec = self.begin()
    self.used.cleanup_job(spec)
    self.used.cleanup_job(spec)
    self.assertEqual(list(self.used.job_logs(spec, 0)), [])
    self.assertEqual(self.watch(spec)[-1].state, State.LOST)
    self.used.cleanup_job(self.prepare("").spec)

  def test_the_key(self) -> None:
    """It is as long as what it signs with, and stays the same."""
    key = self.used.signing_key()
    self.assertGreaterEqual(len(key), 32)
    self.assertEqual(self.used.signing_key(), key)

  def test_another_ones_jobs(self) -> None:
    """Two jobs do not meet: what ends one leaves the other alone."""
    one, other = self.begin(), self.begin()
    self.cancel(one)
    self.assertEqual(self.watch(one)[-1].state, State.CANCELLED)
    self.used.cleanup_job(one)
    seen = next(iter(self.used.watch_job(other, timeout=0)))
    self.assertEqual(seen.state, State.RUNNING)
