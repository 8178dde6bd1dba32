"""Where the cluster lives: its folders, addresses, ports and nodes.

All of it is in one folder outside the tree and on one bridge.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "go"

CACHE = (
  Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
  / "keras_remote-cluster"
)
# What takes minutes to build; stays until its inputs change.
BUILT = CACHE / "built"
# The last run's, also after `down`.
LOGS = CACHE / "logs"
# What `down` removes.
STATE = CACHE / "state"
RECORDS = STATE / "processes"
PKI = STATE / "pki"
KUBECONFIG = STATE / "kubeconfig"

CONTEXT = "keras-remote-test"
BUCKET = "keras-remote-test"

BRIDGE = "keras-remote0"
# No more than the interface that pods go out by has; tunnels have 1400.
MTU = 1400
PODS = "10.244.0.0/24"
# The machine as pods see it, and as it sees itself.
HOST = "10.244.0.1"
SERVICES = "10.243.0.0/24"
# The first service address is the API server's. It is an address of the
# bridge, so that pods reach it without a kube-proxy.
API = "10.243.0.1"

API_PORT = 443
DNS_PORT = 53
ETCD_PORT = 21000
ETCD_PEER_PORT = 21001
CONTROLLERS_PORT = 21002
SCHEDULER_PORT = 21003
DNS_READY_PORT = 21004
LWS_PORT = 21005
REGISTRY_PORT = 21010
GCS_PORT = 21011

REGISTRY = f"{HOST}:{REGISTRY_PORT}"
GCS = f"http://{HOST}:{GCS_PORT}"
# What the nodes pull from there as well: Artifact Registry of this location.
LOCATION = "us"
ARTIFACTS = f"{LOCATION}-docker.pkg.dev"
PYTHON_IMAGE = f"{REGISTRY}/python:3.11"
BUSYBOX_IMAGE = f"{REGISTRY}/busybox:1"
PAUSE_IMAGE = f"{REGISTRY}/pause:3"


@dataclass(frozen=True)
class NodeSpec:
  """A node as GKE would label and taint it.

  Attributes:
    port: of its kubelet; the next one tells the kubelet's health.
    capacity: of accelerators, which nobody has here.
    taints: by key; each of them is "present", NoSchedule.
  """

  name: str
  port: int
  labels: dict[str, str]
  capacity: dict[str, str] = field(default_factory=dict)
  taints: tuple[str, ...] = ()


def _hosts(name: str, port: int, pool: str, hosts: int) -> NodeSpec:
  """Machines of a v5e-16 slice, each of four chips, as one node.

  What ends with a node ends with that many machines.
  """
  return NodeSpec(
    name=name,
    port=port,
    labels={
      "cloud.google.com/gke-nodepool": pool,
      "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
      "cloud.google.com/gke-tpu-topology": "4x4",
      "node.kubernetes.io/instance-type": "ct5lp-hightpu-4t",
    },
    capacity={"google.com/tpu": str(4 * hosts)},
    taints=("google.com/tpu",),
  )


NODES = (
  NodeSpec(
    name="cpu",
    port=21020,
    labels={"cloud.google.com/gke-nodepool": "default-pool"},
  ),
  NodeSpec(
    name="tpu",
    port=21030,
    labels={
      "cloud.google.com/gke-nodepool": "tpu-v5e-8",
      "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
      "cloud.google.com/gke-tpu-topology": "2x4",
      "node.kubernetes.io/instance-type": "ct5lp-hightpu-8t",
    },
    capacity={"google.com/tpu": "8"},
    taints=("google.com/tpu",),
  ),
  NodeSpec(
    name="gpu",
    port=21040,
    labels={
      "cloud.google.com/gke-nodepool": "gpu-l4",
      "cloud.google.com/gke-accelerator": "nvidia-l4",
      "cloud.google.com/gke-accelerator-count": "4",
      "node.kubernetes.io/instance-type": "g2-standard-48",
    },
    capacity={"nvidia.com/gpu": "4"},
    taints=("nvidia.com/gpu",),
  ),
  # A slice on two nodes, and a further slice on one.
  _hosts("slice-a1", 21050, "tpu-v5e-16-a", 2),
  _hosts("slice-a2", 21060, "tpu-v5e-16-a", 2),
  _hosts("slice-b", 21070, "tpu-v5e-16-b", 4),
)
