"""How a job on a cluster stands, at every change."""

import contextlib
import datetime
import math
import socket
from collections.abc import Iterable, Iterator

from keras_remote import clock, errors
from keras_remote.backend.base import Observation
from keras_remote.backend.k8s import diagnosis, watch
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import Object
from keras_remote.backend.k8s.patience import Patience
from keras_remote.backend.k8s.runners import Runners
from keras_remote.backend.k8s.viewing import Viewer
from keras_remote.home import Home
from keras_remote.job import endings, last_words
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State

# No push tells that a submitting process has ended: seconds between looks at
# its lock.
_LOOK = 1.0
# A job that another home still sends is not here yet: it has so long. Far more
# than clocks differ.
_SENDING = datetime.timedelta(hours=1)


class Observer:
  """Tells how jobs stand that are on a cluster.

  Args:
    runners: those that jobs of this process need: they are kept there.
  """

  def __init__(self, cluster: Cluster, home: Home, runners: Runners) -> None:
    self._cluster = cluster
    self._home = home
    self._runners = runners

  def observations(
    self, spec: JobSpec, directory: JobDirectory, deadline: float
  ) -> Iterator[Observation]:
    """How the job stands now, and whenever that may have changed.

    Args:
      deadline: when to end at the latest, by this process's clock.
    """
    while True:
      # Asked before the cluster: what is no longer sent is there then.
      preparing = self._home.prepares(spec.job_id)
      outcome = directory.outcome()
      if outcome is not None:
        yield Observation(outcome.state, outcome.message, outcome)
        return
      if clock.monotonic() >= deadline:
        seen = watch.look(self._cluster, spec)
        yield self._observe(
          directory,
          spec,
          Viewer(self._cluster, self._home, spec, directory).view(seen),
          preparing=preparing,
          present=_present(seen),
        )
        return
      with contextlib.closing(watch.Feed(self._cluster, spec)) as feed:
        present, patience = False, Patience(spec.limits.pending_timeout)
        viewer = Viewer(self._cluster, self._home, spec, directory)
        while True:
          seen = feed.seen
          present = present or _present(seen)
          self._runners.restore(seen)
          view = viewer.view(seen)
          now = _told(directory, seen.pods) or self._observe(
            directory, spec, view, preparing=preparing, present=present
          )
          yield patience.seeing(now, hopeless=view.hopeless)
          left = max(0.0, deadline - clock.monotonic())
          if now.state is not State.PREPARING:
            left = min(left, patience.left, viewer.due)
            feed.wait(None if math.isinf(left) else left)
          elif preparing:
            come = feed.wait(min(_LOOK, left))
            if not come and not self._home.prepares(spec.job_id):
              break  # Its Job is there, or never will be: looked at anew.
          else:
            feed.wait(min(_SENDING.total_seconds(), left))

  def _observe(
    self,
    directory: JobDirectory,
    spec: JobSpec,
    view: diagnosis.View,
    *,
    preparing: bool,
    present: bool,
  ) -> Observation:
    """How the job stands; the outcome is read only where it may be there.

    Args:
      present: whether something of it is in the cluster, or was.
    """
    outcome = None
    if view.told or view.dead or view.over:
      outcome = directory.outcome()
    elif view.stays:
      # While it runs a store that is away for a while changes nothing.
      with contextlib.suppress(errors.KerasRemoteError):
        outcome = directory.outcome()
    if outcome is not None:
      return Observation(outcome.state, outcome.message, outcome)
    lost = view.over
    if view.dead and not lost:
      # Once every attempt was claimed, no start will call the function.
      lost = endings.spent(directory, spec)
    if not lost:
      return Observation(
        view.state, view.sentence, held_up=view.held_up, hosts=view.hosts
      )
    gone = Observation(State.LOST, view.sentence, hosts=view.hosts)
    if present:
      return gone
    return self._absent(directory, spec, gone, preparing=preparing)

  def _absent(
    self,
    directory: JobDirectory,
    spec: JobSpec,
    lost: Observation,
    *,
    preparing: bool,
  ) -> Observation:
    """How a job stands of which nothing is in the cluster."""
    if preparing:
      return Observation(State.PREPARING, "it is being packed and sent")
    if directory.attempts():
      return lost
    if self._is_sent_elsewhere(spec):
      return Observation(
        State.PREPARING,
        f"{spec.origin.who} is sending it: its Job is not in the cluster yet",
      )
    return Observation(
      State.LOST,
      "it never started: the submitting process ended before its Job was in "
      "the cluster, or somebody deleted that",
    )

  def _is_sent_elsewhere(self, spec: JobSpec) -> bool:
    """Whether another home, or another machine, may still be at sending it."""
    # Of another machine's the lock may not be seen, though the home be shared.
    host = spec.origin.who.rpartition("@")[2]
    if host == socket.gethostname() and self._home.has_prepared(spec.job_id):
      return False
    submitted = datetime.datetime.fromisoformat(spec.origin.submitted)
    return clock.now() - submitted < _SENDING


def _told(
  directory: JobDirectory, found: Iterable[Object]
) -> Observation | None:
  """How the job ended, by the last words of its first process."""
  for words in diagnosis.told_at_end(found):
    # Without the key nothing in them can be told from a forgery.
    if directory.key and (
      told := last_words.read(words, directory.job_id, directory.key)
    ):
      outcome, result = told
      return Observation(outcome.state, outcome.message, outcome, result)
  return None


def _present(seen: Seen) -> bool:
  return seen.job is not None or bool(seen.pods)
