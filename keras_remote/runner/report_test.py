import signal
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job.outcome import Cause, Frame, signal_name
from keras_remote.runner import report
from keras_remote.runner.memory import Memory
from keras_remote.runner.process import Exit


class ReporterTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.reporter = report.Reporter(host=1, hosts=2)
    self.reporter.claimed(3)

  def test_every_report_says_whose_it_is(self) -> None:
    """Attempt, host, and the seconds since the attempt began."""
    self.reporter.began -= 5
    made = self.reporter.stopped()
    self.assertEqual((made.attempt, made.host), (3, 1))
    self.assertBetween(made.seconds, 5, 6)

  def test_the_clock_starts_with_the_attempt(self) -> None:
    """What it took to begin is not part of it."""
    self.reporter.began -= 5
    self.reporter.claimed(4)
    made = self.reporter.stopped()
    self.assertEqual(made.attempt, 4)
    self.assertLess(made.seconds, 1)

  def test_what_the_worker_said(self) -> None:
    """Fields and frames are taken over, with the memory that it took."""
    frame: dict[str, Any] = {
      "file": "a.py",
      "line": 1,
      "function": "f",
      "source": "x",
      "locals": {"x": "int"},
    }
    answer = {
      "cause": "exception",
      "message": "bad",
      "exception_type": "builtins.ValueError",
      "collective": True,
      "frames": [frame],
      "result": "0" * 64,
    }
    made = self.reporter.told(answer, Exit(1, None, 77))
    self.assertEqual(made.cause, Cause.EXCEPTION)
    self.assertEqual(made.exception_type, "builtins.ValueError")
    self.assertTrue(made.collective)
    self.assertEqual(made.frames, (Frame(**frame),))
    self.assertEqual(made.peak_memory, 77)
    self.assertLen(answer, 6)  # It may be looked at again.

  def test_an_exit_code(self) -> None:
    """The worker's own exit is told with its code."""
    made = self.reporter.died(Exit(3, None, 0))
    self.assertEqual((made.cause, made.exit_code), (Cause.EXIT, 3))
    self.assertIn("exit code 3", made.message)
    self.assertFalse(made.collective)

  @parameterized.parameters(
    (signal.SIGSEGV, "SIGSEGV", False),
    (signal.SIGKILL, "SIGKILL", False),
    (signal.SIGABRT, "SIGABRT", True),
    # Most real-time signals have no name.
    (40, "signal 40", False),
  )
  def test_a_signal(self, number: int, name: str, echo: bool) -> None:
    """It is told by name; in a group an abort is an echo."""
    made = self.reporter.died(Exit(None, number, 0))
    self.assertEqual((made.cause, made.signal), (Cause.SIGNAL, number))
    self.assertIn(name, made.message)
    self.assertEqual(made.collective, echo)

  @parameterized.parameters(True, False)
  def test_out_of_memory(self, command: bool) -> None:
    """Where the kernel has counted a kill since, that is why."""
    self.reporter.memory = Memory(kills=-1)
    if command:
      answer = {"cause": "signal", "message": "python died", "signal": 9}
      made = self.reporter.told(answer, Exit(1, None, 0))
    else:
      made = self.reporter.died(Exit(None, signal.SIGKILL, 0))
    self.assertEqual((made.cause, made.signal), (Cause.MEMORY, 9))
    self.assertIn("ran out of memory", made.message)
    made = self.reporter.died(Exit(None, signal.SIGSEGV, 0))
    self.assertEqual(made.cause, Cause.SIGNAL)

  def test_an_abort_of_a_single_host(self) -> None:
    """There it is the cause."""
    alone = report.Reporter(host=0, hosts=1)
    self.assertFalse(alone.died(Exit(None, signal.SIGABRT, 0)).collective)

  def test_a_timeout(self) -> None:
    """It says how long the job may run."""
    made = self.reporter.timed_out(90.0, Exit(None, 9, 5))
    self.assertEqual((made.cause, made.peak_memory), (Cause.TIMEOUT, 5))
    self.assertIn("90 s", made.message)

  @parameterized.parameters(
    (errors.IntegrityError("swapped"), "swapped", "IntegrityError"),
    (KeyError("x"), "KeyError('x')", "KeyError"),
  )
  def test_what_could_not_be_made_ready(
    self, error: Exception, message: str, name: str
  ) -> None:
    """The error's own words; for one that nobody foresaw its name too."""
    made = self.reporter.failed(error)
    self.assertEqual((made.cause, made.message), (Cause.SETUP, message))
    self.assertEndsWith(made.exception_type, name)

  def test_names_of_signals(self) -> None:
    """Those that have one are called by it."""
    self.assertEqual(signal_name(signal.SIGTERM), "SIGTERM")


if __name__ == "__main__":
  absltest.main()
