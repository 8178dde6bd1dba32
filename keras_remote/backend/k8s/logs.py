"""What a job prints, live, from its pod."""

import bisect
import contextlib
from collections.abc import Iterator

from keras_remote.backend.k8s import diagnosis
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import Object
from keras_remote.backend.k8s.watch import Feed
from keras_remote.job.live import Joiner

# A node keeps the last 10 MiB of a container's log at least, with some bytes
# more for each line; what is beyond is read from the store.
_MOST, _LINE = 8 * 1024 * 1024, 64
# Seconds for which the cluster may not know yet that a container has ended.
_LATE = 1.0


def live(
  cluster: Cluster, job_id: str, *, offset: int, follow: bool
) -> Iterator[bytes]:
  """What the job's last started pod prints, from byte `offset` on.

  With `follow` it waits for the pod, and goes on until its container ends or
  its log becomes so long that the node may drop its begin.
  """
  with contextlib.closing(Feed(cluster, job_id)) as feed:
    pod = _started(feed, wait=follow)
    if pod is None:
      return
    done = 0
    while True:
      # Asked before reading: what was printed before the end is then read.
      ended = diagnosis.has_ended(pod) or not follow
      stream = cluster.log(pod["metadata"]["name"], follow=not ended)
      if stream is None:
        return
      begin = cost = 0
      joiner = Joiner()
      with contextlib.closing(stream):
        for piece in stream.pieces():
          kept = _within(piece, _MOST - cost)
          cost += _cost(kept)
          text = joiner.take(kept)
          skipped = max(done, offset) - begin
          begin += len(text)
          if fresh := text[max(0, skipped) :]:
            yield fresh
          done = max(done, begin)
          if len(kept) < len(piece):
            return
      if ended:
        # It was the begin of no mark.
        if fresh := joiner.rest[max(0, offset - begin) :]:
          yield fresh
        return
      feed.wait(_LATE)
      pod = _again(feed, pod)
      if pod is None:
        return


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


def _started(feed: Feed, *, wait: bool) -> Object | None:
  """The last pod whose container has started; None where there is none."""
  while True:
    seen = feed.seen
    started = [pod for pod in seen.pods if diagnosis.has_started(pod)]
    if started:
      return max(started, key=lambda pod: pod["metadata"]["creationTimestamp"])
    if not wait or diagnosis.view(seen.job, seen.pods).over:
      return None
    feed.wait(None)


def _again(feed: Feed, pod: Object) -> Object | None:
  """The pod as it is now; None where it is gone."""
  uid = pod["metadata"]["uid"]
  return next((p for p in feed.seen.pods if p["metadata"]["uid"] == uid), None)
