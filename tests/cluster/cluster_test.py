"""The cluster is one that a job can run on, as it would on GKE."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from absl.testing import absltest
from kubernetes import client

from tests.cluster import images, layout, process
from tests.cluster.namespace import REQUEST_SECONDS, NamespaceTest

_TPU = {
  "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
  "cloud.google.com/gke-tpu-topology": "2x4",
}
_GPU = {
  "cloud.google.com/gke-accelerator": "nvidia-l4",
  "cloud.google.com/gke-accelerator-count": "4",
}
# Writes an object, and prints what it reads back.
_OBJECT = """
import os, sys, urllib.parse, urllib.request
server, bucket = os.environ["STORAGE_EMULATOR_HOST"], sys.argv[1]
request = urllib.request.Request(
  f"{server}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=a/b",
  data=b"from the pod", method="POST")
urllib.request.urlopen(request, timeout=10).close()
name = urllib.parse.quote("a/b", safe="")
url = f"{server}/storage/v1/b/{bucket}/o/{name}?alt=media"
print(urllib.request.urlopen(url, timeout=10).read().decode())
"""
_VERSION = """
import ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
request = urllib.request.Request(
  "https://kubernetes.default/version",
  headers={"Authorization": "Bearer " + open(f"{account}/token").read()})
context = ssl.create_default_context(cafile=f"{account}/ca.crt")
print(urllib.request.urlopen(request, context=context, timeout=10).status)
"""


def _tolerated(key: str) -> list[dict[str, str]]:
  return [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]


class AnyClusterTest(NamespaceTest):
  """What holds for every cluster that the tests can run on."""

  def test_job(self) -> None:
    """A Job completes, and its pod's log can be read."""
    batch: Any = client.BatchV1Api(self.api)
    container = {
      "name": "main",
      "image": self.cluster.busybox_image,
      "command": ["echo", "done"],
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    batch.create_namespaced_job(
      self.namespace,
      {"metadata": {"name": "job"}, "spec": {"template": template}},
      _request_timeout=REQUEST_SECONDS,
    )
    self.watched(
      batch.list_namespaced_job, lambda job: job.status.succeeded == 1
    )
    (pod,) = self.core.list_namespaced_pod(
      self.namespace,
      label_selector="batch.kubernetes.io/job-name=job",
      _request_timeout=REQUEST_SECONDS,
    ).items
    self.assertEqual(self.output(pod.metadata.name), "done\n")

  def test_exec(self) -> None:
    """A command runs in a pod that runs."""
    pod = self.create_pod("sleep", "600")
    self.wait_pod(pod, "Running")
    self.assertEqual(self.execute(pod, "hostname"), f"{pod}\n")

  def test_headless_service(self) -> None:
    """A pod's name in a headless service resolves to the pod's address."""
    self.core.create_namespaced_service(
      self.namespace,
      {
        "metadata": {"name": "group"},
        "spec": {"clusterIP": "None", "selector": {"app": "group"}},
      },
      _request_timeout=REQUEST_SECONDS,
    )
    leader = self.create_pod(
      *("sleep", "600"),
      name="leader",
      labels={"app": "group"},
      hostname="leader",
      subdomain="group",
    )
    self.wait_pod(leader, "Running")
    # Until the endpoints are there the name does not resolve.
    name = f"leader.group.{self.namespace}.svc.cluster.local"
    asked = self.create_pod(
      *("sh", "-c", f"until nslookup {name}; do sleep 0.2; done"),
      name="asks",
    )
    address = self.wait_pod(leader, "Running").status.pod_ip
    self.assertIn(f"Address: {address}\n", self.output(asked))

  def test_service_account(self) -> None:
    """A pod talks to the API server as its service account."""
    pod = self.create_pod(
      *("python", "-c", _VERSION), image=self.cluster.python_image
    )
    self.assertEqual(self.output(pod), "200\n")

  def test_pip(self) -> None:
    """pip reaches the package index from within a pod."""
    pod = self.create_pod(
      *("pip", "install", "--quiet", "six"), image=self.cluster.python_image
    )
    self.output(pod)

  def test_no_such_pool(self) -> None:
    """A pod that no node fits stays pending, and the scheduler says why."""
    pod = self.create_pod(
      "true", nodeSelector=_TPU | {"cloud.google.com/gke-tpu-topology": "9x9"}
    )
    event = self.watched(
      self.core.list_namespaced_event,
      lambda event: event.reason == "FailedScheduling",
    )
    self.assertIn("didn't match Pod's node affinity/selector", event.message)
    self.assertEqual(self.wait_pod(pod, "Pending").status.phase, "Pending")


class ClusterHereTest(NamespaceTest):
  """What holds for this machine's."""

  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("another cluster is named")

  def test_nodes(self) -> None:
    """The nodes are Ready, with the documented labels, taints, capacity."""
    nodes = {
      node.metadata.name: node
      for node in self.core.list_node(_request_timeout=REQUEST_SECONDS).items
    }
    self.assertSameElements(nodes, [spec.name for spec in layout.NODES])
    for spec in layout.NODES:
      node = nodes[spec.name]
      (ready,) = (c for c in node.status.conditions if c.type == "Ready")
      self.assertEqual(ready.status, "True")
      self.assertContainsSubset(
        spec.labels.items(), node.metadata.labels.items()
      )
      self.assertContainsSubset(
        spec.capacity.items(), node.status.allocatable.items()
      )
      taints = [(t.key, t.effect) for t in node.spec.taints or ()]
      self.assertEqual(taints, [(key, "NoSchedule") for key in spec.taints])

  def test_cpu(self) -> None:
    """A pod that asks for no accelerator goes where there is none."""
    pod = self.create_pod("true")
    self.assertEqual(self._node(pod), "cpu")

  def test_tpu(self) -> None:
    """Who asks for eight TPU chips gets them, and the next one waits."""
    pod = self._create_tpu_pod("first")
    self.assertEqual(self._node(pod), "tpu")
    self._create_tpu_pod("second")
    event = self.watched(
      self.core.list_namespaced_event,
      lambda event: event.reason == "FailedScheduling",
    )
    self.assertIn("Insufficient google.com/tpu", event.message)

  def test_gpu(self) -> None:
    """Pods that ask for GPUs share a node that has as many."""
    for name in ("first", "second"):
      self.create_pod(
        *("sleep", "600"),
        name=name,
        resources={"nvidia.com/gpu": "2"},
        nodeSelector=_GPU,
        tolerations=_tolerated("nvidia.com/gpu"),
      )
      self.assertEqual(self._node(name), "gpu")

  def test_gcs(self) -> None:
    """A pod writes to the bucket and reads from it."""
    pod = self.create_pod(
      *("python", "-c", _OBJECT, self.cluster.bucket.removeprefix("gs://")),
      image=self.cluster.python_image,
      environ={"STORAGE_EMULATOR_HOST": str(self.cluster.gcs)},
    )
    self.assertEqual(self.output(pod), "from the pod\n")

  def test_push(self) -> None:
    """An image that is pushed here runs in a pod."""
    folder = Path(self.create_tempdir().full_path)
    root = folder / "root"
    (root / "bin").mkdir(parents=True)
    program = Path(process.run("sh", "-c", "command -v busybox").strip())
    (root / "bin" / "busybox").write_bytes(program.read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    (root / "greeting").write_text("pushed")
    images.tar(root, folder / "layer")
    image = images.Image(folder / "layer", ())
    pushed = images.push(image, f"{self.cluster.registry}/greeting:1")
    pod = self.create_pod("busybox", "cat", "/greeting", image=pushed)
    self.assertEqual(self.output(pod), "pushed")

  def test_able(self) -> None:
    """A machine that can have no cluster says what it lacks."""
    ran = subprocess.run(
      (sys.executable, "-m", "tests.cluster", "able"),
      env={"PATH": ""},
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(ran.returncode, 1)
    self.assertIn("it needs apt-get, go, ip, unshare", ran.stderr)

  def test_build(self) -> None:
    """A Dockerfile on the Python image is built, pip and all, and runs."""
    folder = Path(self.create_tempdir().full_path)
    (folder / "Dockerfile").write_text(
      f"FROM {self.cluster.python_image}\nRUN pip install --quiet six\n"
    )
    image = f"{self.cluster.registry}/built:1"
    images.build(folder, image)
    pod = self.create_pod("python", "-c", "import six", image=image)
    self.output(pod)

  def _create_tpu_pod(self, name: str) -> str:
    return self.create_pod(
      *("sleep", "600"),
      name=name,
      resources={"google.com/tpu": "8"},
      nodeSelector=_TPU,
      tolerations=_tolerated("google.com/tpu"),
    )

  def _node(self, pod: str) -> str:
    """Where the pod has started."""
    return self.wait_pod(pod, "Running", "Succeeded").spec.node_name


if __name__ == "__main__":
  absltest.main()
