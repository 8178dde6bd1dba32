"""Decorated functions inside a job, and handles in other hands."""

import asyncio
import os
import sys
from pathlib import Path

from absl.testing import absltest

import keras_remote
from keras_remote import errors


class InsideTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    project = Path(self.create_tempdir().full_path)
    self.enter_context(keras_remote.settings(working_dir=project))

  def test_a_decorated_function_is_called_in_place(self) -> None:
    """By call, `local` and `options` alike; no job starts another."""

    @keras_remote.run(accelerator="v5e-4")
    def inner(x: int) -> tuple[int, int]:
      return x, os.getpid()

    def outer() -> tuple[object, ...]:
      found = (inner(1), inner.local(2), inner.options(name="a")(3))
      return (os.getpid(), *found)

    pid, *found = keras_remote.run(outer).submit().result(timeout=30)
    self.assertEqual(found, [(1, pid), (2, pid), (3, pid)])

  def test_a_job_submits_none(self) -> None:
    """It is refused, and the error says what to do."""

    @keras_remote.run
    def inner() -> None: ...

    job = keras_remote.run(lambda: inner.submit()).submit()
    with self.assertRaisesRegex(errors.SubmitError, "runs in place"):
      job.result(timeout=30)

  def test_async_functions_await_each_other(self) -> None:
    """Inside an event loop the caller awaits."""

    @keras_remote.run
    async def inner() -> int:
      return 7

    async def outer() -> int:
      return await inner()  # type: ignore

    job = keras_remote.run(outer).submit()
    self.assertEqual(job.result(timeout=30), 7)

  def test_giving_up_an_await_leaves_the_job(self) -> None:
    """As a time-out of `result` does."""

    def slow() -> str:
      import time

      time.sleep(1)
      return "done"

    job = keras_remote.run(slow).submit()

    async def wait() -> None:
      await asyncio.wait_for(job, 0.1)

    with self.assertRaises(TimeoutError):
      asyncio.run(wait())
    self.assertEqual(job.result(timeout=30), "done")

  def test_cancelling_the_future_cancels_the_job(self) -> None:
    """Whoever cancels wants nothing more of it."""

    def slow() -> None:
      import time

      time.sleep(600)

    job = keras_remote.run(slow).submit()
    self.assertTrue(job.future().cancel())
    with self.assertRaises(keras_remote.JobCancelledError):
      job.result(timeout=30)

  def test_stop_iteration_does_not_hang_an_await(self) -> None:
    """A coroutine cannot be given one: it comes wrapped."""

    def stop() -> None:
      raise StopIteration(3)

    async def wait() -> None:
      await keras_remote.run(stop).submit()

    with self.assertRaisesRegex(errors.RemoteError, "StopIteration: 3"):
      asyncio.run(asyncio.wait_for(wait(), 30))

  def test_reading_a_result_leaves_the_environment_alone(self) -> None:
    """The Keras backend of one job is not that of the next."""
    if "keras" in sys.modules:
      self.skipTest("another test of this process has loaded keras")
    before = os.environ.get("KERAS_BACKEND")
    job = keras_remote.run(env={"KERAS_BACKEND": "torch"})(lambda: 1).submit()
    self.assertEqual(job.result(timeout=30), 1)
    self.assertEqual(os.environ.get("KERAS_BACKEND"), before)

  def test_a_log_of_no_such_host_is_an_error(self) -> None:
    """An empty text would look like a silent host."""
    job = keras_remote.run(lambda: 1).submit()
    job.result(timeout=30)
    with self.assertRaisesRegex(errors.ConfigError, "no host 5"):
      list(job.logs(host=5))


if __name__ == "__main__":
  absltest.main()
