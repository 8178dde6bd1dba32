"""What is on a cluster now, as Kubernetes has it."""

from collections import Counter
from collections.abc import Mapping

from keras_remote.accelerators.gke import POOL_LABEL
from keras_remote.backend.k8s.cluster import Cluster, open_gke
from keras_remote.backend.k8s.names import GkeCluster
from keras_remote.backend.k8s.objects import NODES, PODS
from keras_remote.backend.k8s.pods import JOB_LABEL
from keras_remote.cli.config import InfraConfig
from keras_remote.home import Home, home

_GOING_ON = ("Pending", "Running")


def cluster_of(config: InfraConfig) -> Cluster:
  """The cluster, in the namespace of jobs; nothing is asked of it yet."""
  gke = GkeCluster(config.project, config.location, config.cluster)
  return open_gke(Home(home()), gke, config.namespace)


def version(cluster: Cluster) -> str:
  """Which Kubernetes it is.

  Raises:
    KerasRemoteError: it cannot be reached.
  """
  found = cluster.api("GET", "/version") or {}
  return str(found.get("gitVersion", "")).removeprefix("v")


def nodes(cluster: Cluster) -> Mapping[str, int]:
  """How many machines each pool has.

  Raises:
    KerasRemoteError: it cannot be reached, or does not tell.
  """
  found = cluster.list(NODES, "", once=True).items
  return Counter(
    each["metadata"].get("labels", {}).get(POOL_LABEL, "") for each in found
  )


def jobs_on(cluster: Cluster, pool: str) -> list[str]:
  """The jobs that have a machine of the pool.

  Raises:
    KerasRemoteError: it cannot be reached, or does not tell.
  """
  machines = {
    each["metadata"]["name"]
    for each in cluster.list(NODES, f"{POOL_LABEL}={pool}").items
  }
  found = {
    pod["metadata"]["labels"][JOB_LABEL]
    for pod in cluster.list(PODS, JOB_LABEL).items
    if pod.get("spec", {}).get("nodeName") in machines
    and pod.get("status", {}).get("phase") in _GOING_ON
  }
  return sorted(found)
