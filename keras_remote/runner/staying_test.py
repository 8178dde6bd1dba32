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


if __name__ == "__main__":
  absltest.main()
