"""LeaderWorkerSets of a test's own: groups of shells that do nothing."""

import contextlib
import fcntl
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kubernetes import client

from keras_remote.backend.k8s.pods import JOB_LABEL
from tests.cluster import layout
from tests.cluster.calls import wait_until
from tests.cluster.namespace import REQUEST_SECONDS, NamespaceTest

POOL = "cloud.google.com/gke-nodepool"
# The controller's names for what it says of a pod.
PREFIX = "leaderworkerset.sigs.k8s.io"
INDEX = f"{PREFIX}/worker-index"
_API = ("leaderworkerset.x-k8s.io", "v1")
_SETS = "leaderworkersets"
# Others may have the slices first.
_GROUP_SECONDS = 300.0
# Says who it is, and ends at once when it is told to.
_SAID = "said"
_WAITS = f'env; echo {_SAID}; trap "exit 0" TERM; sleep 3600 & wait'
_SLICE = {
  "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
  "cloud.google.com/gke-tpu-topology": "4x4",
}


@contextlib.contextmanager
def all_slices() -> Iterator[None]:
  """For a test that needs every pool of slices at once.

  Of two such tests that each had one, neither would get the other.
  """
  with (layout.CACHE / "slices").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield


class SetTest(NamespaceTest):
  """Makes LeaderWorkerSets in the test's namespace.

  Attributes:
    custom: a client of objects of kinds like theirs.
  """

  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("another cluster is named")
    self.custom: Any = client.CustomObjectsApi(self.api)

  def create_set(
    self,
    name: str,
    hosts: int,
    *,
    replicas: int = 1,
    chips: int = 0,
    slice_hosts: int | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Any = None,
  ) -> None:
    """Creates a set of one group, or as many as `replicas`.

    Args:
      chips: of a v5e-16 slice, that each host asks for.
      slice_hosts: after so many hosts the next slice begins.
      owner: the set is deleted with it.
    """
    policy = {"subGroupPolicy": {"subGroupSize": slice_hosts}}
    owners = [_owner(owner)] if owner else []
    self.custom.create_namespaced_custom_object(
      *_API,
      self.namespace,
      _SETS,
      {
        "apiVersion": "/".join(_API),
        "kind": "LeaderWorkerSet",
        "metadata": {
          "name": name,
          "annotations": dict(annotations or {}),
          "ownerReferences": owners,
        },
        "spec": {
          "replicas": replicas,
          "startupPolicy": "LeaderCreated",
          "leaderWorkerTemplate": {
            "size": hosts,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "workerTemplate": self._template(name, chips, slice_hosts),
            **(policy if slice_hosts else {}),
          },
        },
      },
      _request_timeout=REQUEST_SECONDS,
    )

  def delete_set(self, name: str) -> None:
    """Deletes it as a job does: in the background."""
    self.custom.delete_namespaced_custom_object(
      *_API,
      self.namespace,
      _SETS,
      name,
      propagation_policy="Background",
      _request_timeout=REQUEST_SECONDS,
    )

  def sets(self) -> list[str]:
    """The names of those that there are."""
    found = self.custom.list_namespaced_custom_object(
      *_API, self.namespace, _SETS, _request_timeout=REQUEST_SECONDS
    )
    return [each["metadata"]["name"] for each in found["items"]]

  def hosts(self, name: str) -> list[Any]:
    """The set's pods, by their index."""
    found = self.core.list_namespaced_pod(
      self.namespace,
      label_selector=f"{PREFIX}/name={name}",
      _request_timeout=REQUEST_SECONDS,
    ).items
    return sorted(found, key=lambda pod: int(pod.metadata.labels[INDEX]))

  def wait_group(
    self, name: str, hosts: int, but: Collection[Any] = ()
  ) -> list[Any]:
    """Its pods by their index, once all run.

    Args:
      but: pods that must be gone: the earlier ones.
    """
    old = {pod.metadata.uid for pod in but}

    def group() -> list[Any] | None:
      found = self.hosts(name)
      new = [pod for pod in found if pod.metadata.uid not in old and _runs(pod)]
      return new if len(new) == len(found) == hosts else None

    message = f"the group {name} does not come"
    return wait_until(group, message, _GROUP_SECONDS)

  def wait_gone(self, name: str) -> None:
    """Returns once the set and all that was of it is gone."""
    wait_until(
      lambda: name not in self.sets() and not self.hosts(name),
      f"{name} does not go",
    )

  def delete_pod(self, pod: Any) -> None:
    self.core.delete_namespaced_pod(
      pod.metadata.name, self.namespace, _request_timeout=REQUEST_SECONDS
    )

  def environ(self, pod: Any) -> dict[str, str]:
    """What the pod's process was given, as it printed it."""

    def lines() -> list[str] | None:
      printed = self.core.read_namespaced_pod_log(
        pod.metadata.name, self.namespace, _request_timeout=REQUEST_SECONDS
      ).splitlines()
      return printed if _SAID in printed else None

    found = wait_until(lines, f"{pod.metadata.name} does not say it")
    return dict(line.split("=", 1) for line in found if "=" in line)

  def _template(
    self, name: str, chips: int, slice_hosts: int | None
  ) -> dict[str, Any]:
    job = f"{self.namespace}-{name}"
    container = {
      "name": "main",
      "image": self.cluster.busybox_image,
      "command": ["sh", "-c", _WAITS],
      "env": [_field("HOST", f"metadata.labels['{INDEX}']")],
      "resources": {"limits": {"google.com/tpu": str(chips)} if chips else {}},
    }
    spec = {"terminationGracePeriodSeconds": 5, "containers": [container]}
    annotations: dict[str, str] = {}
    if chips:
      # Else a leader of several slices is worker -1 (up to v0.8.0 at least).
      annotations[f"{PREFIX}/leader-requests-tpus"] = "true"
      tolerated = {"key": "google.com/tpu", "operator": "Exists"}
      spec |= {"nodeSelector": _SLICE, "tolerations": [tolerated]}
      if slice_hosts is None:
        spec["affinity"] = _apart(job)
    metadata = {"labels": {JOB_LABEL: job}, "annotations": annotations}
    return {"metadata": metadata, "spec": spec}


def _apart(job: str) -> dict[str, Any]:
  """Keeps a job's pods together, and away from those of all other jobs.

  The controller does the same only within a namespace, and leaves it if it
  finds both. Of jobs that share a pool each would wait for what the other has.
  A second term would not do: the scheduler then looks again only when a pod
  has gone that matches both.
  """
  ours = {"key": JOB_LABEL, "operator": "In", "values": [job]}
  theirs = [
    {"key": JOB_LABEL, "operator": "Exists"},
    {"key": JOB_LABEL, "operator": "NotIn", "values": [job]},
  ]
  return {
    "podAffinity": _required({"labelSelector": {"matchExpressions": [ours]}}),
    "podAntiAffinity": _required(
      {
        "labelSelector": {"matchExpressions": theirs},
        "namespaceSelector": {},
      }
    ),
  }


def _required(term: dict[str, Any]) -> dict[str, Any]:
  term = {**term, "topologyKey": POOL}
  return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _runs(pod: Any) -> bool:
  statuses = pod.status.container_statuses or ()
  running = [status for status in statuses if status.state.running]
  return bool(running) and pod.metadata.deletion_timestamp is None


def _field(name: str, path: str) -> dict[str, Any]:
  return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _owner(owner: Any) -> dict[str, str]:
  return {
    "apiVersion": owner.api_version,
    "kind": owner.kind,
    "name": owner.metadata.name,
    "uid": owner.metadata.uid,
  }
