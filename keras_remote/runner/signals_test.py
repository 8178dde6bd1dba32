import subprocess
import sys
import textwrap

from absl.testing import absltest

_SWALLOWED = """
import os, signal, time, weakref
from keras_remote.runner import signals

class Referred:
  pass

signals.install()
kept = Referred()
reference = weakref.ref(
  kept, lambda _: os.kill(os.getpid(), signal.SIGTERM))
try:
  del kept
  print("went on")
  {then}
  time.sleep({seconds})
  print("to the end")
except signals.Stopped:
  print("stopped")
"""


class SwallowedTest(absltest.TestCase):
  def test_it_comes_again(self) -> None:
    """Where it comes within a callback of Python's, which raises nothing."""
    self.assertEqual(self._run("pass", 60), "went on\nstopped\n")

  def test_not_once_it_is_ignored(self) -> None:
    """An ending that is being stored is not disturbed by what came before."""
    self.assertEqual(
      self._run("signals.ignore()", 0.5), "went on\nto the end\n"
    )

  def test_what_else_is_swallowed_is_told(self) -> None:
    """As Python tells it."""
    ran = self._ran("""
      from keras_remote.runner import signals

      class Odd:
        def __del__(self):
          raise ValueError("odd")

      signals.install()
      Odd()
    """)
    self.assertIn("ValueError: odd", ran.stderr)

  def _run(self, then: str, seconds: float) -> str:
    ran = self._ran(_SWALLOWED.format(then=then, seconds=seconds))
    self.assertEqual(ran.stderr, "")
    return ran.stdout

  def _ran(self, script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
      [sys.executable, "-c", textwrap.dedent(script)],
      capture_output=True,
      text=True,
      check=True,
      timeout=30,
    )


if __name__ == "__main__":
  absltest.main()
