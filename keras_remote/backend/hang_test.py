from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Observation
from keras_remote.backend.hang import SECONDS, GroupLook
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import Hang
from keras_remote.job.outcome import Present, Started
from keras_remote.job.state import State
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore

_RUNS = Observation(State.RUNNING, "it runs")
_HANGS = Observation(State.RUNNING, "it runs, but host 1 hangs", held_up=True)
_HANG = Hang("host 1 hangs", (1,))
_MEMBERS = ("a/0", "b/0", "c/0", "d/0")


class GroupLookTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.fails = False
    self.reads = 0
    store = WatchedStore(MemoryStore(), self._watch)
    self.directory = JobDirectory(store, JOB_ID)
    self.time = 0.0
    self.look = GroupLook(self.directory, 4, lambda: self.time)

  def _watch(self, method: str, key: str) -> None:
    self.reads += method == "read"
    if self.fails:
      raise errors.StoreError("away")

  def start(self, attempt: int = 1, leader: str = "a/0") -> None:
    """All have come, and the attempt has begun."""
    self.directory.write_present(Present(0, leader))
    self.directory.create_started(
      Started(
        attempt=attempt,
        at="now",
        allocation="a",
        coordinator="there",
        members=(leader, *_MEMBERS[1:]),
      )
    )

  def after(self, seconds: float, attempt: int | None = None) -> Observation:
    self.time += seconds
    return self.look.add(_RUNS, attempt)

  def test_nothing_holds_it_up(self) -> None:
    """Nothing is said, neither before a hang nor after."""
    self.assertEqual(self.after(0), _RUNS)
    self.start()
    self.assertEqual(self.after(SECONDS), _RUNS)
    self.directory.write_hang(1, Hang(""))
    self.assertEqual(self.after(SECONDS), _RUNS)

  def test_a_hang(self) -> None:
    """Its sentence is told, and looked for only now and then."""
    self.start()
    self.directory.write_hang(1, _HANG)
    self.assertEqual(self.after(0), _HANGS)
    reads = self.reads
    for _ in range(9):
      self.assertEqual(self.after(SECONDS / 10), _HANGS)
    self.assertEqual(self.reads, reads)
    self.directory.write_hang(1, Hang(""))
    self.assertEqual(self.after(SECONDS), _RUNS)

  def test_what_nobody_signed(self) -> None:
    """It is shown as one line that does nothing to a terminal."""
    self.start()
    self.directory.write_hang(1, Hang("host 1 is at \x1b[2Ja\nb.py:3", (1,)))
    said = "it runs, but host 1 is at [2Ja b.py:3"
    self.assertEqual(self.after(0).sentence, said)

  def test_a_new_attempt(self) -> None:
    """The one before says nothing of it."""
    self.start()
    self.directory.write_hang(1, _HANG)
    self.assertEqual(self.after(0, 1), _HANGS)
    self.start(2, "a/1")
    self.assertEqual(self.after(0, 2), _RUNS)

  def test_a_store_that_fails(self) -> None:
    """Nothing is known then."""
    self.start()
    self.directory.write_hang(1, _HANG)
    self.fails = True
    self.assertEqual(self.after(0), _RUNS)

  def test_one_host(self) -> None:
    """It waits for nobody, and nothing is asked for it."""
    look = GroupLook(self.directory, 1)
    self.assertEqual(look.add(_RUNS), _RUNS)
    self.assertEqual(self.reads, 0)

  def test_a_group_that_does_not_form(self) -> None:
    """Who has not come is told, and since when, by the clock here."""
    self.directory.write_present(Present(0, "a/0"))
    self.directory.write_present(Present(1, "b/0", "a/0"))
    self.directory.write_present(Present(3, "d/0", "a/0"))
    told = "it runs: 3 of 4 hosts have come; host 2 has not"
    self.assertEqual(self.after(0), Observation(State.RUNNING, told))
    self.assertEqual(
      self.after(40),
      Observation(State.RUNNING, f"{told}, for more than 30 s", held_up=True),
    )
    self.directory.write_present(Present(2, "c/0", "a/0"))
    told = "it runs: 4 of 4 hosts have come"
    self.assertEqual(self.after(5), Observation(State.RUNNING, told))
    self.start()
    self.assertEqual(self.after(5), _RUNS)

  def test_a_group_that_forms_anew(self) -> None:
    """Whoever answered the host 0 before has not come yet."""
    self.start()
    for host, token in enumerate(_MEMBERS[1:], 1):
      self.directory.write_present(Present(host, token, "a/0"))
    self.directory.write_hang(1, _HANG)
    self.directory.write_present(Present(0, "a/1"))
    self.assertEqual(
      self.after(0).sentence,
      "it runs: 1 of 4 hosts has come; host 1, host 2 and host 3 have not",
    )

  def test_a_job_that_waits(self) -> None:
    """It is no job that runs and is held up."""
    self.directory.write_present(Present(0, "a/0"))
    waits = Observation(State.PENDING, "it starts")
    self.look.add(waits)
    self.time += 60
    seen = self.look.add(waits)
    self.assertStartsWith(seen.sentence, "it starts: 1 of 4 hosts has come; ")
    self.assertFalse(seen.held_up)


if __name__ == "__main__":
  absltest.main()
