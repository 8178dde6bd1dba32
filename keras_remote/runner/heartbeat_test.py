import contextlib
import io
import queue
import threading
import time
from collections.abc import Callable

from absl.testing import absltest

from keras_remote import errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from keras_remote.runner import heartbeat
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore

_OUTCOME = Outcome(1, State.CANCELLED, Cause.CANCELLED, "by me", "now", "me")


class RoutineTest(absltest.TestCase):
  def test_it_works_until_it_is_stopped(self) -> None:
    """At once, then again and again, and never after the end."""
    times: queue.SimpleQueue[None] = queue.SimpleQueue()
    routine = heartbeat.Routine("r", 0.001, lambda: times.put(None))
    for _ in range(3):
      times.get(timeout=10)
    routine.stop()
    while not times.empty():
      times.get()
    with self.assertRaises(queue.Empty):
      times.get(timeout=0.02)

  def test_a_failing_store_does_not_end_it(self) -> None:
    """Nor does a file that cannot be read."""
    failures = iter([errors.StoreError("away"), OSError(), None])
    done = threading.Event()

    def work() -> None:
      failure = next(failures, None)
      if failure:
        raise failure
      done.set()

    routine = heartbeat.Routine("r", 0.001, work)
    self.assertTrue(done.wait(10))
    routine.stop()

  def test_a_mistake_of_ours_does_not_end_it(self) -> None:
    """It is told once, and the work goes on."""
    times: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
      times.put(None)
      raise ZeroDivisionError

    with contextlib.redirect_stderr(io.StringIO()) as told:
      routine = heartbeat.Routine("r", 0.001, work)
      for _ in range(3):
        times.get(timeout=10)
      routine.stop()
    self.assertEqual(told.getvalue().count("\nZeroDivisionError"), 1)

  def test_work_that_hangs_is_left(self) -> None:
    """Stopping waits for no longer than its patience."""
    go = threading.Event()
    routine = heartbeat.Routine("r", 1, lambda: bool(go.wait(10)))
    began = time.monotonic()
    routine.stop(patience=0.01)
    self.assertLess(time.monotonic() - began, 5)
    go.set()
    routine.stop()


class HeartTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)
    self.ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    self.looks: queue.SimpleQueue[None] = queue.SimpleQueue()

  def heart(
    self,
    directory: JobDirectory | None = None,
    watch: Callable[[], None] | None = None,
  ) -> None:
    directory = directory or self.directory
    routines = heartbeat.heart(
      directory,
      heartbeat.Counter(directory, 2, 1).beat,
      pause=lambda: 0.001,
      ended=self.ended.put,
      watch=watch or (lambda: self.looks.put(None)),
    )
    for routine in routines:
      self.addCleanup(routine.stop)

  def test_a_look_that_does_not_end(self) -> None:
    """The heart beats all the same: it has a thread of its own."""
    over = threading.Event()
    self.addCleanup(over.set)
    looking = threading.Event()

    def watch() -> None:
      looking.set()
      over.wait(60)

    self.heart(watch=watch)
    self.assertTrue(looking.wait(10))
    deadline = time.monotonic() + 60
    while (self.directory.heartbeat(2, 1) or 0) < 2:
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.05)
    self.assertFalse(over.is_set())

  def test_it_looks(self) -> None:
    """Again and again; every look is told."""
    self.heart()
    for _ in range(3):
      self.looks.get(timeout=10)
    self.assertTrue(self.ended.empty())

  def test_what_else_fails(self) -> None:
    """An outcome is seen all the same."""

    def watch() -> None:
      raise errors.StoreAccessError("it may not list")

    self.directory.create_outcome(_OUTCOME)
    self.heart(watch=watch)
    self.assertEqual(self.ended.get(timeout=10), _OUTCOME)

  def test_an_outcome_that_somebody_else_stored(self) -> None:
    """It is told once, and the looking is over."""
    self.heart()
    self.directory.create_outcome(_OUTCOME)
    self.assertEqual(self.ended.get(timeout=10), _OUTCOME)
    while not self.looks.empty():
      self.looks.get()
    with self.assertRaises(queue.Empty):
      self.ended.get(timeout=0.02)
    self.assertTrue(self.looks.empty())

  def test_a_store_that_is_away_for_a_while(self) -> None:
    """The outcome is seen when it is back."""
    left = 5

    def fail(method: str, key: str) -> None:
      nonlocal left
      left -= 1
      if left >= 0:
        raise errors.StoreError("away")

    self.directory.create_outcome(_OUTCOME)
    self.heart(JobDirectory(WatchedStore(self.store, fail), JOB_ID))
    self.assertEqual(self.ended.get(timeout=10), _OUTCOME)
    self.assertLess(left, 0)


class CounterTest(absltest.TestCase):
  def test_its_end(self) -> None:
    """It goes up with each beat; after the end nothing brings it back."""
    directory = JobDirectory(MemoryStore(), JOB_ID)
    counter = heartbeat.Counter(directory, 2, 1)
    for count in (1, 2, 3):
      counter.beat()
      self.assertEqual(directory.heartbeat(2, 1), count)
    counter.end()
    counter.beat()
    self.assertEqual(directory.heartbeat(2, 1), heartbeat.LAST)


class PulseTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.now = 0.0
    self.beat: int | None | errors.StoreError = None
    self.pulse = heartbeat.Pulse(self._read, lambda: self.now)

  def _read(self) -> int | None:
    if isinstance(self.beat, errors.StoreError):
      raise self.beat
    return self.beat

  def after(self, seconds: float, beat: int | None | errors.StoreError) -> bool:
    self.now += seconds
    self.beat = beat
    return self.pulse.silent()

  def test_a_counter_that_changes_is_alive(self) -> None:
    """Whatever the time between two looks."""
    for count in range(3):
      self.assertFalse(self.after(heartbeat.SILENCE * 2, count))

  def test_a_counter_that_stays_is_silent_in_the_end(self) -> None:
    """After SILENCE seconds of the reader's clock, not before."""
    self.assertFalse(self.after(1, 7))
    self.assertFalse(self.after(heartbeat.SILENCE - 1, 7))
    self.assertTrue(self.after(2, 7))

  def test_one_that_never_began_is_silent_too(self) -> None:
    """No heartbeat at all is no sign of life."""
    self.assertTrue(self.after(heartbeat.SILENCE + 1, None))

  def test_a_failing_store_says_nothing_of_the_host(self) -> None:
    """When it is back the host gets its time to beat again."""
    away = errors.StoreError("away")
    self.assertFalse(self.after(1, 7))
    for _ in range(10):
      self.assertFalse(self.after(heartbeat.SILENCE, away))
    self.assertFalse(self.after(1, 7))
    self.assertTrue(self.after(heartbeat.SILENCE + 1, 7))

  def test_a_store_that_stays_away_is_an_error(self) -> None:
    """Nobody waits for ever for what cannot be read."""
    away = errors.StoreError("away")
    self.assertFalse(self.after(1, 7))
    with self.assertRaisesRegex(errors.StoreError, "away"):
      self.after(heartbeat.OUTAGE + 1, away)


if __name__ == "__main__":
  absltest.main()
