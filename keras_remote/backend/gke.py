"""The gke backend: a job of one host is a Kubernetes Job.

It runs on a cluster of GKE, or on any that a context of the kubeconfig names.
"""

import functools
from collections.abc import Callable, Sequence

from keras_remote import errors
from keras_remote.backend.base import Submission
from keras_remote.backend.k8s import admission, pods
from keras_remote.backend.k8s.base import BaseK8sBackend
from keras_remote.backend.k8s.objects import JOBS, Object


class GKEBackend(BaseK8sBackend):
  """Runs each job as a Kubernetes Job."""

  name = "gke"

  def check_hosts(self, hosts: int, *, named: bool) -> None:
    if hosts > 1:
      raise errors.ConfigError(
        f"{hosts} hosts cannot run on a cluster yet (they come with "
        "LeaderWorkerSets): choose an accelerator of one host, such as v5e-8, "
        'or emulate it with backend="local"'
      )

  def _prepare(
    self, submission: Submission, runner: str, variables: Sequence[str]
  ) -> Callable[[], Object | None]:
    spec = submission.spec
    manifest = functools.partial(
      pods.job_manifest,
      spec,
      digest=submission.digest,
      image=spec.image.reference,
      runner=runner,
      variables=variables,
    )
    restricted = admission.restricted(self._cluster, self._home, manifest)
    return functools.partial(
      self._cluster.create, JOBS, manifest(restricted=restricted)
    )
