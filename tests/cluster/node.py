"""Nodes: each a containerd and a kubelet that take themselves for alone.

A node is a space of its own for mounts and process ids, in which the folders
that both write to are the node's. So they keep their usual paths, leave
nothing on the machine, and are gone, containers and all, with the node's
first process.
"""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import api, cgroups, first, node_config
from tests.cluster.layout import (
  HOST,
  KUBECONFIG,
  STATE,
  NodeSpec,
)
from tests.cluster.process import ClusterError, Process, run

_LOOK = 0.05
_READY_SECONDS = 60.0
# Folders of the machine in whose place a node has its own.
_OWN = ("run", "var/lib", "var/log")
# The kubelet sets these on the whole machine, which then restarts on an oops.
# In a node it finds them as it wants, and lets them be.
_KERNEL = {
  "kernel/keys/root_maxbytes": "25000000",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
}
# A kubelet that finds no such file sets the accelerators that it does not
# know to 0 when it starts; it need not be able to read it.
_DEVICES = "var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"


@dataclass(frozen=True)
class Node:
  """A node that runs, or could.

  Attributes:
    hyperkube: the program that is also a kubelet.
  """

  spec: NodeSpec
  hyperkube: Path

  @property
  def first(self) -> Process:
    """The process that all of the node lives and ends with."""
    mounts = {self._folder / own: Path("/", own) for own in _OWN} | {
      self._folder / "kernel" / name.replace("/", "."): Path("/proc/sys", name)
      for name in _KERNEL
    }
    last = list(mounts.values())[-1]
    pairs = (path for pair in mounts.items() for path in pair)
    return Process(
      name=f"node-{self.spec.name}",
      command=(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *("--mount-proc", sys.executable, "-I", "-S", first.__file__, *pairs),
      ),
      ready=lambda: f" {last} " in self._mounts(),
    )

  @property
  def containerd(self) -> Process:
    return Process(
      name=f"containerd-{self.spec.name}",
      command=self._within("containerd", "--config", "/run/containerd.toml"),
      ready=self._has_containerd,
      files={
        self._folder / "run/containerd.toml": node_config.CONTAINERD,
        self._folder / "run/cni/pods.conflist": json.dumps(node_config.CNI),
      },
    )

  @property
  def kubelet(self) -> Process:
    labels = ",".join(f"{n}={v}" for n, v in self.spec.labels.items())
    health = f"http://127.0.0.1:{self.spec.port + 1}/healthz"
    resolv_conf = Path("/etc/resolv.conf").read_text()
    return Process(
      name=f"kubelet-{self.spec.name}",
      command=self._within(
        *(self.hyperkube, "kubelet"),
        "--config=/run/kubelet.json",
        f"--kubeconfig={KUBECONFIG}",
        f"--hostname-override={self.spec.name}",
        f"--node-ip={HOST}",
        f"--node-labels={labels}",
      ),
      ready=lambda: api.answers(health),
      # Its registry helper must not look for a cloud.
      environ={"AWS_EC2_METADATA_DISABLED": "true"},
      files={
        self._folder / "run/kubelet.json": json.dumps(
          node_config.kubelet(self.spec)
        ),
        self._folder / "run/resolv.conf": resolv_conf,
        self._folder / _DEVICES: "",
      },
    )

  @property
  def processes(self) -> tuple[Process, ...]:
    return (self.first, self.containerd, self.kubelet)

  def start(self) -> None:
    """Starts its containerd; after a death of the node, in a new one."""
    if self.first.pid is None:
      shutil.rmtree(self._folder, ignore_errors=True)
      for own in _OWN:
        (self._folder / own).mkdir(parents=True)
      for name, value in _KERNEL.items():
        path = self._folder / "kernel" / name.replace("/", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
      cgroups.create(self.spec.name)
      self.first.start()
    self.first.wait()
    self.containerd.start()

  def join(self) -> None:
    """Starts its kubelet, once there is an API server to talk to."""
    self.containerd.wait()
    self.kubelet.start()

  def wait(self) -> None:
    """Returns once the node is Ready and has its accelerators."""
    self.kubelet.wait()
    path = f"/api/v1/nodes/{self.spec.name}"
    deadline = time.monotonic() + _READY_SECONDS
    while not (_is_ready(api.request("GET", path)) and self._knows_its_pods()):
      if time.monotonic() > deadline:
        raise ClusterError(f"the node {self.spec.name} does not get Ready")
      time.sleep(_LOOK)
    status = {"status": {"capacity": self.spec.capacity}}
    patch = "application/merge-patch+json"
    api.request("PATCH", f"{path}/status", status, patch)

  @property
  def _folder(self) -> Path:
    return STATE / "nodes" / self.spec.name

  def _within(self, *command: str | Path) -> tuple[str | Path, ...]:
    """The command line that runs a command in the node.

    What runs there is a child of what runs here, and ends with it.
    """
    pid = self.first.pid
    return (
      *("nsenter", f"--mount=/proc/{pid}/ns/mnt"),
      *(f"--pid=/proc/{pid}/ns/pid_for_children", "--"),
      *("setpriv", "--pdeathsig", "KILL", *command),
    )

  def _knows_its_pods(self) -> bool:
    """Whether the kubelet has heard of the pods that are on its node.

    One that has just started is healthy before, and refuses to exec in them.
    """
    selector = "status.phase!=Succeeded,status.phase!=Failed"
    query = f"fieldSelector=spec.nodeName={self.spec.name},{selector}"
    expected = api.request("GET", f"/api/v1/pods?{query}")
    known = api.request("GET", "/pods", kubelet=f"{HOST}:{self.spec.port}")
    return _uids(expected) <= _uids(known)

  def _mounts(self) -> str:
    return Path(f"/proc/{self.first.pid}/mounts").read_text()

  def _has_containerd(self) -> bool:
    try:
      run(*self._within("ctr", "--address", node_config.SOCKET, "version"))
    except ClusterError:
      return False
    return True


def _uids(pods: dict[str, Any]) -> set[str]:
  """Of a list of pods, which is null where there are none."""
  return {pod["metadata"]["uid"] for pod in pods["items"] or ()}


def _is_ready(node: dict[str, Any] | None) -> bool:
  """Whether an answer of the API server is of a node that is Ready."""
  conditions = node["status"].get("conditions", ()) if node else ()
  return any(
    each["type"] == "Ready" and each["status"] == "True" for each in conditions
  )
