from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.hang import SECONDS, HangLook, running
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import Hang
from keras_remote.job.state import State
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore


class HangLookTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.fails = False
    self.reads = 0
    store = WatchedStore(MemoryStore(), self._watch)
    self.directory = JobDirectory(store, JOB_ID)
    self.time = 0.0
    self.look = HangLook(self.directory, lambda: self.time)

  def _watch(self, method: str, key: str) -> None:
    self.reads += method == "read"
    if self.fails:
      raise errors.StoreError("away")

  def test_nothing_holds_it_up(self) -> None:
    """Nothing is said, neither before nor after."""
    self.assertEqual(self.look.sentence(1), "")
    self.directory.write_hang(1, Hang(""))
    self.time += SECONDS
    self.assertEqual(self.look.sentence(1), "")

  def test_a_hang(self) -> None:
    """Its sentence is told, and looked for only now and then."""
    self.directory.write_hang(1, Hang("host 1 hangs", (1,)))
    for _ in range(9):
      self.assertEqual(self.look.sentence(1), "host 1 hangs")
      self.time += SECONDS / 10
    self.assertEqual(self.reads, 1)

  def test_a_new_attempt(self) -> None:
    """The one before says nothing of it."""
    self.directory.write_hang(1, Hang("host 1 hangs", (1,)))
    self.assertEqual(self.look.sentence(1), "host 1 hangs")
    self.assertEqual(self.look.sentence(2), "")

  def test_a_store_that_fails(self) -> None:
    """Nothing is known then."""
    self.directory.write_hang(1, Hang("host 1 hangs", (1,)))
    self.fails = True
    self.assertEqual(self.look.sentence(1), "")


class RunningTest(absltest.TestCase):
  def test_what_is_said(self) -> None:
    """Which attempt runs, and what holds it up."""
    seen = running(2)
    self.assertEqual(seen.sentence, "attempt 2 is running")
    self.assertFalse(seen.held_up)
    seen = running(2, "host 1 hangs")
    self.assertEqual(seen.state, State.RUNNING)
    self.assertEqual(seen.sentence, "attempt 2 is running, but host 1 hangs")
    self.assertTrue(seen.held_up)


if __name__ == "__main__":
  absltest.main()
