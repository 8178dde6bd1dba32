"""What the backends that run jobs on a cluster have in common.

A job's directory is in a bucket, which its pods and this machine both reach.
"""

import abc
import contextlib
import dataclasses
import functools
import math
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from keras_remote import clock, errors
from keras_remote.backend.base import (
  Cloud,
  Observation,
  Shown,
  Submission,
  Wanted,
)
from keras_remote.backend.k8s import (
  admission,
  deaths,
  diagnosis,
  groups,
  links,
  logs,
  making,
  pods,
  secrets,
  sweep,
  watch,
)
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.making import Stages
from keras_remote.backend.k8s.names import gke_of_context
from keras_remote.backend.k8s.objects import (
  EVENTS,
  JOBS,
  PODS,
  SECRETS,
  SETS,
  Object,
)
from keras_remote.backend.k8s.observing import Observer
from keras_remote.backend.k8s.runners import Runners
from keras_remote.backend.k8s.target import cloud_of, open_target, target_place
from keras_remote.backend.k8s.template import Contents
from keras_remote.checks import Link
from keras_remote.home import Home
from keras_remote.job import signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import VARIABLES
from keras_remote.job.spec import TIMEOUT, JobSpec
from keras_remote.storage.open import is_folder, open_store

# What may be a pod's uid.
_UID = re.compile("[0-9A-Za-z-]{1,100}")
# The home's notes of groups whose Job has gone.
_GONE = "gone"


class BaseK8sBackend(abc.ABC):
  """Runs jobs on a cluster: each has a Job, and goes when that goes.

  Attributes:
    going: seconds that the leader of a group has to end it, after the job.

  Args:
    place: where a job of it is; None for a new job.

  Raises:
    ConfigError: no cluster is named, or the kubeconfig has no such context.
  """

  emulates = False
  contains = True
  usual_timeout: float | None = TIMEOUT
  restarts_groups: bool
  going = 5.0

  def __init__(self, home: Home, wanted: Wanted, place: str | None) -> None:
    self._home = home
    self._wanted = wanted
    self._cluster = open_target(home, wanted, place)
    self._seen_off: set[str] = set()
    self._seeing = threading.Lock()

  @abc.abstractmethod
  def _job(self, spec: JobSpec, contents: Contents) -> Object:
    """The Job of a job, which is made first: when it goes, all goes."""

  @abc.abstractmethod
  def _owned(self, spec: JobSpec, contents: Contents) -> Stages:
    """What else a job is made of, in the order of its making."""

  def _make(self, spec: JobSpec, contents: Contents) -> Object | None:
    """The new Job with all that it owns; None where there was one."""
    return making.make(
      self._cluster, self._job(spec, contents), self._owned(spec, contents)
    )

  def _contents(
    self, submission: Submission, runner: str, variables: Sequence[str]
  ) -> Contents:
    """What its pods hold; the cluster is asked what it demands of them."""
    spec = submission.spec
    contents = Contents(
      digest=submission.digest,
      image=spec.image.reference,
      runner=runner,
      variables=tuple(variables),
    )
    restricted = admission.restricted(
      self._cluster, self._home, lambda: self._job(spec, contents)
    )
    return dataclasses.replace(contents, restricted=restricted)

  @functools.cached_property
  def _runners(self) -> Runners:
    return Runners(self._cluster, self._home, self.place)

  @property
  def place(self) -> str:
    return target_place(self._cluster)

  @property
  def cloud(self) -> Cloud | None:
    return cloud_of(self._wanted, self._cluster.name)

  @property
  def in_google_cloud(self) -> bool:
    place = self._cluster.name.place
    return self.cloud is not None or gke_of_context(place) is not None

  def check_call(self, store: str, environ: Mapping[str, str]) -> None:
    _check(store, environ)
    admission.check(self._cluster, self._home, self._wanted)

  def submit_job(
    self,
    submission: Submission,
    stored: Callable[[], object] = lambda: None,
  ) -> None:
    spec = submission.spec
    _check(spec.target.store, submission.environ)
    environ = {
      name: value
      for name, value in submission.environ.items()
      if name not in VARIABLES
    }
    try:
      runner = self._runners.keep(submission.runner)
      contents = self._contents(submission, runner, tuple(environ))
      # Before the Job: a pod looks for a missing one only every 10 s.
      secret = secrets.job_secret(
        spec.job_id,
        pods.labels(spec),
        submission.key,
        environ,
        submission.recipe,
        spec=submission.digest,
      )
      created = self._cluster.create(SECRETS, secret)
      try:
        stored()
      except BaseException:
        with contextlib.suppress(errors.KerasRemoteError):
          secrets.disown(self._cluster, secret, created)
        raise
      if created is None:
        secrets.own(self._cluster, secret)
      try:
        job = self._make(spec, contents)
      except BaseException:
        # Where it was there, the job may be, too.
        if created:
          with contextlib.suppress(errors.KerasRemoteError):
            secrets.disown(self._cluster, secret, created)
        raise
    except errors.ClusterAccessError:
      raise
    except errors.ClusterError as error:
      raise errors.SubmitError(str(error)) from error
    if job:
      watch.learn(self._cluster, spec, job)
    # Nobody waits for it but the interpreter's exit.
    threading.Thread(
      target=self._own_secret, args=(spec.job_id, job), name="own a secret"
    ).start()

  def _own_secret(self, job_id: str, job: Object | None) -> None:
    """Has the Secret go when the Job does; one without owner is swept."""
    with contextlib.suppress(errors.KerasRemoteError):
      job = job or self._cluster.get(JOBS, job_id)
      if job:
        self._cluster.patch(SECRETS, job_id, pods.owned_by(job))
        self._sweep(job)

  def _sweep(self, job: Object) -> None:
    """Tidies up in the namespace, once a day, while nobody waits for it."""
    if self._home.remembered("swept", self.place):
      return

    def work() -> None:
      # Who comes tomorrow does what could not be done today.
      with contextlib.suppress(errors.KerasRemoteError):
        self._home.remember("swept", self.place)
        sweep.sweep(self._cluster, job)

    # A daemon: the interpreter's exit does not wait for it.
    threading.Thread(target=work, name="sweep", daemon=True).start()

  def watch_job(
    self, spec: JobSpec, *, timeout: float | None = None
  ) -> Iterator[Observation]:
    deadline = math.inf if timeout is None else clock.monotonic() + timeout
    key = self._job_key(spec)
    directory = JobDirectory(open_store(spec.target.store), spec.job_id, key)
    last = None
    for now in self._observer.observations(spec, directory, deadline):
      if now.outcome and self.restarts_groups and self._sees_off(spec):
        # Nobody waits for it but the interpreter's exit.
        threading.Thread(
          target=self._see_off, args=(spec,), name=f"see off {spec.job_id}"
        ).start()
      if now != last:
        yield now
        last = dataclasses.replace(now, overdue=False)
      if now.state.ended or clock.monotonic() >= deadline:
        return

  def _sees_off(self, spec: JobSpec) -> bool:
    """Whether it is for the caller to see it off: many may see its end."""
    with self._seeing:
      if spec.job_id in self._seen_off:
        return False
      self._seen_off.add(spec.job_id)
    return not self._home.remembered(_GONE, spec.job_id)

  def _see_off(self, spec: JobSpec) -> None:
    """Has the Job of a group go that has ended: else the group would stay.

    Its leader does that too, where it can.
    """
    try:
      if not watch.goes(self._cluster, spec, self.going):
        self.cancel_job(spec)
      self._home.remember(_GONE, spec.job_id)
    except errors.KerasRemoteError:
      # Who sees its end next tries again.
      with self._seeing:
        self._seen_off.discard(spec.job_id)

  @functools.cached_property
  def _observer(self) -> Observer:
    return Observer(self._cluster, self._home, self._runners)

  def job_logs(
    self,
    spec: JobSpec,
    host: int,
    *,
    allocation: str | None = None,
    offset: int = 0,
    follow: bool = True,
  ) -> Generator[bytes, None, Shown]:
    return (
      yield from logs.live(
        self._cluster,
        spec,
        host,
        allocation=allocation,
        offset=offset,
        follow=follow,
      )
    )

  def cancel_job(self, spec: JobSpec) -> None:
    if self.restarts_groups:
      # Else only the leader were told to end, and the others after it. Who may
      # not do that has it go with the Job.
      with contextlib.suppress(errors.ClusterAccessError):
        self._cluster.delete(SETS, spec.job_id, last=True)
    self._cluster.delete(JOBS, spec.job_id)

  def abandoned(self, spec: JobSpec) -> bool:
    seen = watch.recall(self._cluster, spec)
    if groups.owns_set(seen.job) and not seen.pods:
      return True
    return diagnosis.untold(seen.job, seen.pods)

  def death(self, spec: JobSpec, allocation: str) -> str:
    if not _UID.fullmatch(allocation):
      return ""  # It comes from the store, and is no pod's.
    found = self._cluster.list(PODS, pods.selector(spec.job_id)).items
    if spec.resources.hosts > 1:
      # That it was told to end with the others is no reason.
      found = tuple(pod for pod in found if _died(pod, allocation))
    events: tuple[Object, ...] = ()
    # Who may not see events does without their words.
    with contextlib.suppress(errors.ClusterAccessError):
      of_pod = f"involvedObject.uid={allocation}"
      events = self._cluster.list(EVENTS, "", fields=of_pod).items
    return diagnosis.told_of(found, events, allocation)

  def cleanup_job(self, spec: JobSpec) -> None:
    # Before the pods: those that are killed are made anew while a set is there.
    self.cancel_job(spec)
    self._cluster.kill(PODS, pods.selector(spec.job_id))
    self._cluster.delete(SECRETS, spec.job_id)

  def signing_key(self) -> bytes:
    return _key(os.getpid(), self._cluster.identity, self._cluster)

  def _job_key(self, spec: JobSpec) -> bytes | None:
    """The job's key; None where this user may only look."""
    try:
      return signing.job_key(self.signing_key(), spec.job_id)
    except errors.ClusterAccessError:
      return None

  def checks(self) -> Sequence[Link]:
    return links.links(
      self._cluster, self._wanted.service_account, self._wanted.queue
    )


def _died(pod: Object, uid: str) -> bool:
  """Whether this pod has died, and not because another one had."""
  found = deaths.death(pod) if pod["metadata"]["uid"] == uid else None
  return found is not None and not found.was_told


def _check(store: str, environ: Mapping[str, str]) -> None:
  if is_folder(store):
    raise errors.ConfigError(
      f"the store {store} is a folder, which pods cannot reach: set store= "
      "or KERAS_REMOTE_STORE to a bucket, gs://…"
    )
  secrets.check_names(environ)


@functools.cache
def _key(process: int, identity: object, cluster: Cluster) -> bytes:
  """A namespace's key: nobody changes it, so a process asks once."""
  return secrets.cluster_key(cluster, pods.MANAGED)
