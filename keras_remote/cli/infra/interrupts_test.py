import os
import signal
import threading

from absl.testing import absltest, parameterized

from keras_remote.cli.infra.engine import StoppedError
from keras_remote.cli.infra.interrupts import interruptible
from keras_remote.progress import Step


class InterruptibleTest(parameterized.TestCase):
  """What Ctrl-C does while something runs."""

  @parameterized.parameters(False, True)
  def test_ctrl_c(self, fails: bool) -> None:
    """It stops there, however what was at work then ends."""
    said = threading.Event()

    def work() -> None:
      os.kill(os.getpid(), signal.SIGINT)
      said.wait()
      if fails:
        raise ValueError("of the work")

    with self.assertRaises(StoppedError):
      interruptible(work, lambda _: said.set(), self.fail)

  def test_twice(self) -> None:
    """The second stops the work; it breaks off nothing else that goes on."""
    said: list[Step] = []
    stopped = threading.Event()

    def work() -> None:
      os.kill(os.getpid(), signal.SIGINT)
      stopped.wait()

    def report(step: Step) -> None:
      os.kill(os.getpid(), signal.SIGINT)
      said.append(step)

    with self.assertRaises(KeyboardInterrupt):
      interruptible(work, report, stopped.set)
    self.assertLen(said, 1)

  def test_undisturbed(self) -> None:
    """What the work raises is raised; after it Ctrl-C does as it did."""
    with self.assertRaisesRegex(ValueError, "of the work"):
      interruptible(lambda: int("of the work"), self.fail, self.fail)
    handler = signal.getsignal(signal.SIGINT)
    self.assertIs(handler, signal.default_int_handler)


if __name__ == "__main__":
  absltest.main()
