import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from absl.testing import absltest

from keras_remote import clock, errors
from keras_remote.backend.k8s import pods, shared
from keras_remote.backend.k8s.objects import EVENTS, JOBS, PODS, Kind
from keras_remote.backend.k8s.watch import Feed, look, recall
from tests.fakes.api_server import Object, Request
from tests.fakes.kubernetes_case import KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec

_PATIENCE = 20.0
_OTHER_ID = JOB_ID.replace("train", "other")


def _object(name: str, job_id: str = JOB_ID, **spec: object) -> Object:
  labels = pods.labels(job_spec(job_id))
  return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def _event(kind: str, name: str, reason: str) -> Object:
  return {
    "metadata": {"name": f"{name}.{reason}"},
    "involvedObject": {"kind": kind, "name": name},
    "reason": reason,
  }


class FeedTest(KubernetesCase):
  @contextlib.contextmanager
  def feed(self, job_id: str = JOB_ID) -> Iterator[Feed]:
    with contextlib.closing(Feed(self.cluster, job_spec(job_id))) as feed:
      yield feed

  def names(self, feed: Feed) -> list[str]:
    seen = feed.seen
    found = [seen.job] if seen.job else []
    return [each["metadata"]["name"] for each in (*found, *seen.pods)]

  def until(self, feed: Feed, holds: Callable[[], bool]) -> None:
    """Waits for changes until it holds."""
    while not holds():
      self.assertTrue(feed.wait(_PATIENCE), "no change came")

  def asked(self, *, watch: bool) -> list[str]:
    """The kinds that were listed, or watched, in order."""
    return [
      each.path.rpartition("/")[2]
      for each in self.server.requests
      if ("watch" in each.query) == watch
    ]

  def change(self, feed: Feed, kind: Kind, name: str) -> None:
    """A change that the feed comes to see."""
    self.put(kind, _object(name))
    self.until(feed, lambda: name in self.names(feed))

  def test_what_is_there(self) -> None:
    """It is seen at once; what is of no job of ours is not."""
    self.put(JOBS, _object(JOB_ID))
    self.put(PODS, {"metadata": {"name": "another"}})
    with self.feed() as feed:
      self.assertEqual(self.names(feed), [JOB_ID])

  def test_changes(self) -> None:
    """They are pushed: nothing is asked twice."""
    self.put(JOBS, _object(JOB_ID))
    with self.feed() as feed:
      self.change(feed, PODS, "pod")
      self.put(PODS, _object("pod", nodeName="node"))
      self.until(feed, lambda: feed.seen.pods[0]["spec"] != {})
      self.remove(PODS, "pod")
      self.until(feed, lambda: self.names(feed) == [JOB_ID])
      self.assertFalse(feed.wait(0.0))
    kinds = ["events", "jobs", "pods"]
    self.assertEqual(sorted(self.asked(watch=False)), kinds)
    self.assertEqual(sorted(self.asked(watch=True)), kinds)

  def test_events(self) -> None:
    """What is told of the Job and of its pods; no more."""
    self.put(JOBS, _object(JOB_ID))
    with self.feed() as feed:
      for kind, name, reason in (
        ("Job", JOB_ID, "FailedCreate"),
        ("Pod", f"{JOB_ID}-x2v4q", "FailedMount"),
        ("Pod", f"{JOB_ID}-x2v4q", "Pulled"),
        ("Pod", f"{_OTHER_ID}-x2v4q", "FailedMount"),
        ("Node", JOB_ID, "Rebooted"),
      ):
        self.put(EVENTS, _event(kind, name, reason))
      self.until(feed, lambda: len(feed.seen.events) == 2)
      reasons = {each["reason"] for each in feed.seen.events}
      self.assertEqual(reasons, {"FailedCreate", "FailedMount"})
      self.assertFalse(feed.wait(0.2))

  def test_who_may_not_see_events(self) -> None:
    """All else is seen."""
    self.server.fault = lambda r: 403 if r.path.endswith("events") else None
    with self.feed() as feed:
      self.change(feed, PODS, "pod")

  def test_events_that_cannot_be_had_now(self) -> None:
    """Nobody waits for them: all else is seen; they are, when they come."""
    self.server.fault = lambda r: 500 if r.path.endswith("events") else None
    self.put(JOBS, _object(JOB_ID))
    self.put(EVENTS, _event("Job", JOB_ID, "FailedCreate"))
    begun = clock.monotonic()
    with self.feed() as feed:
      self.assertEqual(self.names(feed), [JOB_ID])
      self.assertLess(clock.monotonic() - begun, _PATIENCE)
      self.server.fault = lambda request: None
      self.until(feed, lambda: len(feed.seen.events) == 1)

  def test_who_may_see_nothing(self) -> None:
    """It is told at once, and the next one is asked anew."""
    self.server.fault = lambda request: 403
    for _ in range(2):
      with self.assertRaises(errors.ClusterAccessError), self.feed():
        pass
    self.server.fault = lambda request: None
    with self.feed() as feed:
      self.change(feed, PODS, "pod")

  def test_many_jobs(self) -> None:
    """One watch of each kind serves them all; each hears of its own."""
    ids = [JOB_ID.replace("train", f"job{n}") for n in range(50)]
    for job_id in ids:
      self.put(JOBS, _object(job_id, job_id))
    with ThreadPoolExecutor(len(ids)) as pool, contextlib.ExitStack() as stack:
      feeds = list(pool.map(stack.enter_context, map(self.feed, ids)))
      for job_id, feed in zip(ids, feeds, strict=True):
        self.put(PODS, _object(f"{job_id}-pod", job_id))
        self.until(feed, lambda feed=feed: bool(feed.seen.pods))
      self.assertFalse(feeds[0].wait(0.0))
      names = [f"{job_id}-pod" for job_id in ids]
      self.assertEqual(
        [f.seen.pods[0]["metadata"]["name"] for f in feeds], names
      )
    self.assertLen(self.asked(watch=True), 3)
    self.assertLen(self.asked(watch=False), 3)

  def test_a_job_that_the_watch_was_not_told_of(self) -> None:
    """A look at it misses nothing: the cluster is asked for this job."""
    self.put(JOBS, _object(_OTHER_ID, _OTHER_ID))
    with self.feed(_OTHER_ID):
      # Watches are late: what there is they do not tell.
      self.server.fault = lambda r: 503 if "watch" in r.query else None
      self.server.cut()
      self.put(JOBS, _object(JOB_ID))
      self.put(PODS, _object("pod"))
      with self.feed() as feed:
        self.assertEqual(self.names(feed), [JOB_ID, "pod"])
        self.server.fault = lambda request: None
        self.remove(PODS, "pod")
        self.until(feed, lambda: self.names(feed) == [JOB_ID])

  def test_its_end(self) -> None:
    """It goes on for a while for those who come next, and then ends."""
    with self.feed() as feed:
      self.change(feed, JOBS, JOB_ID)
    with self.feed():
      pass
    self.assertLen(self.asked(watch=True), 3)
    seen = recall(self.cluster, job_spec())
    self.assertIsNotNone(seen.job)
    shared.close_all()
    self.assertIsNone(recall(self.cluster, job_spec()).job)
    self.assertEqual(
      [t.name for t in threading.enumerate() if "watch" in t.name], []
    )

  def test_a_look(self) -> None:
    """It asks for one job, and begins nothing."""
    self.put(JOBS, _object(JOB_ID))
    self.assertIsNotNone(look(self.cluster, job_spec()).job)
    self.assertLen(self.server.requests, 2)
    self.assertEmpty(self.asked(watch=True))

  def test_a_watch_that_is_cut(self) -> None:
    """It goes on from where it was: nothing is missed, or listed again."""
    self.put(JOBS, _object(JOB_ID))
    with self.feed() as feed:
      for name in ("a", "b"):
        self.server.cut()
        self.change(feed, PODS, name)
    self.assertLen(self.asked(watch=False), 3)

  def test_a_server_that_has_forgotten(self) -> None:
    """On 410 what is there is listed anew; what is gone is gone."""
    with self.feed() as feed:
      self.change(feed, PODS, "a")
      gone: list[Request] = []

      def remove(request: Request) -> None:
        watches = request.path.endswith("pods") and "watch" in request.query
        if watches and not gone:
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

  def test_what_is_no_change(self) -> None:
    """What there is is listed anew, as after a cut."""
    with self.feed() as feed:
      self.change(feed, PODS, "a")
      self.server.odd = [b'{"kind": "Status", "code": 410}', b"null", b"[]"]
      self.server.cut()
      self.change(feed, PODS, "b")
      self.server.cut()
      self.change(feed, PODS, "c")
    self.assertEmpty(self.server.odd)

  def test_what_nobody_foresaw(self) -> None:
    """Whoever waits is told, and does not wait for ever."""
    with self.feed() as feed:
      self.change(feed, PODS, "a")
      self.server.odd = [b'{"type": "ADDED", "object": {}}'] * 3
      self.server.cut()
      with self.assertRaisesRegex(errors.ClusterError, "KeyError"):
        self.until(feed, lambda: False)

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
