import os
import signal
import subprocess
import sys

from absl.testing import absltest

from keras_remote.inside import preemption


class PreemptionTest(absltest.TestCase):
  def test_sigterm_ends_as_exit_does(self) -> None:
    """`finally` blocks run, and the exit code says which signal it was."""
    before = signal.getsignal(signal.SIGTERM)
    self.addCleanup(signal.signal, signal.SIGTERM, before)
    saved = []
    preemption.exit_on_sigterm()
    with self.assertRaises(SystemExit) as caught:
      try:
        os.kill(os.getpid(), signal.SIGTERM)
      finally:
        saved.append("checkpoint")
    self.assertEqual(caught.exception.code, 143)
    self.assertEqual(saved, ["checkpoint"])

  def test_a_forked_child_ends_at_once(self) -> None:
    """A handler may never run in one that waits for a lock."""
    script = (
      "import os, signal\n"
      "from keras_remote.inside.preemption import exit_on_sigterm\n"
      "exit_on_sigterm()\n"
      "if (child := os.fork()) == 0:\n"
      "  os.kill(os.getpid(), signal.SIGTERM)\n"
      "  os._exit(0)\n"
      "print(os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
    )
    told = subprocess.run(
      [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    self.assertEqual(told.stdout, f"{signal.SIGTERM.value}\n")

  def test_a_child_that_is_told_before_it_is_one(self) -> None:
    """It ends too; and who forked hears what it heard before."""
    script = (
      "import os, signal\n"
      "from keras_remote.inside.preemption import exit_on_sigterm\n"
      "def tell():\n"
      "  os.kill(os.getpid(), signal.SIGTERM)\n"
      "os.register_at_fork(after_in_child=tell)\n"  # Before ours.
      "exit_on_sigterm()\n"
      "if (child := os.fork()) == 0:\n"
      "  os._exit(0)\n"
      "print(os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
      "print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))\n"
    )
    told = subprocess.run(
      [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    self.assertEqual(told.stdout, f"{signal.SIGTERM.value}\n0\n")


if __name__ == "__main__":
  absltest.main()
