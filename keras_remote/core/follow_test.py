"""What passes through a call that blocks, and what is left of it."""

import dataclasses
import signal
import traceback
from collections.abc import Callable

from absl.testing import absltest, parameterized

from keras_remote.core import follow


@dataclasses.dataclass(frozen=True)
class _FrozenError(Exception):
  """Refuses attributes."""

  code: int


def _raise(error: BaseException) -> None:
  raise error


def _lines_of(error: BaseException) -> list[str]:
  """The functions that its traceback shows."""
  return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


class InterruptibleTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.done: list[str] = []

  def blocked(self, work: Callable[[], object], *, notebook: bool) -> None:
    """The work, as a call does it."""
    with follow.interruptible(
      lambda: self.done.append("cancel"),
      lambda: self.done.append("leave"),
      notebook,
    ):
      work()

  def test_the_users_exception_passes(self) -> None:
    """Whatever its class allows, it is raised as itself, with its lines."""
    error = _FrozenError(4)
    try:
      self.blocked(lambda: _raise(error), notebook=False)
    except Exception as caught:
      self.assertIs(caught, error)
      self.assertEqual(_lines_of(caught)[-1], "_raise")
    self.assertEqual(self.done, [])

  @parameterized.parameters((False, "cancel"), (True, "leave"))
  def test_an_interrupt(self, notebook: bool, done: str) -> None:
    """It cancels or leaves, and then is told without the library's lines."""
    try:
      self.blocked(lambda: _raise(KeyboardInterrupt()), notebook=notebook)
    except KeyboardInterrupt as caught:
      self.assertNotIn("_raise", _lines_of(caught))
    self.assertEqual(self.done, [done])

  def test_sigterm(self) -> None:
    """It cancels, and has its old meaning after the block."""
    with self.assertRaises(follow.Terminated):
      self.blocked(lambda: signal.raise_signal(signal.SIGTERM), notebook=True)
    self.assertEqual(self.done, ["cancel"])
    self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)

  def test_a_handler_stays(self) -> None:
    """SIGTERM is left to whoever asked for it before."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(15))
    self.addCleanup(signal.signal, signal.SIGTERM, before)
    self.blocked(lambda: signal.raise_signal(signal.SIGTERM), notebook=False)
    self.assertEqual((heard, self.done), ([15], []))


if __name__ == "__main__":
  absltest.main()
