"""What hosts of a group died of, for whoever watches it.

When one has died the whole group is made anew, and nothing in the cluster
tells of the pods that were before.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keras_remote.backend.k8s import diagnosis, waiting
from keras_remote.backend.k8s.status import (
  Json,
  condition,
  ended_before,
  ends,
  host_of,
  is_leaving,
)
from keras_remote.job.launch import ENDED_EXIT, FAILED_EXIT
from keras_remote.job.line import of_host

# What a process ends with that was told to.
_STOPPED_EXITS = (0, ENDED_EXIT, 143)
# What the controller of a LeaderWorkerSet tells when it begins a group anew.
_RECREATES = "RecreateGroupOnPodRestart"
_FAILED_POD = re.compile(r"Worker pod \S+?-0(?:-(\d+))? failed")


# What a death may be an echo of, see Death.
_TAKEN, _OWN, _DELETED = range(3)


@dataclass(frozen=True, order=True)
class Death:
  """Why a host died; of several the least is the cause of the others.

  Attributes:
    echo: the least where it was taken away, more where it ended by itself, the
      most where it was told to end, as hosts are when another one has died.
    at: when its container ended; "" where it still does.
  """

  echo: int
  at: str
  host: int
  sentence: str

  @property
  def was_told(self) -> bool:
    """Whether it was told to end: then something else tells why."""
    return self.echo == _DELETED

  def __str__(self) -> str:
    return of_host(self.host, self.sentence)


def death(pod: Json) -> Death | None:
  """Why the pod's last container ended, or does; None where it lives."""
  host = host_of(pod)
  leaving = is_leaving(pod)
  taken = condition(pod, "DisruptionTarget").get("status") == "True"
  ended = pod if diagnosis.has_ended(pod) else ended_before(pod)
  if ended is None:
    if not (leaving or taken):
      return None
    why = diagnosis.taken(pod) or "its pod was deleted"
    return Death(_TAKEN if taken else _DELETED, "", host, why)
  code = diagnosis.exit_code(ended)
  # Who cannot begin has its group deleted, and says why.
  stopped = code in _STOPPED_EXITS or (leaving and code != FAILED_EXIT)
  at, why = diagnosis.ended_at(ended), diagnosis.death(ended)
  echo = _TAKEN if taken else _DELETED if stopped else _OWN
  return Death(echo, at, host, why)


class Deaths:
  """Keeps what was seen to die, start of the group by start."""

  def __init__(self) -> None:
    self._start = 0
    # Of which start a pod is, by its uid.
    self._starts: dict[str, int] = {}
    # How often its container has ended, and of what first.
    self._found: dict[tuple[str, int], Death] = {}
    self._blamed: int | None = None

  def heed(self, pods: Iterable[Json], events: Sequence[Json] = ()) -> None:
    """Takes in how the pods stand now, and what was told of them."""
    for pod in sorted(pods, key=host_of):
      self._take(pod, death(pod))
    told = waiting.latest(events, "LeaderWorkerSet", None, _RECREATES)
    named = _FAILED_POD.match(told.get("message", "")) if told else None
    self._blamed = int(named[1] or 0) if named else None

  def mourn(self, pods: Iterable[Json]) -> None:
    """Takes in the pods of an earlier start, as they were at last."""
    for pod in sorted(pods, key=host_of):
      found = death(pod)
      deleted = Death(_DELETED, "", host_of(pod), "its pod was deleted")
      self._take(pod, found or deleted)

  def _take(self, pod: Json, found: Death | None) -> None:
    uid = pod["metadata"]["uid"]
    if uid not in self._starts:
      # Host 0 is made first, and the others by it.
      self._start += host_of(pod) == 0
      self._starts[uid] = self._start
    if found is not None:
      self._found.setdefault((uid, ends(pod)), found)

  @property
  def cause(self) -> Death | None:
    """Why the group was started again, or will be; None where none died."""
    by_start: dict[int, list[Death]] = {}
    for (uid, _), each in self._found.items():
      by_start.setdefault(self._starts[uid], []).append(each)
    if not by_start:
      return None

    def order(death: Death) -> tuple[int, bool]:
      return death.echo, death.host != self._blamed

    # Of several alike the one that was seen first: the cluster's clock counts
    # seconds.
    return min(by_start[max(by_start)], key=order)

  @property
  def in_vain(self) -> int:
    """How often a host ended of itself: the most of any."""
    counts: dict[int, int] = {}
    for each in self._found.values():
      if each.echo == _OWN:
        counts[each.host] = counts.get(each.host, 0) + 1
    return max(counts.values(), default=0)
