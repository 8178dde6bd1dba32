"""What a node's containerd, its network and its kubelet are told.

The paths in it are those that they have within the node.
"""

from tests.cluster import cgroups, pki
from tests.cluster.layout import (
  ARTIFACTS,
  BRIDGE,
  HOST,
  MTU,
  PAUSE_IMAGE,
  PODS,
  REGISTRY,
  STATE,
  NodeSpec,
)

SOCKET = "/run/containerd/containerd.sock"
CONTAINERD = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Not everywhere may root lower it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."{REGISTRY}"]
    endpoint = ["http://{REGISTRY}"]
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."{ARTIFACTS}"]
    endpoint = ["http://{REGISTRY}"]
"""
CNI = {
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": BRIDGE,
      "isGateway": True,
      "mtu": MTU,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        # All nodes are on one bridge and take addresses from one range.
        "dataDir": str(STATE / "addresses"),
      },
    }
  ],
}


def kubelet(spec: NodeSpec) -> dict[str, object]:
  """The kubelet's configuration."""
  return {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "address": HOST,
    "port": spec.port,
    "healthzBindAddress": "127.0.0.1",
    "healthzPort": spec.port + 1,
    "readOnlyPort": 0,
    "authentication": {"x509": {"clientCAFile": str(pki.CA)}},
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{cgroups.name(spec.name)}",
    "failCgroupV1": False,
    "failSwapOn": False,
    "clusterDNS": [HOST],
    "clusterDomain": "cluster.local",
    "resolvConf": "/run/resolv.conf",
    "makeIPTablesUtilChains": False,
    "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    "registerWithTaints": [
      {"key": key, "value": "present", "effect": "NoSchedule"}
      for key in spec.taints
    ],
    # A machine whose disk is nearly full still runs tests.
    "evictionHard": {
      "memory.available": "100Mi",
      "nodefs.available": "1%",
      "imagefs.available": "1%",
    },
    "imageGCHighThresholdPercent": 100,
    "serializeImagePulls": False,
  }
