"""The gke backend: a job is a Kubernetes Job, with a pod for each host.

It runs on a cluster of GKE, or on any that a context of the kubeconfig names.
"""

from keras_remote import errors
from keras_remote.backend.k8s import manifests
from keras_remote.backend.k8s.base import BaseK8sBackend
from keras_remote.backend.k8s.making import Stages
from keras_remote.backend.k8s.objects import SERVICES, Object
from keras_remote.backend.k8s.template import Contents
from keras_remote.job.spec import JobSpec


class GKEBackend(BaseK8sBackend):
  """Runs each job as a Kubernetes Job."""

  name = "gke"
  # It starts a pod anew, not those that wait for it.
  restarts_groups = False

  def check_hosts(self, hosts: int, *, named: bool, slices: int = 1) -> None:
    if slices > 1:
      raise errors.ConfigError(
        f"{slices} slices cannot run as one Job, whose hosts GKE takes for "
        'those of one slice: call with backend="pathways"'
      )

  def _job(self, spec: JobSpec, contents: Contents) -> Object:
    return manifests.job_manifest(spec, contents)

  def _owned(self, spec: JobSpec, contents: Contents) -> Stages:
    if spec.resources.hosts == 1:
      return []
    return [[(SERVICES, manifests.service_manifest(spec))]]
