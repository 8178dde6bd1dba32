"""The gke backend: a job of one host is a Kubernetes Job.

It runs on a cluster of GKE, or on any that a context of the kubeconfig names.
The job's directory is in a bucket, which its pod and this machine both reach.
"""

import contextlib
import dataclasses
import datetime
import functools
import math
import os
import socket
import threading
from collections.abc import (
  Callable,
  Generator,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)

from keras_remote import clock, errors
from keras_remote.backend.base import Cloud, Observation, Submission, Wanted
from keras_remote.backend.k8s import (
  admission,
  diagnosis,
  links,
  logs,
  pods,
  secrets,
  sweep,
  waiting,
  watch,
)
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import (
  EVENTS,
  JOBS,
  NODES,
  PODS,
  SECRETS,
  Object,
)
from keras_remote.backend.k8s.patience import Patience
from keras_remote.backend.k8s.pools import Pool, pools
from keras_remote.backend.k8s.runners import Runners
from keras_remote.backend.k8s.target import cloud_of, open_target, target_place
from keras_remote.checks import Link
from keras_remote.home import IMAGES, Home
from keras_remote.job import endings, last_words, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import VARIABLES
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.storage.open import is_folder, open_store

# No push tells that a submitting process has ended: seconds between looks at
# its lock.
_LOOK = 1.0
# A job that another home still sends is not here yet: it has so long. Far more
# than clocks differ.
_SENDING = datetime.timedelta(hours=1)


class GKEBackend:
  """Runs jobs on a cluster.

  Args:
    place: where a job of it is; None for a new job.

  Raises:
    ConfigError: no cluster is named, or the kubeconfig has no such context.
  """

  name = "gke"
  emulates = False
  contains = True

  def __init__(self, home: Home, wanted: Wanted, place: str | None) -> None:
    self._home = home
    self._wanted = wanted
    self._cluster = open_target(home, wanted, place)

  @functools.cached_property
  def _runners(self) -> Runners:
    return Runners(self._cluster, self._home, self.place)

  @property
  def place(self) -> str:
    return target_place(self._cluster)

  @property
  def cloud(self) -> Cloud | None:
    return cloud_of(self._wanted, self._cluster.name)

  def check_hosts(self, hosts: int, *, named: bool) -> None:
    if hosts > 1:
      raise errors.ConfigError(
        f"{hosts} hosts cannot run on a cluster yet (they come with "
        "LeaderWorkerSets): choose an accelerator of one host, such as v5e-8, "
        'or emulate it with backend="local"'
      )

  def check_call(self, store: str, environ: Mapping[str, str]) -> None:
    self._check(store, environ)
    admission.check(self._cluster, self._home, self._wanted)

  def _check(self, store: str, environ: Mapping[str, str]) -> None:
    if is_folder(store):
      raise errors.ConfigError(
        f"the store {store} is a folder, which pods cannot reach: set store= "
        "or KERAS_REMOTE_STORE to a bucket, gs://…"
      )
    secrets.check_names(environ)

  def submit_job(
    self,
    submission: Submission,
    stored: Callable[[], object] = lambda: None,
  ) -> None:
    spec = submission.spec
    self._check(spec.target.store, submission.environ)
    environ = {
      name: value
      for name, value in submission.environ.items()
      if name not in VARIABLES
    }
    labels = pods.labels(spec)
    try:
      runner = self._runners.keep(submission.runner)
      manifest = functools.partial(
        pods.job_manifest,
        spec,
        digest=submission.digest,
        image=spec.image.reference,
        runner=runner,
        variables=environ,
      )
      restricted = admission.restricted(self._cluster, self._home, manifest)
      # Before the Job: a pod looks for a missing one only every 10 s.
      secret = secrets.job_secret(
        spec.job_id,
        labels,
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
      job = self._cluster.create(JOBS, manifest(restricted=restricted))
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
    for now in self._observations(spec, directory, deadline):
      if now != last:
        yield now
        last = dataclasses.replace(now, overdue=False)
      if now.state.ended or clock.monotonic() >= deadline:
        return

  def job_logs(
    self, spec: JobSpec, host: int, *, offset: int = 0, follow: bool = True
  ) -> Generator[bytes, None, bool]:
    if host != 0:
      return False
    return (
      yield from logs.live(self._cluster, spec, offset=offset, follow=follow)
    )

  def cancel_job(self, spec: JobSpec) -> None:
    self._cluster.delete(JOBS, spec.job_id)

  def abandoned(self, spec: JobSpec) -> bool:
    seen = watch.recall(self._cluster, spec)
    return diagnosis.untold(seen.job, seen.pods)

  def death(self, spec: JobSpec, allocation: str) -> str:
    found = self._cluster.list(PODS, pods.selector(spec.job_id)).items
    events: tuple[Object, ...] = ()
    # Who may not see events does without their words.
    with contextlib.suppress(errors.ClusterAccessError):
      of_pod = f"involvedObject.uid={allocation}"
      events = self._cluster.list(EVENTS, "", fields=of_pod).items
    return diagnosis.told_of(found, events, allocation)

  def cleanup_job(self, spec: JobSpec) -> None:
    self._cluster.delete(JOBS, spec.job_id)
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

  def _observations(
    self, spec: JobSpec, directory: JobDirectory, deadline: float
  ) -> Iterator[Observation]:
    """How the job stands now, and whenever that may have changed."""
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
          self._view(seen),
          preparing=preparing,
          present=_present(seen),
        )
        return
      with contextlib.closing(watch.Feed(self._cluster, spec)) as feed:
        present, patience = False, Patience(spec.limits.pending_timeout)
        while True:
          seen = feed.seen
          present = present or _present(seen)
          self._runners.restore(seen)
          view = self._view(seen)
          now = _told(directory, seen.pods) or self._observe(
            directory, spec, view, preparing=preparing, present=present
          )
          yield patience.seeing(now, hopeless=view.hopeless)
          left = max(0.0, deadline - clock.monotonic())
          if now.state is not State.PREPARING:
            left = min(left, patience.left)
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
    if view.told or view.dead or view.over:
      outcome = directory.outcome()
      if outcome is not None:
        return Observation(outcome.state, outcome.message, outcome)
    lost = view.over
    if view.dead and not lost:
      # Once every attempt was claimed, no start will call the function.
      lost = endings.spent(directory, spec)
    if not lost:
      return Observation(view.state, view.sentence)
    gone = Observation(State.LOST, view.sentence)
    if present:
      return gone
    return self._absent(directory, spec, gone, preparing=preparing)

  def _view(self, seen: Seen) -> diagnosis.View:
    """How it stands; which pools there are is asked where that says more."""
    # The next call asks for it anew.
    for image in waiting.unpulled(seen.pods):
      self._home.forget(IMAGES, image)
    admission.heed(self._cluster, self._home, seen.events)
    known = None
    if diagnosis.seeks_node(seen.pods):
      known = self._pools
    return diagnosis.view(seen.job, seen.pods, seen.events, known)

  @functools.cached_property
  def _pools(self) -> tuple[Pool, ...] | None:
    """The pools that have nodes, as of now; None for who may not look."""
    with contextlib.suppress(errors.KerasRemoteError):
      return pools(self._cluster.list(NODES, "").items)
    return None

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


@functools.cache
def _key(process: int, identity: object, cluster: Cluster) -> bytes:
  """A namespace's key: nobody changes it, so a process asks once."""
  return secrets.cluster_key(cluster, pods.MANAGED)
