"""The Job and the pods of a job, pushed: two watches, no request on a timer."""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from keras_remote import clock, errors
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import JOBS, PODS, Kind, Listing, Object
from keras_remote.backend.k8s.stream import Stream

# Seconds before a watch that failed is begun again, the first time and at
# most, and for which it may fail.
_FIRST_PAUSE, _PAUSE, PATIENCE = 0.1, 8.0, 120.0


@dataclass(frozen=True)
class Seen:
  """What of a job is in the cluster."""

  job: Object | None
  pods: tuple[Object, ...]


class Feed:
  """What of a job is in the cluster, now and at every change.

  Threads begin with the first `wait`, and end with `close`.

  Raises:
    ClusterError: the cluster cannot be reached.
  """

  def __init__(self, cluster: Cluster, job_id: str) -> None:
    selector = pods.selector(job_id)
    self._news: queue.SimpleQueue[errors.KerasRemoteError | None] = (
      queue.SimpleQueue()
    )
    self._watches = [
      _Watch(cluster, kind, selector, self._news) for kind in (JOBS, PODS)
    ]
    self._begun = False

  @property
  def seen(self) -> Seen:
    """What there is now."""
    jobs, found = (watch.objects for watch in self._watches)
    return Seen(jobs[0] if jobs else None, found)

  def wait(self, seconds: float | None) -> bool:
    """Returns at the next change, or after so many seconds; whether it came.

    Raises:
      ClusterError: a watch has failed for `PATIENCE` seconds.
      CredentialsError: the log-in has ended.
    """
    if not self._begun:
      self._begun = True
      for watch in self._watches:
        watch.start()
    try:
      news = [self._news.get(timeout=seconds)]
    except queue.Empty:
      return False
    with contextlib.suppress(queue.Empty):
      while True:  # Many changes may be one by now.
        news.append(self._news.get_nowait())
    for error in filter(None, news):
      raise error
    return True

  def close(self) -> None:
    """Ends the watches."""
    for watch in self._watches:
      watch.stop()
    if self._begun:
      for watch in self._watches:
        watch.join()


class _Watch(threading.Thread):
  """Keeps the objects of one kind as they are in the cluster."""

  def __init__(
    self,
    cluster: Cluster,
    kind: Kind,
    selector: str,
    news: "queue.SimpleQueue[errors.KerasRemoteError | None]",
  ) -> None:
    super().__init__(name=f"watch {kind.plural} {selector}", daemon=True)
    self._cluster = cluster
    self._kind = kind
    self._selector = selector
    self._news = news
    self._stopping = threading.Event()
    self._stream: Stream | None = None
    self._take(cluster.list(kind, selector))

  @property
  def objects(self) -> tuple[Object, ...]:
    """The objects as they were last seen."""
    return tuple(self._objects.values())

  def run(self) -> None:
    pause, failing = _FIRST_PAUSE, clock.monotonic()
    while not self._stopping.is_set():
      try:
        if self._version is None:
          self._take(self._cluster.list(self._kind, self._selector, once=True))
          self._news.put(None)
        told = self._follow(self._version or "")
      except errors.CredentialsError as error:
        self._news.put(error)
        return
      except errors.KerasRemoteError as error:
        if clock.monotonic() - failing > PATIENCE:
          self._news.put(error)
          return
        self._version = None
      else:
        # A server that only closes its watches is not asked without a pause.
        failing = clock.monotonic()
        if told:
          pause = _FIRST_PAUSE
      self._stopping.wait(pause)
      pause = min(2 * pause, _PAUSE)

  def stop(self) -> None:
    """Lets it end soon."""
    self._stopping.set()
    if self._stream:
      self._stream.stop()

  def _follow(self, version: str) -> bool:
    """Takes what one watch tells, until it ends; whether it told anything."""
    told = False
    stream = self._cluster.watch(self._kind, self._selector, version)
    self._stream = stream
    with contextlib.closing(stream):
      # Asked after `stop` can see the stream: one of the two ends it.
      for event in () if self._stopping.is_set() else _events(stream):
        if event["type"] == "ERROR":  # 410: too much has happened since.
          self._version = None
          break
        told = True
        self._apply(event["type"], event["object"])
    self._stream = None
    return told

  def _apply(self, change: str, found: Object) -> None:
    metadata = found["metadata"]
    self._version = metadata["resourceVersion"]
    if change == "BOOKMARK":
      return
    objects = dict(self._objects)
    if change == "DELETED":
      objects.pop(metadata["uid"], None)
    else:
      objects[metadata["uid"]] = found
    # Replaced whole: another thread reads it.
    self._objects = objects
    self._news.put(None)

  def _take(self, listing: Listing) -> None:
    self._version: str | None = listing.version
    self._objects = {each["metadata"]["uid"]: each for each in listing.items}


def _events(stream: Stream) -> Iterator[Object]:
  for line in stream.lines():
    try:
      yield json.loads(line)
    except ValueError:  # It was cut: what it said comes again.
      return
