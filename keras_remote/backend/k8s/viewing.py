"""How a job stands, look by look, for whoever watches it."""

import contextlib
import dataclasses
import datetime
import math
from collections.abc import Mapping
from typing import Any

from keras_remote import clock, errors
from keras_remote.backend import hang
from keras_remote.backend.base import Observation
from keras_remote.backend.k8s import admission, diagnosis, groups, waiting
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.deaths import Deaths
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import NODES, SETS, Object
from keras_remote.backend.k8s.pools import Pool, pools
from keras_remote.backend.k8s.status import is_leaving
from keras_remote.home import IMAGES, Home
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State

# Sets are not watched, as they say nothing while they have pods: seconds
# between looks at one that has none.
_LOOK = 5.0
# Seconds after which a set that is not there is not on its way any more, and
# the same for who looks once: far more than clocks differ.
_COMING, _SENDING = 60.0, datetime.timedelta(hours=1)
# A first process that ends so often of itself, before it could claim an
# attempt, will do so again.
_STARTS = 2


class Viewer:
  """Sees one job: what is gone by the next look is remembered.

  Attributes:
    due: seconds after which to look again, though nothing be pushed.
  """

  def __init__(
    self,
    cluster: Cluster,
    home: Home,
    spec: JobSpec,
    directory: JobDirectory,
  ) -> None:
    self.due = math.inf
    self._cluster = cluster
    self._home = home
    self._spec = spec
    self._directory = directory
    self._deaths = Deaths()
    # Whether pods of its set, or the set itself, were seen.
    self._had_set = False
    self._without_set: float | None = None
    # How its Job ended, which goes then.
    self._ended: Mapping[str, Any] = {}
    # What the scheduler said when the pools were asked for.
    self._said: set[str] = set()
    self._pools: tuple[Pool, ...] | None = None
    self._group = hang.GroupLook(directory, spec.resources.hosts)

  def view(self, seen: Seen) -> diagnosis.View:
    """How the job stands now."""
    # The next call asks for it anew.
    for image in waiting.unpulled(seen.pods):
      self._home.forget(IMAGES, image)
    admission.heed(self._cluster, self._home, seen.events)
    known = None
    # Which pools there are is asked where that says more, and anew when the
    # scheduler says another thing: nodes may have come.
    if said := diagnosis.seeking_node(seen.pods):
      if said != self._said:
        self._said, self._pools = said, self._look_at_pools()
      known = self._pools
    hosts = self._spec.resources.hosts
    if hosts == 1 and not groups.owns_set(seen.job):
      return diagnosis.view(seen.job, seen.pods, seen.events, known)
    # Between two looks it may have been made anew.
    self._deaths.mourn(seen.gone)
    self._deaths.heed(seen.pods, seen.events)
    died = self._deaths.cause
    self._ended = diagnosis.finished(seen.job or seen.was) or self._ended
    view = groups.view(
      seen.job,
      seen.pods,
      hosts,
      seen.events,
      known,
      gone=self._is_set_gone(seen),
      died=died,
      ended=self._ended,
    )
    if self._fails(seen.job):
      # Not over: it may begin yet, so who ends it claims its attempts first.
      view = dataclasses.replace(
        view, state=State.PENDING, hopeless=True, sentence=str(died)
      )
    if groups.owns_set(seen.job) and seen.pods:
      # Whoever cannot end it may have stored how it ended.
      view = dataclasses.replace(view, stays=True)
      self.due = hang.SECONDS
    if view.state is not State.RUNNING or view.told:
      return view
    self.due = hang.SECONDS
    seen_now = self._group.add(Observation(view.state, view.sentence))
    return dataclasses.replace(
      view, sentence=seen_now.sentence, held_up=seen_now.held_up
    )

  def _look_at_pools(self) -> tuple[Pool, ...] | None:
    """The pools that have nodes now; None for who may not look."""
    with contextlib.suppress(errors.KerasRemoteError):
      return pools(self._cluster.list(NODES, "").items)
    return None

  def _fails(self, job: Object | None) -> bool:
    """Whether it is started for ever, and never gets as far as an attempt."""
    if not groups.owns_set(job) or self._deaths.in_vain < _STARTS:
      return False
    return not self._directory.attempts()

  def _is_set_gone(self, seen: Seen) -> bool:
    """Whether nothing makes pods of the job any more, though its Job is there.

    Nobody is asked for the set while pods of it are there.
    """
    self.due = math.inf
    self._had_set = self._had_set or bool(seen.pods or seen.gone)
    if seen.pods or not groups.owns_set(seen.job):
      self._without_set = None
      return False
    self.due = _LOOK
    try:
      found = self._cluster.get(SETS, self._spec.job_id)
    except errors.ClusterAccessError:
      return False  # Who may not look sees its pods all the same.
    if found is not None and not is_leaving(found):
      self._had_set, self._without_set = True, None
      return False
    return self._had_set or not self._is_coming(seen.job)

  def _is_coming(self, job: Object | None) -> bool:
    """Whether a set that was not seen yet may still be made, after its Job."""
    if self._home.prepares(self._spec.job_id):
      return True
    if self._directory.attempts():
      return False
    if self._without_set is None:
      self._without_set = clock.monotonic()
    made = (job or {})["metadata"].get("creationTimestamp")
    old = (
      made and clock.now() - datetime.datetime.fromisoformat(made) > _SENDING
    )
    return not old and clock.monotonic() - self._without_set < _COMING
