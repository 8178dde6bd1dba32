import subprocess
import sys

from absl.testing import absltest

from keras_remote.runner import stacks

_WAITS = "print('ready', flush=True); input()"


class StacksTest(absltest.TestCase):
  def start(self, source: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
      [sys.executable, "-c", source],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    self.addCleanup(process.communicate)
    self.addCleanup(process.kill)
    assert process.stdout
    self.assertEqual(process.stdout.readline(), "ready\n")
    return process

  def test_all_threads(self) -> None:
    """They are in its stderr, and it goes on."""
    process = self.start(
      "import threading, time\n"
      "from keras_remote.runner import stacks\n"
      "stacks.register()\n"
      "def beside():\n  time.sleep(600)\n"
      "threading.Thread(target=beside, daemon=True).start()\n" + _WAITS
    )
    self.assertTrue(stacks.ask(process.pid))
    assert process.stdout
    lines = [process.stdout.readline()]
    while "in <module>" not in lines[-1]:
      self.assertTrue(lines[-1])
      lines.append(process.stdout.readline())
    self.assertIn("in beside", "".join(lines))
    self.assertIsNone(process.poll())

  def test_a_process_that_has_no_handler(self) -> None:
    """It is left alone: the signal would end it."""
    process = self.start(_WAITS)
    self.assertFalse(stacks.ask(process.pid))
    process.communicate("\n")
    self.assertEqual(process.returncode, 0)

  def test_a_process_that_is_gone(self) -> None:
    """That is no mistake."""
    process = self.start(_WAITS)
    process.kill()
    process.wait()
    self.assertFalse(stacks.ask(process.pid))


if __name__ == "__main__":
  absltest.main()
