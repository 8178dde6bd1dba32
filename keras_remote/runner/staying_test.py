import threading
import time
from collections.abc import Callable

from absl.testing import absltest

from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from keras_remote.runner import staying
from keras_remote.runner.release import Release
from tests.fakes.release_case import JOB, JOBS, SECONDS, SETS, ReleaseCase

_ENDED = Outcome(1, State.SUCCEEDED, Cause.RETURNED, "", "now", "host 0")


class StayTest(ReleaseCase):
  """It ends with the outcome: nobody tells this process to stop."""

  def setUp(self) -> None:
    super().setUp()
    self.release = Release(self.folder, JOB, print, environ=self.environ)
    self.outcome: Outcome | None = _ENDED

  def stay(self, *, leads: bool, before: float) -> threading.Thread:
    staying_thread = threading.Thread(
      target=lambda: staying.stay(
        lambda: self.outcome,
        self.release,
        leads=leads,
        patience=0.02,
        before=before,
      )
    )
    staying_thread.start()
    self.addCleanup(staying_thread.join, SECONDS)
    self.addCleanup(self.end)
    return staying_thread

  def end(self) -> None:
    self.outcome = None

  def is_gone(self) -> bool:
    return not any(self.server.get(place, JOB) for place in (SETS, JOBS))

  def wait(self, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.01)

  def test_host_0(self) -> None:
    """It frees the machines at once."""
    self.stay(leads=True, before=SECONDS)
    self.wait(self.is_gone)

  def test_another_host(self) -> None:
    """It does so, too: nobody may have come as host 0."""
    self.stay(leads=False, before=0.2)
    self.wait(self.is_gone)

  def test_another_host_lets_host_0_go_first(self) -> None:
    """Most often nothing is left for it to do."""
    self.stay(leads=False, before=SECONDS)
    time.sleep(0.3)
    self.assertEmpty(self.server.requests)

  def test_no_outcome(self) -> None:
    """Nothing is deleted, and it does not stay for ever."""
    self.outcome = None
    self.stay(leads=True, before=0).join(SECONDS)
    self.assertEmpty(self.server.requests)


class HoldTest(ReleaseCase):
  """What it needs does not work, so it cannot begin."""

  def setUp(self) -> None:
    super().setUp()
    self.release = Release(self.folder, JOB, print, environ=self.environ)
    self.looks = 0

  def hold(
    self, patience: float, works: int = 0, told: threading.Event | None = None
  ) -> None:
    """Returns as it does, and at the latest when all is deleted.

    Args:
      works: at which look it does; 0 for never.
    """

    def look() -> bool:
      self.looks += 1
      return self.looks == works

    def wait(seconds: float | None) -> bool:
      if seconds is None:
        self.release.finish(SECONDS)
      return (told or threading.Event()).wait(seconds or 0)

    staying.hold(self.release, patience, look, pause=0.01, told=wait)

  def is_there(self) -> bool:
    return all(self.server.get(place, JOB) for place in (SETS, JOBS))

  def test_for_too_long(self) -> None:
    """It frees the machines, and nothing is looked at after that."""
    self.hold(0.1)
    self.assertFalse(self.is_there())
    self.assertGreater(self.looks, 0)

  def test_for_a_while(self) -> None:
    """Then it returns, for another start, and nothing is deleted."""
    self.hold(SECONDS, works=3)
    self.assertEqual(self.looks, 3)
    self.assertEmpty(self.server.requests)

  def test_told_to_stop(self) -> None:
    """It returns at once."""
    told = threading.Event()
    told.set()
    self.hold(SECONDS, told=told)
    self.assertEmpty(self.server.requests)


if __name__ == "__main__":
  absltest.main()
