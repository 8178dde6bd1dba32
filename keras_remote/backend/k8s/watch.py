"""A job's Job, pods and events, pushed: no request on a timer."""

import contextlib
import queue

from keras_remote import clock
from keras_remote.backend.k8s import pods, shared
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Known, Seen
from keras_remote.backend.k8s.objects import JOBS, PODS, Object
from keras_remote.job.spec import JobSpec


class Feed:
  """What of a job is in the cluster, now and at every change.

  All feeds of a process share one watch of each kind, see shared.py.

  Raises:
    ClusterError: the cluster cannot be reached.
  """

  def __init__(self, cluster: Cluster, spec: JobSpec) -> None:
    self._job_id = spec.job_id
    self._news: shared.News = queue.SimpleQueue()
    self._watch = shared.join(cluster, pods.of_owner(spec))
    # Before the look: what happens from now on is told.
    self._watch.subscribe(spec.job_id, self._news)
    try:
      if not self._watch.known.knows(spec.job_id):
        # It may have come just now, and not be told of yet.
        _learn(self._watch.known, cluster, spec.job_id)
    except BaseException:
      self.close()
      raise

  @property
  def seen(self) -> Seen:
    """What there is now."""
    return self._watch.known.seen(self._job_id)

  def wait(self, seconds: float | None) -> bool:
    """Returns at the next change, or after so many seconds; whether it came.

    Raises:
      ClusterError: the cluster could not be watched for two minutes.
      CredentialsError: the log-in has ended.
    """
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
    """Nothing is pushed any more."""
    self._watch.unsubscribe(self._job_id, self._news)
    shared.leave(self._watch)


def look(cluster: Cluster, spec: JobSpec) -> Seen:
  """What of a job is in the cluster now: nothing is begun for it.

  Raises:
    ClusterError: the cluster cannot be reached.
  """
  seen = recall(cluster, spec)
  if seen.job is not None or seen.pods:
    return seen
  known = Known()
  _learn(known, cluster, spec.job_id)
  return known.seen(spec.job_id)


def recall(cluster: Cluster, spec: JobSpec) -> Seen:
  """What of a job was seen by who watches now: nobody is asked."""
  watch = shared.running(cluster, pods.of_owner(spec))
  return watch.known.seen(spec.job_id) if watch else Seen(None)


def goes(cluster: Cluster, spec: JobSpec, seconds: float) -> bool:
  """Whether its Job goes within so many seconds, as who watches sees it.

  False where nobody watches: nobody is asked.
  """
  news: shared.News = queue.SimpleQueue()
  deadline = clock.monotonic() + seconds
  if not shared.running(cluster, pods.of_owner(spec)):
    return False
  watch = shared.join(cluster, pods.of_owner(spec))
  watch.subscribe(spec.job_id, news)
  try:
    while watch.known.seen(spec.job_id).job is not None:
      news.get(timeout=max(0.0, deadline - clock.monotonic()))
      if watch.failed:
        return False
  except queue.Empty:
    return False
  finally:
    watch.unsubscribe(spec.job_id, news)
    shared.leave(watch)
  return True


def learn(cluster: Cluster, spec: JobSpec, job: Object) -> None:
  """The Job is there: who watches need not ask before the watch tells."""
  watch = shared.running(cluster, pods.of_owner(spec))
  if watch:
    watch.known.learn(JOBS, [job])


def _learn(known: Known, cluster: Cluster, job_id: str) -> None:
  for kind in (JOBS, PODS):
    known.learn(kind, cluster.list(kind, pods.selector(job_id)).items)
