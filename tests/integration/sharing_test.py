"""Several who look at a job, or share what jobs are made of, at once."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from absl.testing import absltest

import keras_remote
from keras_remote import errors
from keras_remote.core.handle import JobHandle
from keras_remote.core.job import Job
from keras_remote.home import Home, home
from keras_remote.job import endings
from keras_remote.job.state import State
from tests.fakes.environment import environment
from tests.integration import faults_test as faults
from tests.integration import harness


def _with_a_child() -> None:
  """Does not heed SIGTERM, and has a child that left the worker's session."""
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  subprocess.Popen(
    ["sleep", "600"],
    start_new_session=True,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  print("running", flush=True)
  time.sleep(600)


class KilledTest(faults.JobTestCase):
  """Whatever comes after the first process was killed, nothing is left."""

  def setUp(self) -> None:
    super().setUp()
    self.job = self.submit(_with_a_child)
    faults.wait_for_text(self.job, "running")

  def kill(self) -> None:
    first = faults.first_process(self.job)
    first.kill()
    first.wait()

  def assert_tidy(self, state: State) -> None:
    self.assertEqual(self.job.status(), state)
    self.assert_nothing_left(self.job)
    self.assertFalse((Home(home()).local / self.job.id).exists())
    self.assertIn("running", self.job.tail())

  def test_whoever_looked_dies_before_cleaning_up(self) -> None:
    """The next one does it."""
    self.kill()
    job = _job(self.job)
    endings.settle(job.directory, job.spec, job.key(), "killed", "me")
    self.assert_tidy(State.LOST)

  def test_in_the_grace_of_a_cancelled_job(self) -> None:
    """Whoever looks next cleans up."""
    self.assertTrue(self.job.cancel())
    self.kill()
    self.assert_tidy(State.CANCELLED)

  def test_before_it_is_cancelled(self) -> None:
    """The cancel cleans up: nobody else need look."""
    self.kill()
    self.assertTrue(self.job.cancel())
    self.assert_nothing_left(self.job)
    self.assert_tidy(State.CANCELLED)


class HomesTest(faults.JobTestCase):
  """Two homes with one store: each has a key of its own."""

  def setUp(self) -> None:
    super().setUp()
    store = self.create_tempdir().full_path
    os.chmod(store, 0o700)
    self.enter_context(keras_remote.settings(store=store))

  def elsewhere(self, do: Callable[[JobHandle[Any]], Any]) -> Any:
    """What is seen of the latest job from another home."""
    folder = self.create_tempdir().full_path
    os.chmod(folder, 0o700)
    with environment(KERAS_REMOTE_HOME=folder):
      return do(keras_remote.attach())

  def test_cancelling_from_another_home(self) -> None:
    """It is refused, and the job keeps its one ending."""
    happens = self.create_tempdir().full_path

    def work() -> int:
      while not os.path.exists(f"{happens}/go"):
        time.sleep(0.02)
      return 7

    job = self.submit(work)
    _ = job.spec
    with self.assertRaisesRegex(errors.IntegrityError, "not signed by"):
      self.elsewhere(JobHandle.cancel)
    self.assertFalse(job.done())
    os.mkdir(f"{happens}/go")
    self.assertEqual(job.result(timeout=30), 7)
    self.assertFalse(self.elsewhere(JobHandle.cancel))
    self.assertEqual(self.elsewhere(JobHandle.status), State.SUCCEEDED)
    self.assertEqual(job.result(), 7)

  def test_the_key_is_gone(self) -> None:
    """How the job ended, and its log, are shown; its result is not used."""
    job = self.submit(lambda: print("hello") or 7)
    job.result(timeout=30)
    self.assert_nothing_left(job)
    place = Home(home())
    key = place.key.read_bytes()
    self.addCleanup(place.key.write_bytes, key)
    place.key.unlink()
    again = keras_remote.attach(job.id)
    self.assertEqual(again.status(), State.SUCCEEDED)
    self.assertEqual(again.tail(), "hello")
    self.assertEqual("".join(again.logs(follow=True)), "hello\n")
    self.assertFalse(again.cancel())
    listed = {each.id: each.state for each in keras_remote.list_jobs()}
    self.assertEqual(listed[job.id], State.SUCCEEDED)
    with self.assertRaises(errors.IntegrityError):
      again.result(timeout=30)

  def test_the_key_is_gone_and_so_are_the_processes(self) -> None:
    """Nobody can end the job any more; lists show it as lost."""
    job = self.submit(_with_a_child)
    faults.wait_for_text(job, "running")
    place = Home(home())
    key = place.key.read_bytes()
    place.key.unlink()
    first = faults.first_process(job)
    first.kill()
    first.wait()
    with self.assertRaises(errors.IntegrityError):
      job.status()
    listed = {each.id: each.state for each in keras_remote.list_jobs()}
    self.assertEqual(listed[job.id], State.LOST)
    place.key.write_bytes(key)
    self.assertEqual(job.status(), State.LOST)


_SLOW = """
import time
import keras_remote
from keras_remote.storage.folder import FolderStore

create = FolderStore.create

def slowly(self, *args, **options):
  time.sleep(2)
  return create(self, *args, **options)

FolderStore.create = slowly
print(keras_remote.run(lambda: 7).submit().status())
"""


class ExitTest(harness.ProjectTest):
  def test_a_job_that_is_still_being_sent(self) -> None:
    """The interpreter's exit waits for it: it runs."""
    self.assertEqual(self.output(_SLOW), "PREPARING\n")
    result = "import keras_remote; print(keras_remote.attach().result(30))"
    self.assertEqual(self.output(result), "7\n")

  def test_a_job_that_is_still_being_packed(self) -> None:
    """The exit waits for it, though nothing of it is in the store yet."""
    git = self.write("bin/git", "#!/bin/sh\nexec sleep 60\n")
    git.chmod(0o700)
    path = f"{git.parent}:{os.environ['PATH']}"
    source = "import keras_remote; print(keras_remote.run(lambda: 7).submit())"
    self.assertIn("PREPARING", self.output(source, PATH=path))
    result = "import keras_remote; print(keras_remote.attach().result(30))"
    self.assertEqual(self.output(result), "7\n")


def _job(handle: JobHandle[Any]) -> Job:
  return Job(handle.spec, handle._directory, handle._backend)


if __name__ == "__main__":
  absltest.main()
