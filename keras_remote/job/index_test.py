import collections
import datetime

from absl.testing import absltest

from keras_remote.job import index, layout
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import job_spec
from tests.fakes.watched_store import WatchedStore

_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def _spec(number: int) -> JobSpec:
  """The job submitted so many milliseconds after the start."""
  at = _START + datetime.timedelta(milliseconds=number)
  submitted = at.isoformat(timespec="milliseconds")
  return job_spec(f"job-{number}", submitted=submitted)


class IndexTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()

  def test_newest_first(self) -> None:
    """Rows come in the order of submission, the last one first."""
    for number in (5, 1_000_000_000, 0, 9, 10):
      index.add(self.store, _spec(number))
    self.assertEqual(
      [row.job_id for row in index.rows(self.store)],
      ["job-1000000000", "job-10", "job-9", "job-5", "job-0"],
    )

  def test_what_a_row_says(self) -> None:
    """A row has all that a listing shows, and the time to the millisecond."""
    index.add(self.store, _spec(123))
    (row,) = index.rows(self.store)
    self.assertEqual(
      row,
      index.Row(
        job_id="job-123",
        submitted=_START + datetime.timedelta(milliseconds=123),
        state=None,
        fields={
          "name": "train",
          "who": "ada@home",
          "accelerator": "v5e-8",
          "backend": "local",
          "tags": "nightly,tpu",
        },
      ),
    )

  def test_endings_are_merged(self) -> None:
    """Each job is one row, with its own ending where it has one."""
    ended = {1: State.SUCCEEDED, 3: State.LOST, 4: State.TIMED_OUT}
    for number in range(6):
      index.add(self.store, _spec(number))
    for number, state in ended.items():
      index.add_ending(self.store, _spec(number), state)
    self.assertEqual(
      [(row.job_id, row.state) for row in index.rows(self.store)],
      [(f"job-{n}", ended.get(n)) for n in reversed(range(6))],
    )
    for row in index.rows(self.store):
      self.assertEqual(row.fields["name"], "train")

  def test_how_long_it_took(self) -> None:
    """The listing says it, where the ending did, and as a number."""
    for number, seconds in enumerate((2.5, None)):
      index.add(self.store, _spec(number))
      index.add_ending(self.store, _spec(number), State.FAILED, seconds)
    for number, text in enumerate(("soon", "nan", "-1", "inf"), 2):
      index.add(self.store, _spec(number))
      key = next(iter(self.store.list(layout.INDEX))).key
      self.store.create(f"{key}.FAILED", b"", {"seconds": text})
    took = {row.job_id: row.seconds for row in index.rows(self.store)}
    self.assertEqual(took.pop("job-0"), 2.5)
    self.assertEqual(set(took.values()), {None})
    self.assertLen(took, 5)

  def test_ids_that_begin_alike(self) -> None:
    """Jobs of one instant do not take each other's endings."""
    at = _START.isoformat()
    for job_id in ("a", "a-b", "ab"):
      index.add(self.store, job_spec(job_id, submitted=at))
    ended = job_spec("a-b", submitted=at)
    index.add_ending(self.store, ended, State.FAILED)
    states = {row.job_id: row.state for row in index.rows(self.store)}
    self.assertEqual(states, {"a": None, "a-b": State.FAILED, "ab": None})
    index.remove(self.store, ended)
    # It is listed behind "a-b", and not taken for that one's.
    index.add(self.store, ended)
    index.add_ending(self.store, job_spec("a", submitted=at), State.LOST)
    states = {row.job_id: row.state for row in index.rows(self.store)}
    self.assertEqual(states, {"a": None, "a-b": None, "ab": None})

  def test_a_listing_reads_nothing(self) -> None:
    """Thousands of rows, states too, take one list call and no read."""
    for number in range(3000):
      index.add(self.store, _spec(number))
      index.add_ending(self.store, _spec(number), State.SUCCEEDED)
    calls: collections.Counter[str] = collections.Counter()
    watched = WatchedStore(self.store, lambda method, _: calls.update([method]))
    rows = list(index.rows(watched))
    self.assertLen(rows, 3000)
    self.assertEqual({row.state for row in rows}, {State.SUCCEEDED})
    self.assertEqual(calls, {"list": 1})

  def test_removed(self) -> None:
    """A job that is removed is gone with its ending, and no other."""
    for number in range(3):
      index.add(self.store, _spec(number))
      index.add_ending(self.store, _spec(number), State.FAILED)
    index.remove(self.store, _spec(1))
    ids = [row.job_id for row in index.rows(self.store)]
    self.assertEqual(ids, ["job-2", "job-0"])
    self.assertLen(list(self.store.list(layout.INDEX)), 4)

  def test_what_is_no_row_is_left_out(self) -> None:
    """Files that somebody else put there, and stray endings, are no jobs."""
    for name in (
      "notes.txt",
      "12-short",
      "²²²²²²²²²²²²²-odd",
      "8232787200000-gone.LOST",
      "8232787200000-",
      "8232787200000-a/b",
      "8232787200000-A",
    ):
      self.store.create(layout.INDEX + name, b"")
    self.assertEmpty(list(index.rows(self.store)))


if __name__ == "__main__":
  absltest.main()
