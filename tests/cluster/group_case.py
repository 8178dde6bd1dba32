"""Groups of hosts on a real cluster: what is the same for both backends."""

from collections.abc import Sequence
from typing import Any

from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.objects import Kind
from tests.cluster.calls import GCS, CallTest
from tests.cluster.job_image import job_image
from tests.fakes.environment import environment
from tests.group_contract import GroupContract

# What stands for the chips of a host, which nobody has here.
_CHIPS = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}


class ClusterGroupCase(CallTest, GroupContract):
  """A subclass names its backend, and says what is left of a job."""

  # Two cores pull an image of 600 MB onto several nodes, and start each host.
  seconds = 300.0
  gone = 5.0

  def setUp(self) -> None:
    super().setUp()
    self.signs = self.store
    # Several of them run side by side on two cores.
    self.everywhere = {"cpu": 0.1, "env": {GCS: self.gcs, **_CHIPS}}
    image = job_image("jax", "keras")
    self.enter_context(environment(KERAS_REMOTE_CONTAINER_IMAGE=image))
    self.objects = open_cluster(self.cluster.context, self.namespace)

  def found(self, kind: Kind, job_id: str) -> Sequence[Any]:
    """The objects of this kind that the job has."""
    return self.objects.list(kind, pods.selector(job_id)).items
