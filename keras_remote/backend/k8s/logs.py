"""What a host of a job prints, live, from its pod."""

import bisect
import contextlib
import math
import re
from collections.abc import Generator, Iterator

from keras_remote import clock, errors
from keras_remote.backend.base import Shown
from keras_remote.backend.k8s import diagnosis
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import Object
from keras_remote.backend.k8s.status import begun_anew, host_of
from keras_remote.backend.k8s.watch import Feed, look
from keras_remote.job.live import Joiner
from keras_remote.job.spec import JobSpec

# A node keeps the last 10 MiB of a container's log at least, with some bytes
# more for each line; what is beyond is read from the store.
_MOST, _LINE = 8 * 1024 * 1024, 64
# What a node gives, as if it were a log, of a container that it has removed.
_REMOVED = re.compile(rb"unable to retrieve container logs for [\w.-]+://\w+")
# Seconds for which the cluster may not know yet that a container has ended,
# and before a log is read on whose connection was lost.
_LATE, _PAUSE = 5.0, 1.0


def live(
  cluster: Cluster,
  spec: JobSpec,
  host: int,
  *,
  allocation: str | None = None,
  offset: int,
  follow: bool,
) -> Generator[bytes, None, Shown]:
  """What a host's pod prints, from byte `offset` on.

  With `follow` it waits for the pod, and goes on until its container ends or
  its log becomes so long that the node may drop its begin.

  Args:
    allocation: the pod's uid; None for the one that was started last.
  """
  if not follow:
    pod = _started(look(cluster, spec), host, allocation)
    if pod is None:
      return Shown()
    reader = _Reader(cluster, pod, offset)
    yield from reader.pieces(follow=False)
    return reader.shown(pod)
  with contextlib.closing(Feed(cluster, spec)) as feed:
    pod = _awaited(feed, host, allocation)
    if pod is None:
      return Shown()
    reader = _Reader(cluster, pod, offset)
    while pod is not None and not reader.over:
      # Asked before reading: what was printed before the end is then read.
      ended = diagnosis.has_ended(pod)
      yield from reader.pieces(follow=not ended)
      if ended:
        break
      pod = _settled(feed, pod, _PAUSE if reader.cut else _LATE)
    return reader.shown(pod)


class _Reader:
  """Reads a pod's log, again where it was cut off, each byte once.

  Attributes:
    over: whether the rest is to be read elsewhere.
    cut: whether the connection was lost at last.
  """

  def __init__(self, cluster: Cluster, pod: Object, offset: int) -> None:
    self._cluster = cluster
    self._name = pod["metadata"]["name"]
    self._uid = pod["metadata"]["uid"]
    self._done = offset
    self.over = self.cut = False

  def shown(self, pod: Object | None) -> Shown:
    """What was shown of the pod; None where it is gone."""
    told = pod is not None and diagnosis.has_told(pod)
    return Shown(self._uid, whole=told and not self.over)

  def pieces(self, *, follow: bool) -> Iterator[bytes]:
    """What is new; with `follow` until the container ends or it is cut."""
    stream = None
    # Who may not read it reads what is stored of it.
    with contextlib.suppress(errors.ClusterAccessError):
      stream = self._cluster.log(self._name, follow=follow)
    if stream is None:
      self.over = True
      return
    begin = cost = 0
    joiner = Joiner()
    with contextlib.closing(stream):
      for piece in stream.pieces():
        if not begin and _REMOVED.fullmatch(piece):
          self.over = True
          return
        kept = _within(piece, _MOST - cost)
        cost += _cost(kept)
        text = joiner.take(kept)
        skipped = self._done - begin
        begin += len(text)
        if fresh := text[max(0, skipped) :]:
          yield fresh
        self._done = max(self._done, begin)
        if len(kept) < len(piece):
          self.over = True
          return
    self.cut = stream.cut
    if not follow and self.cut:
      self.over = True
      return
    # It was the begin of no mark.
    if not follow and (fresh := joiner.rest[max(0, self._done - begin) :]):
      yield fresh


def _cost(piece: bytes) -> int:
  """Bytes that the node keeps for it."""
  return len(piece) + _LINE * piece.count(b"\n")


def _within(piece: bytes, most: int) -> bytes:
  """As much of its begin as costs no more, wherever pieces are cut."""
  if _cost(piece) <= most:
    return piece
  ends = range(len(piece) + 1)
  cut = bisect.bisect_right(ends, most, key=lambda end: _cost(piece[:end]))
  return piece[: cut - 1]


def _started(
  seen: Seen, host: int, allocation: str | None = None
) -> Object | None:
  """The host's last pod whose container has started, or the one that is asked
  for; None where there is none."""
  started = [
    pod
    for pod in seen.pods
    if host_of(pod) == host
    and allocation in (None, pod["metadata"]["uid"])
    and diagnosis.has_started(pod)
  ]
  return max(
    started, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None
  )


def _awaited(feed: Feed, host: int, allocation: str | None) -> Object | None:
  """The same, once there is one; None where none will be."""
  # One that is asked for by its uid has started: it is there or was.
  deadline = math.inf if allocation is None else clock.monotonic() + _LATE
  while True:
    seen = feed.seen
    pod = _started(seen, host, allocation)
    left = deadline - clock.monotonic()
    if pod is not None or left <= 0 or _is_over(seen):
      return pod
    feed.wait(None if math.isinf(left) else left)


def _is_over(seen: Seen) -> bool:
  """Whether no pod lives, and none will be made."""
  gone = seen.job is None or bool(diagnosis.finished(seen.job))
  return gone and all(diagnosis.has_ended(pod) for pod in seen.pods)


def _settled(feed: Feed, pod: Object, seconds: float) -> Object | None:
  """The pod once its container has ended, or after so many seconds.

  None where it is gone, or its container was begun anew.
  """
  deadline = clock.monotonic() + seconds
  found = _again(feed, pod)
  while found is not None and not diagnosis.has_ended(found):
    left = deadline - clock.monotonic()
    if left <= 0:
      break
    feed.wait(left)
    found = _again(feed, pod)
  return found


def _again(feed: Feed, pod: Object) -> Object | None:
  """The pod as it is now; None where its container, or all of it, is gone."""
  uid, begun = pod["metadata"]["uid"], begun_anew(pod)
  for found in feed.seen.pods:
    if found["metadata"]["uid"] == uid and begun_anew(found) == begun:
      return found
  return None
