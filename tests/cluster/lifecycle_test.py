"""The cluster comes up, is mended and goes, and leaves the machine as it was.

Not to be run beside other tests of the cluster: these end parts of it.
"""

import os
import signal
import time
from pathlib import Path

import psutil
from absl.testing import absltest, parameterized

from tests.cluster import api, cluster, harness, layout
from tests.cluster.namespace import REQUEST_SECONDS, NamespaceTest
from tests.cluster.process import run


def _pids() -> dict[str, int | None]:
  return {each.name: each.pid for each in cluster.parts().processes}


def _machine() -> dict[str, object]:
  """What the cluster could leave changed."""
  settings = ("net/ipv4/ip_forward", "kernel/panic", "vm/overcommit_memory")
  rules = run("iptables-save").splitlines()
  return {
    "cgroups": list(Path("/sys/fs/cgroup").glob("**/keras_remote")),
    "folders": sorted(
      path
      for parent in ("/etc", "/opt", "/run", "/var/lib", "/var/log")
      for path in Path(parent).iterdir()
    ),
    "hosts": Path("/etc/hosts").read_text(),
    "interfaces": sorted(psutil.net_if_addrs()),
    "mounts": sorted(Path("/proc/mounts").read_text().splitlines()),
    "rules": [rule for rule in rules if rule.startswith("-A")],
    "settings": [Path("/proc/sys", each).read_text() for each in settings],
  }


class LifecycleTest(NamespaceTest, parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("another cluster is named")
    self.addCleanup(cluster.up)

  def test_up_again(self) -> None:
    """What runs is left alone."""
    before = _pids()
    cluster.up()
    self.assertEqual(_pids(), before)

  @parameterized.parameters(
    "containerd-tpu", "etcd", "kube-apiserver", "kubelet-tpu", "lws", "registry"
  )
  def test_killed(self, name: str) -> None:
    """Of what was killed the next up starts that alone; pods run on."""
    pod = self.create_pod(
      *("sleep", "600"),
      nodeSelector={"cloud.google.com/gke-nodepool": "tpu-v5e-8"},
      tolerations=[{"operator": "Exists"}],
    )
    started = self.wait_pod(pod, "Running").status.container_statuses
    before = _pids()
    pid = before.pop(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    cluster.up()
    after = _pids()
    self.assertNotIn(after.pop(name), (pid, None))
    self.assertEqual(after, before)
    (status,) = self.wait_pod(pod, "Running").status.container_statuses
    self.assertEqual(status.container_id, started[0].container_id)
    self.assertEqual(self.execute(pod, "hostname"), f"{pod}\n")
    node = self.core.read_node("tpu", _request_timeout=REQUEST_SECONDS)
    self.assertEqual(node.status.allocatable["google.com/tpu"], "8")

  def test_node_killed(self) -> None:
    """All that ran on a node ends with it, and the next up gives a new one."""
    pod = self.create_pod("sleep", "600", nodeName="cpu")
    self.wait_pod(pod, "Running")
    cluster.part("node-cpu").kill()
    cluster.up()
    other = self.create_pod("true", nodeName="cpu", name="other")
    self.output(other)

  def test_reused_pid(self) -> None:
    """Another process that has got a recorded id is none of the cluster's."""
    process = cluster.part("registry")
    record = layout.RECORDS / "registry.json"
    before = record.read_text()
    self.addCleanup(record.write_text, before)
    record.write_text(before.replace(str(process.pid), str(os.getpid()), 1))
    self.assertIsNone(process.pid)

  def test_listening(self) -> None:
    """Nothing of it can be reached from outside this machine."""
    own = {layout.HOST, layout.API, "127.0.0.1"}
    for pid in _pids().values():
      process = psutil.Process(pid)
      for each in (process, *process.children(recursive=True)):
        heard = {
          connection.laddr.ip
          for connection in each.net_connections()
          if connection.status == psutil.CONN_LISTEN
        }
        self.assertContainsSubset(heard, own, each.cmdline())


class DownTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    if not harness.cluster().here:
      self.skipTest("another cluster is named")
    self.addCleanup(cluster.up)

  def test_down(self) -> None:
    """Down leaves the machine as up found it, whatever ran in between."""
    cluster.down()
    before = _machine()
    cluster.up()
    self._run_pod()
    self.assertNotEqual(_machine(), before)
    cluster.down()
    self.assertEqual(_machine(), before)
    cluster.down()
    self.assertEqual(_machine(), before)

  def _run_pod(self) -> None:
    container = {"image": layout.BUSYBOX_IMAGE, "command": ["sleep", "600"]}
    pods = "/api/v1/namespaces/default/pods"
    pod = {
      "metadata": {"name": "pod"},
      "spec": {"containers": [{"name": "main", **container}]},
    }
    api.request("POST", pods, pod)
    while api.request("GET", f"{pods}/pod")["status"]["phase"] != "Running":
      time.sleep(0.1)


if __name__ == "__main__":
  absltest.main()
