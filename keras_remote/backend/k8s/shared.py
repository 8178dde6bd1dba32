"""One watch for all jobs of a process: how many wait is no matter to a cluster.

The waiters of one owner in one namespace share a watch of each kind. It
begins with the first of them, and ends a little after the last.
"""

import atexit
import contextlib
import functools
import json
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

from keras_remote import clock, errors
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Known
from keras_remote.backend.k8s.objects import EVENTS, JOBS, PODS, Kind
from keras_remote.backend.k8s.stream import Stream

# Seconds before a watch that failed is begun again, the first time and at
# most, and for which it may fail.
_FIRST_PAUSE, _PAUSE, PATIENCE = 0.1, 8.0, 120.0
# Seconds for which nobody may wait before the watch ends, and for which one
# that ends may take.
LINGER, _END = 3.0, 5.0
# Seconds for which events are waited for, without which all else is seen.
_EVENTS = 2.0
# Events have no labels. These say nothing that a Job or a pod does not.
_DULL = ("Pulling", "Pulled", "Created", "Started", "Scheduled", "Completed")
EVENT_FIELDS = ",".join(
  ["involvedObject.kind!=Node", *(f"reason!={each}" for each in _DULL)]
)
# Refusals that another try may change: it takes too long, forgot, is busy.
_PASSING = (408, 410, 429)
# The type of an event after which what there is is listed anew.
_ERROR = "ERROR"

News = queue.SimpleQueue[errors.KerasRemoteError | None]
_Place = tuple[int, tuple[int, str], str]


class SharedWatch:
  """What there is of an owner's jobs, now and at every change.

  Attributes:
    known: the objects, as they were last seen.
    failed: why it has ended before its time.
  """

  def __init__(self, cluster: Cluster, selector: str, place: _Place) -> None:
    self.known = Known()
    self.failed: errors.KerasRemoteError | None = None
    self.place = place
    self.users = 0
    self.ending: threading.Timer | None = None
    self._lock = threading.Lock()
    self._waiting: list[tuple[str, News]] = []
    self._watches = [
      _Watch(self, cluster, JOBS, selector, ""),
      _Watch(self, cluster, PODS, selector, ""),
      _Watch(self, cluster, EVENTS, "", EVENT_FIELDS),
    ]
    for watch in self._watches:
      watch.start()

  def ready(self) -> None:
    """Returns once it knows all that was there when it began.

    It knows nothing of the events where they are long in coming.

    Raises:
      KerasRemoteError: it cannot.
    """
    *objects, events = self._watches
    for watch in objects:
      watch.ready.wait()
    events.ready.wait(_EVENTS)
    if self.failed:
      raise self.failed

  def subscribe(self, job_id: str, news: News) -> None:
    """From now on what concerns the job is put there."""
    with self._lock:
      self._waiting.append((job_id, news))
      if self.failed:
        news.put(self.failed)

  def unsubscribe(self, job_id: str, news: News) -> None:
    """Ends what `subscribe` began."""
    with self._lock:
      self._waiting = [each for each in self._waiting if each[1] is not news]

  def tell(self, jobs: set[str]) -> None:
    """Something may have changed for these jobs."""
    with self._lock:
      for job_id, news in self._waiting:
        if job_id in jobs:
          news.put(None)

  def fail(self, error: errors.KerasRemoteError) -> None:
    """Tells all who wait that nothing will be pushed any more."""
    with self._lock:
      self.failed = self.failed or error
      for _, news in self._waiting:
        news.put(self.failed)
    for watch in self._watches:
      watch.stop()

  def close(self) -> None:
    """Ends its threads."""
    for watch in self._watches:
      watch.stop()
    for watch in self._watches:
      watch.join(_END)


class _Watch(threading.Thread):
  """Keeps the objects of one kind as they are in the cluster.

  Attributes:
    ready: whether it knows what there is, or never will.
  """

  def __init__(
    self,
    shared: SharedWatch,
    cluster: Cluster,
    kind: Kind,
    selector: str,
    fields: str,
  ) -> None:
    # A daemon: a request that hangs must not hold the interpreter's exit.
    super().__init__(name=f"watch {kind.plural} {selector}", daemon=True)
    self.ready = threading.Event()
    self._shared = shared
    self._cluster = cluster
    self._kind = kind
    self._selector = selector
    self._fields = fields
    self._version: str | None = None
    self._stopping = threading.Event()
    self._stream: Stream | None = None

  def run(self) -> None:
    try:
      self._keep()
    except errors.KerasRemoteError as error:
      self._fail(error)
    except Exception as error:  # What nobody foresaw: nobody must wait for it.
      told = errors.ClusterError(
        f"the {self._kind.plural} cannot be watched any more: "
        f"{type(error).__name__}: {error}"
      )
      told.__cause__ = error
      self._fail(told)
    finally:
      self.ready.set()

  def _fail(self, error: errors.KerasRemoteError) -> None:
    # Who may not see events does without their words.
    if self._kind != EVENTS:
      self._shared.fail(error)

  def stop(self) -> None:
    """Lets it end soon."""
    self._stopping.set()
    if stream := self._stream:
      stream.stop()

  def _keep(self) -> None:
    pause, failing = _FIRST_PAUSE, clock.monotonic()
    while not self._stopping.is_set():
      try:
        if self._version is None:
          self._list()
        begun = clock.monotonic()
        told = self._follow(self._version or "")
      except errors.CredentialsError:
        raise
      except errors.KerasRemoteError as error:
        if clock.monotonic() - failing > PATIENCE or self._refused(error):
          raise
        self._version = None
      else:
        # A server that closes its watches at once is asked ever less often.
        failing = clock.monotonic()
        if told or failing - begun > pause:
          pause = _FIRST_PAUSE
      self._stopping.wait(pause)
      pause = min(2 * pause, _PAUSE)

  def _refused(self, error: errors.KerasRemoteError) -> bool:
    """Whether it is not let in at all: later refusals may be an upheaval."""
    status = getattr(error, "status", None) or 0
    begun = self.ready.is_set()
    return not begun and 400 <= status < 500 and status not in _PASSING

  def _list(self) -> None:
    listing = self._cluster.list(
      self._kind, self._selector, fields=self._fields, once=True
    )
    self._version = listing.version
    known = self._shared.known
    self._shared.tell(known.take(self._kind, listing.items, listing.version))
    self.ready.set()

  def _follow(self, version: str) -> bool:
    """Takes what one watch tells, until it ends; whether it told anything."""
    told = False
    stream = self._cluster.watch(
      self._kind, self._selector, version, fields=self._fields
    )
    self._stream = stream
    with contextlib.closing(stream):
      # Asked after `stop` can see the stream: one of the two ends it.
      for event in () if self._stopping.is_set() else _events(stream):
        change, found = event["type"], event["object"]
        if change == _ERROR:  # 410: too much has happened since.
          self._version = None
          break
        told = True
        self._version = found["metadata"]["resourceVersion"]
        if change != "BOOKMARK":
          job_id = self._shared.known.apply(self._kind, change, found)
          self._shared.tell({job_id})
    self._stream = None
    return told


def _events(stream: Stream) -> Iterator[Any]:
  for line in stream.lines():
    try:
      event = json.loads(line)
    except ValueError:  # It was cut: what it said comes again.
      return
    if not _is_event(event):  # Such as a bare Status, of a proxy's.
      event = {"type": _ERROR, "object": None}
    yield event


def _is_event(found: Any) -> bool:
  return (
    isinstance(found, dict)
    and "type" in found
    and isinstance(found.get("object"), dict)
  )


# The watches of this process: only under the lock.
_lock = threading.Lock()
_watches: dict[_Place, SharedWatch] = {}


def join(cluster: Cluster, selector: str) -> SharedWatch:
  """The watch of these objects, begun if need be; until `leave`.

  Raises:
    KerasRemoteError: the cluster cannot be watched.
  """
  _register()
  place = _place(cluster, selector)
  with _lock:
    found = _watches.get(place)
    if found is None or found.failed:
      found = _watches[place] = SharedWatch(cluster, selector, place)
    if found.ending:
      found.ending.cancel()
      found.ending = None
    found.users += 1
  try:
    found.ready()
  except BaseException:
    leave(found)
    raise
  return found


def running(cluster: Cluster, selector: str) -> SharedWatch | None:
  """The watch of these objects, if somebody has begun one."""
  with _lock:
    found = _watches.get(_place(cluster, selector))
  return None if found is None or found.failed else found


def leave(shared: SharedWatch) -> None:
  """Takes back a `join`."""
  with _lock:
    shared.users -= 1
    if shared.users == 0:
      shared.ending = threading.Timer(LINGER, _end, [shared])
      shared.ending.daemon = True
      shared.ending.start()


def close_all() -> None:
  """Ends every watch of this process, whoever waits."""
  with _lock:
    ended = [*_watches.values()]
    _watches.clear()
  for shared in ended:
    if shared.ending:
      shared.ending.cancel()
    if shared.place[0] == os.getpid():  # No fork has its parent's threads.
      shared.close()


def _end(shared: SharedWatch) -> None:
  with _lock:
    if shared.users:
      return
    if _watches.get(shared.place) is shared:
      del _watches[shared.place]
  shared.close()


def _place(cluster: Cluster, selector: str) -> _Place:
  return os.getpid(), cluster.identity, selector


@functools.cache
def _register() -> None:
  atexit.register(close_all)
