"""The pathways backend: a job is a LeaderWorkerSet, with a pod for each host.

A set starts all hosts again when one fails, and never ends by itself. So an
empty Job owns it: when that goes, because it was deleted or its time is up,
all goes. Host 0 deletes both when it has stored how the job ended, or another
host where that does not come to it; and so does a client that sees that, as
they may not be able to.
"""

from collections.abc import Mapping, Sequence

from keras_remote import errors
from keras_remote.backend.k8s import links, manifests, needs, sets
from keras_remote.backend.k8s.base import BaseK8sBackend
from keras_remote.backend.k8s.making import Stages
from keras_remote.backend.k8s.objects import Object
from keras_remote.backend.k8s.template import Contents
from keras_remote.checks import Link
from keras_remote.job.spec import JobSpec

_NOT_FOUND = 404


class PathwaysBackend(BaseK8sBackend):
  """Runs each job as a LeaderWorkerSet."""

  name = "pathways"
  restarts_groups = True

  def check_hosts(self, hosts: int, *, named: bool, slices: int = 1) -> None:
    pass  # As many as there are nodes for.

  def check_call(self, store: str, environ: Mapping[str, str]) -> None:
    super().check_call(store, environ)
    needs.check(self._cluster, self._home)

  def checks(self) -> Sequence[Link]:
    return links.links(
      self._cluster,
      self._wanted.service_account,
      self._wanted.queue,
      groups=True,
    )

  def _job(self, spec: JobSpec, contents: Contents) -> Object:
    return manifests.owner_manifest(spec, contents)

  def _owned(self, spec: JobSpec, contents: Contents) -> Stages:
    return sets.stages(spec, contents)

  def _make(self, spec: JobSpec, contents: Contents) -> Object | None:
    try:
      return super()._make(spec, contents)
    except errors.ClusterAccessError as error:
      told = needs.refused(self._cluster, error)
      if told is error:
        raise
      raise told from error
    except errors.ClusterError as error:
      if error.status == _NOT_FOUND:
        needs.recheck(self._cluster, self._home)
      raise needs.unanswered(self._cluster, error) from error
