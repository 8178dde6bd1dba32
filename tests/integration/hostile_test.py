"""What a function does to its own process costs neither value nor ending."""

import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

import keras_remote
from keras_remote import errors
from keras_remote.job.launch import (
  ALLOCATION_VARIABLE,
  JOB_VARIABLE,
  VARIABLES,
)
from keras_remote.job.state import State
from tests.integration.harness import JobTestCase


class _Mute:
  """A stream without `flush`, as people write them."""

  def write(self, text: str) -> int:
    return len(text)


class _Failing(io.StringIO):
  def flush(self) -> None:
    raise RuntimeError("no flush")


def _closed() -> io.StringIO:
  stream = io.StringIO()
  stream.close()
  return stream


class StreamsTest(JobTestCase):
  @parameterized.named_parameters(
    ("without_flush", _Mute),
    ("none", lambda: None),
    ("that_fails", _Failing),
    ("closed", _closed),
  )
  def test_a_stream_of_its_own(self, make: Callable[[], Any]) -> None:
    """The value is there, and what other streams held back is written."""

    def work() -> int:
      sys.stdout = make()
      # Its end is no line's, so it is held back.
      sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
      sys.stderr.write("held back")
      return 42

    job = self.submit(work)
    self.assertEqual(job.result(timeout=30), 42)
    self.assertIn("held back", job.tail())

  def test_a_flush_that_takes_for_ever(self) -> None:
    """The value is there all the same, after the grace."""

    def work() -> int:
      class Slow(io.StringIO):
        def flush(self) -> None:
          time.sleep(600)

      sys.stdout = Slow()
      return 42

    self.assertEqual(self.submit(work).result(timeout=30), 42)

  def test_closed_descriptors(self) -> None:
    """A daemon's way to begin: the value arrives in another way."""

    def work() -> int:
      os.closerange(3, 1024)
      return 42

    self.assertEqual(self.submit(work).result(timeout=30), 42)

  def test_descriptors_that_became_other_files(self) -> None:
    """Nothing of ours is written into them."""

    def work() -> int:
      os.closerange(3, 1024)
      output = Path(os.environ["KERAS_REMOTE_OUTPUT_DIR"])
      for number in range(60):
        os.open(output / str(number), os.O_RDWR | os.O_CREAT)
      return 42

    job = self.submit(work)
    self.assertEqual(job.result(timeout=30), 42)
    self.assertEqual({file.size for file in job.files()}, {0})

  def test_an_exception_without_a_pipe(self) -> None:
    """It arrives as well."""

    def work() -> None:
      os.closerange(3, 1024)
      raise LookupError("nowhere")

    job = self.submit(work)
    self.assert_ends(job, State.FAILED, LookupError, "nowhere")

  def test_a_death_without_a_pipe(self) -> None:
    """Who says nothing has not answered."""

    def work() -> None:
      os.closerange(3, 1024)
      os._exit(0)

    job = self.submit(work)
    self.assert_ends(job, State.FAILED, errors.WorkerDiedError)


class ExceptionTest(JobTestCase):
  @parameterized.parameters(
    "__str__", "__repr__", "__reduce__", "__reduce_ex__", "__notes__",
    "__class__", "__cause__", "__dict__", "__bool__", "__len__", "__eq__",
    "__hash__", "__getattribute__", "with_traceback",
  )  # fmt: skip
  def test_one_that_misbehaves(self, name: str) -> None:
    """The job fails with its type, whatever its own methods raise."""

    def fail() -> None:
      def misbehave(*args: object) -> object:
        raise SystemExit("misbehaved")

      made: Any = property(misbehave)
      if name not in ("__notes__", "__class__", "__cause__", "__dict__"):
        made = misbehave
      raise type("OddError", (Exception,), {name: made})("odd")

    outcome = self.submit(fail).outcome(timeout=30)
    self.assertEqual(outcome.state, State.FAILED)
    self.assertEqual(outcome.cause, "exception")
    self.assertIn("OddError", outcome.exception_type)


class SurroundingsTest(JobTestCase):
  def test_variables(self) -> None:
    """Of those by which its job was launched it knows none that say how.

    Its allocation alone: by that, processes that it leaves are found.
    """

    def names() -> list[str]:
      import keras_remote.job.launch

      return sorted(keras_remote.job.launch.VARIABLES & set(os.environ))

    self.assertCountEqual(
      self.submit(names).result(timeout=30),
      (ALLOCATION_VARIABLE, JOB_VARIABLE, "KERAS_REMOTE_OUTPUT_DIR"),
    )
    self.assertGreater(len(VARIABLES), 5)

  def test_an_output_folder_that_became_a_link(self) -> None:
    """What it leads to may be anybody's: none of it is kept, and that told."""
    outside = Path(self.create_tempdir().full_path)
    (outside / "secret").write_text("x")

    def work() -> None:
      job = keras_remote.current_job()
      assert job
      shutil.rmtree(job.output_dir)
      job.output_dir.symlink_to(outside)

    job = self.submit(work)
    job.result(timeout=30)
    self.assertEmpty(list(job.files()))
    self.assertIn("was replaced by a link", job.tail())


if __name__ == "__main__":
  absltest.main()
