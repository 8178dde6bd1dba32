import itertools
import queue

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import Started
from keras_remote.runner import heartbeat
from keras_remote.runner.events import ChildEnded, Event
from keras_remote.runner.group import Group
from keras_remote.storage.store import Store
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore


def _launch(host: int) -> Launch:
  return Launch(
    store="memory",
    job_id=JOB_ID,
    spec_digest="",
    host=host,
    hosts=2,
    key_file="",
    scratch="",
    allocation="mine",
    leader="",
    last_words="",
  )


class NewsTest(parameterized.TestCase):
  """Each look at the clock is a second later; nobody's heart beats."""

  def news(self, host: int, looks: int, store: Store | None = None) -> int:
    """How many events are heard, of so many that there are."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    for _ in range(looks):
      events.put(ChildEnded())
    seconds = itertools.count()
    group = Group(
      JobDirectory(store or MemoryStore(), JOB_ID),
      Started(1, "mine", "", "now", ("a/1", "b/2")),
      _launch(host),
      b"key",
      events,
      lambda: float(next(seconds)),
    )
    return len(list(itertools.islice(group.news(), looks)))

  def test_host_0_falls_silent(self) -> None:
    """Another host hears no more news then."""
    self.assertEqual(self.news(1, 100), heartbeat.SILENCE)

  def test_its_own_heart_stands_still(self) -> None:
    """Host 0 itself goes on: else nobody ended the job."""
    self.assertEqual(self.news(0, 100), 100)

  def test_how_often_it_looks(self) -> None:
    """Host 0 often, for a while; another host once it is through."""
    now = 0.0
    groups = [
      Group(
        JobDirectory(MemoryStore(), JOB_ID),
        Started(1, "mine", "", "now", ("a/1", "b/2")),
        _launch(host),
        b"key",
        queue.SimpleQueue(),
        lambda: now,
      )
      for host in range(2)
    ]
    often, seldom = heartbeat.GROUP_SECONDS, heartbeat.CALM_SECONDS
    self.assertEqual([g.pause() for g in groups], [often, seldom])
    now = 1e6
    self.assertEqual([g.pause() for g in groups], [seldom, seldom])
    for group in groups:
      next(group.news())
    self.assertEqual([g.pause() for g in groups], [often, often])

  @parameterized.parameters(0, 1)
  def test_a_store_that_fails_for_long(self, host: int) -> None:
    """That is raised, so that the process is started again."""

    def fail(method: str, key: str) -> None:
      raise errors.StoreError("away")

    with self.assertRaisesRegex(errors.StoreError, "away"):
      self.news(host, 1000, WatchedStore(MemoryStore(), fail))


if __name__ == "__main__":
  absltest.main()
