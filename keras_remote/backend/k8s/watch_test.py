import contextlib
from collections.abc import Callable, Iterator

from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.objects import JOBS, PODS, Kind
from keras_remote.backend.k8s.watch import Feed
from tests.fakes.api_server import Object, Request
from tests.fakes.kubernetes_case import KubernetesCase
from tests.fakes.specs import JOB_ID

_PATIENCE = 20.0


def _object(name: str, **spec: object) -> Object:
  labels = {pods.JOB_LABEL: JOB_ID}
  return {"metadata": {"name": name, "labels": labels}, "spec": spec}


class FeedTest(KubernetesCase):
  @contextlib.contextmanager
  def feed(self) -> Iterator[Feed]:
    with contextlib.closing(Feed(self.cluster, JOB_ID)) as feed:
      yield feed

  def names(self, feed: Feed) -> list[str]:
    seen = feed.seen
    found = [seen.job] if seen.job else []
    return [each["metadata"]["name"] for each in (*found, *seen.pods)]

  def until(self, feed: Feed, holds: Callable[[], bool]) -> None:
    """Waits for changes until it holds."""
    while not holds():
      self.assertTrue(feed.wait(_PATIENCE), "no change came")

  def watches(self) -> int:
    return sum("watch" in each.query for each in self.server.requests)

  def change(self, feed: Feed, kind: Kind, name: str) -> None:
    """A change that the feed comes to see."""
    self.put(kind, _object(name))
    self.until(feed, lambda: name in self.names(feed))

  def test_what_is_there(self) -> None:
    """It is seen at once, and no watch is begun for it."""
    self.put(JOBS, _object(JOB_ID))
    self.put(PODS, {"metadata": {"name": "another"}})
    with self.feed() as feed:
      self.assertEqual(self.names(feed), [JOB_ID])
    self.assertEqual(self.watches(), 0)

  def test_changes(self) -> None:
    """They are pushed: nothing is asked twice."""
    with self.feed() as feed:
      self.change(feed, JOBS, JOB_ID)
      self.change(feed, PODS, "pod")
      self.put(PODS, _object("pod", nodeName="node"))
      self.until(feed, lambda: feed.seen.pods[0]["spec"] != {})
      self.remove(PODS, "pod")
      self.until(feed, lambda: self.names(feed) == [JOB_ID])
      self.assertFalse(feed.wait(0.0))
    self.assertLen(self.server.requests, 4)

  def test_a_watch_that_is_cut(self) -> None:
    """It goes on from where it was: nothing is missed, or listed again."""
    with self.feed() as feed:
      self.change(feed, JOBS, JOB_ID)
      for name in ("a", "b"):
        self.server.cut()
        self.change(feed, PODS, name)
    lists = [
      each for each in self.server.requests if not each.query.get("watch")
    ]
    self.assertLen(lists, 2)

  def test_a_server_that_has_forgotten(self) -> None:
    """On 410 what is there is listed anew; what is gone is gone."""
    with self.feed() as feed:
      self.change(feed, PODS, "a")
      gone: list[Request] = []

      def remove(request: Request) -> None:
        if "watch" in request.query and not gone:
          gone.append(request)
          self.remove(PODS, "a")
          self.put(PODS, _object("b"))
          self.server.forget()

      self.server.fault = remove
      self.server.cut()
      self.until(feed, lambda: self.names(feed) == ["b"])
      self.change(feed, PODS, "c")

  def test_a_server_that_is_away(self) -> None:
    """Its failures and resets are waited out."""
    faults = [503, 0, 500, 0, 503]

    def fault(request: Request) -> int | None:
      return faults.pop() if faults else None

    with self.feed() as feed:
      self.change(feed, PODS, "a")
      self.server.fault = fault
      self.server.cut()
      self.change(feed, PODS, "b")
    self.assertEmpty(faults)

  def test_a_log_in_that_ends(self) -> None:
    """Whoever waits is told."""
    with self.feed() as feed:
      self.change(feed, PODS, "a")
      self.server.fault = lambda request: 401
      self.server.cut()
      with self.assertRaises(errors.CredentialsError):
        self.until(feed, lambda: False)


if __name__ == "__main__":
  absltest.main()
