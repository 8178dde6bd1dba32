"""What of many jobs is in a cluster: a copy that changes keep up to date."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.objects import EVENTS, JOBS, PODS, Kind, Object
from keras_remote.job import ids


@dataclass(frozen=True)
class Seen:
  """What of a job is in the cluster.

  Attributes:
    events: what was told of its objects; they last an hour.
    gone: the pods that were there before, as they were last seen: of each name
      the last one.
    was: the Job as it was last seen, where it is gone and pods of it are not.
  """

  job: Object | None
  pods: tuple[Object, ...] = ()
  events: tuple[Object, ...] = ()
  gone: tuple[Object, ...] = ()
  was: Object | None = None


# A kind and a uid.
_Key = tuple[Kind, str]


class Known:
  """The objects of jobs, by their jobs, for threads that share them."""

  def __init__(self) -> None:
    self._lock = threading.Lock()
    self._jobs: dict[str, dict[_Key, Object]] = {}
    # What is known to be gone: a look that is late must not bring it back.
    self._gone: set[str] = set()
    # The pods of jobs that are gone, by their names.
    self._old: dict[str, dict[str, Object]] = {}
    # The Jobs that are gone, of which there is something yet.
    self._were: dict[str, Object] = {}

  def seen(self, job_id: str) -> Seen:
    """What there is of a job."""
    with self._lock:
      found = dict(self._jobs.get(job_id, {}))
      gone = tuple(self._old.get(job_id, {}).values())
      was = self._were.get(job_id)
    of: dict[Kind, list[Object]] = {JOBS: [], PODS: [], EVENTS: []}
    for (kind, _), each in found.items():
      of[kind].append(each)
    job = of[JOBS][0] if of[JOBS] else None
    return Seen(job, tuple(of[PODS]), tuple(of[EVENTS]), gone, was)

  def knows(self, job_id: str) -> bool:
    """Whether its Job or a pod of it is there."""
    seen = self.seen(job_id)
    return seen.job is not None or bool(seen.pods)

  def take(
    self, kind: Kind, objects: Iterable[Object], version: str
  ) -> set[str]:
    """Has these, and no others of the kind; the jobs that this may concern.

    Args:
      version: of which these were all: what is newer has come since.
    """
    with self._lock:
      concerned = set(self._jobs)
      before: list[tuple[str, Object]] = []
      for job_id, found in self._jobs.items():
        for key, each in list(found.items()):
          if key[0] == kind and _version(each) <= _number(version):
            before.append((job_id, found.pop(key)))
      concerned |= {self._put(kind, each) for each in objects}
      for job_id, each in before:
        if (kind, each["metadata"]["uid"]) not in self._jobs[job_id]:
          self._bury(kind, job_id, each)
      self._gone.clear()
      for job_id in [job for job, found in self._jobs.items() if not found]:
        self._forget(job_id)
      return concerned

  def learn(self, kind: Kind, objects: Iterable[Object]) -> None:
    """Has these too, where they are not known, or known to be gone."""
    with self._lock:
      for each in objects:
        if each["metadata"]["uid"] not in self._gone:
          self._put(kind, each)

  def apply(self, kind: Kind, change: str, found: Object) -> str:
    """Has a change as a watch tells it; the job that it concerns."""
    with self._lock:
      if change != "DELETED":
        return self._put(kind, found)
      uid, job_id = found["metadata"]["uid"], job_of(kind, found)
      self._gone.add(uid)
      of_job = self._jobs.get(job_id, {})
      of_job.pop((kind, uid), None)
      self._bury(kind, job_id, found)
      if not of_job:
        self._forget(job_id)
      return job_id

  def _bury(self, kind: Kind, job_id: str, found: Object) -> None:
    if kind == PODS:
      name = found["metadata"].get("name", "")
      self._old.setdefault(job_id, {})[name] = _slim(kind, found)
    elif kind == JOBS:
      self._were[job_id] = _slim(kind, found)

  def _forget(self, job_id: str) -> None:
    self._jobs.pop(job_id, None)
    self._old.pop(job_id, None)
    self._were.pop(job_id, None)

  def _put(self, kind: Kind, found: Object) -> str:
    job_id = job_of(kind, found)
    of_job = self._jobs.setdefault(job_id, {})
    key = kind, found["metadata"]["uid"]
    if _version(found) >= _version(of_job.get(key)):
      of_job[key] = _slim(kind, found)
    return job_id


def _slim(kind: Kind, found: Object) -> Object:
  """The object without what is long and nobody reads."""
  slim = {**found, "metadata": _without(found["metadata"], "managedFields")}
  if kind == JOBS and "spec" in found:
    slim["spec"] = _without(found["spec"], "template")  # As its pods have it.
  return slim


def _without(found: Object, name: str) -> Object:
  return {each: value for each, value in found.items() if each != name}


def job_of(kind: Kind, found: Object) -> str:
  """The id of the job that an object is of, or of one that it tells of."""
  if kind != EVENTS:
    return found["metadata"].get("labels", {}).get(pods.JOB_LABEL, "")
  involved = found["involvedObject"]
  name = involved.get("name", "")
  # Whatever makes another object for a job adds to the name that it has.
  return ids.begun_by(name) or name


def _version(found: Object | None) -> int:
  """A number that grows; 0 where a cluster writes another thing."""
  return _number(found["metadata"].get("resourceVersion", "") if found else "")


def _number(text: str) -> int:
  return int(text) if text.isdecimal() else 0
