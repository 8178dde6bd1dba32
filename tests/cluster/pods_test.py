"""What a job asks of a real cluster, and what it then gets."""

import datetime
import json
import threading
from typing import Any

import pytest
from absl.testing import absltest
from kubernetes import client

from keras_remote import clock
from keras_remote.backend.k8s import pods, secrets
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.sweep import sweep
from tests.cluster.call_case import CallTest
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.environment import environment

_ALLOCATE = """
import keras_remote

@keras_remote.run(memory="256Mi")
def train():
  print("begun", flush=True)
  return len(bytearray(2_000_000_000))

try:
  train()
except keras_remote.KerasRemoteError as error:
  print(type(error).__name__, error)
"""
_LOOK = """
import json, keras_remote

@keras_remote.run
def look():
  import getpass, os, pathlib
  shared = os.statvfs("/dev/shm")
  pathlib.Path("~/written").expanduser().write_text("here")
  return {
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "shared": shared.f_blocks * shared.f_frsize,
    "token": os.path.exists("/var/run/secrets/kubernetes.io"),
  }

print(json.dumps(look()))
"""
_QUEUES: dict[str, Any] = {
  "metadata": {"name": "localqueues.kueue.x-k8s.io"},
  "spec": {
    "group": "kueue.x-k8s.io",
    "scope": "Namespaced",
    "names": {
      "plural": "localqueues",
      "singular": "localqueue",
      "kind": "LocalQueue",
    },
    "versions": [
      {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {
          "openAPIV3Schema": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
          }
        },
      }
    ],
  },
}


class PodsTest(CallTest):
  def jobs(self) -> Any:
    batch: Any = client.BatchV1Api(self.api)
    return batch.list_namespaced_job(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items

  def test_out_of_memory(self) -> None:
    """The call says so, how much it was, and how to get more."""
    printed, _ = self.ran(_ALLOCATE)
    self.assertRegex(printed, "WorkerDiedError|JobLostError")
    self.assertIn("ran out of memory", printed)
    self.assertIn("256 Mi", printed)
    self.assertIn("memory=", printed)

  def test_out_of_memory_that_nobody_saw(self) -> None:
    """Where all of the container died, who comes later hears why."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run(memory="256Mi")
      def train():
        import os, subprocess, sys, time
        hog = "bytearray(2_000_000_000)"
        subprocess.run([sys.executable, "-c", hog])
        os.kill(1, 15)  # As the kernel would, where it kills all at once.
        time.sleep(600)

      print(train.submit().id)
      """
    )
    batch: Any = client.BatchV1Api(self.api)
    self.watched(
      batch.list_namespaced_job,
      lambda job: any(c.type == "Failed" for c in job.status.conditions or ()),
    )
    printed, _ = self.ran(
      """
      import keras_remote

      try:
        keras_remote.attach().result()
      except keras_remote.JobLostError as error:
        print(error)
      """
    )
    self.assertIn("no further one is allowed", printed)
    self.assertIn("ran out of memory: it took more than its 256Mi", printed)
    self.assertIn("memory=", printed)

  def test_what_is_asked_for(self) -> None:
    """The pod has it: memory that is its own, half of it shared, an account."""
    self.core.create_namespaced_service_account(
      self.namespace,
      {"metadata": {"name": "trainer"}},
      _request_timeout=REQUEST_SECONDS,
    )
    printed, _ = self.ran(
      _LOOK,
      KERAS_REMOTE_CPU="0.25",
      KERAS_REMOTE_MEMORY="512Mi",
      KERAS_REMOTE_SERVICE_ACCOUNT="trainer",
    )
    seen = json.loads(printed)
    self.assertEqual(seen["shared"], 256 * 2**20)
    self.assertFalse(seen["token"])
    (pod,) = self.core.list_namespaced_pod(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    self.assertEqual(pod.spec.service_account_name, "trainer")
    resources = pod.spec.containers[0].resources
    self.assertEqual(resources.requests, {"cpu": "250m", "memory": "512Mi"})
    self.assertEqual(resources.limits, {"memory": "512Mi"})

  def test_a_pod_that_was_preempted_while_nobody_saw(self) -> None:
    """What is more urgent took its place, and who comes later hears it."""
    if not self.cluster.here:
      self.skipTest("another cluster may lack the accelerators")
    scheduling: Any = client.SchedulingV1Api(self.api)
    for name, value in (("low", -10), ("high", 1000)):
      body = {"metadata": {"name": f"{self.namespace}-{name}"}, "value": value}
      scheduling.create_priority_class(body, _request_timeout=REQUEST_SECONDS)
      self.addCleanup(
        scheduling.delete_priority_class,
        f"{self.namespace}-{name}",
        _request_timeout=REQUEST_SECONDS,
      )
    self.ran(
      f"""
      import keras_remote

      @keras_remote.run(
        accelerator="l4x4", priority_class="{self.namespace}-low"
      )
      def train():
        import time
        print("begun", flush=True)
        time.sleep(600)

      job = train.submit()
      for text in job.logs(follow=True):
        break
      """
    )
    self.create_pod(
      "true",
      resources={"nvidia.com/gpu": "4"},
      tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
      priorityClassName=f"{self.namespace}-high",
    )
    batch: Any = client.BatchV1Api(self.api)
    self.watched(
      batch.list_namespaced_job,
      lambda job: any(c.type == "Failed" for c in job.status.conditions or ()),
    )
    printed, _ = self.ran(
      """
      import keras_remote

      try:
        keras_remote.attach().result()
      except keras_remote.JobLostError as error:
        print(error)
      """
    )
    self.assertIn("Preempted by", printed)
    self.assertIn("priority_class=", printed)

  def test_an_account_that_is_not_there(self) -> None:
    """It is told before anything is sent."""
    _, said = self.ran(_LOOK, expected=1, KERAS_REMOTE_SERVICE_ACCOUNT="nobody")
    self.assertIn("create serviceaccount nobody", said)
    self.assertEqual(self.jobs(), [])

  @pytest.mark.timeout(300)
  def test_a_namespace_where_nobody_may_be_root(self) -> None:
    """A call runs there as in others; as another user, in the same image."""
    self.assertEqual(json.loads(self.ran(_LOOK)[0])["uid"], 0)
    name = "pod-security.kubernetes.io/enforce"
    self.core.patch_namespace(
      self.namespace,
      {"metadata": {"labels": {name: "restricted"}}},
      _request_timeout=REQUEST_SECONDS,
    )
    self.environ["KERAS_REMOTE_HOME"] = str(self.folder / "elsewhere")
    seen = json.loads(self.ran(_LOOK)[0])
    self.assertEqual((seen["uid"], seen["user"]), (1000, "keras-remote"))
    # As does one that installs what it needs, where it may write.
    del self.environ["KERAS_REMOTE_CONTAINER_IMAGE"]
    printed, _ = self.ran(
      _LOOK.replace("keras_remote.run", "keras_remote.run(dependencies=[])"),
      KERAS_REMOTE_IMAGE="install",
      KERAS_REMOTE_BASE_IMAGE=self.cluster.python_image,
      KERAS_BACKEND="numpy",
    )
    self.assertIn("installing", printed)
    self.assertEqual(json.loads(printed.splitlines()[-1])["uid"], 1000)

  def test_a_queue(self) -> None:
    """Its Job waits until it is let go; a queue that is not there is told."""
    extensions: Any = client.ApiextensionsV1Api(self.api)
    script = """
      import keras_remote

      @keras_remote.run(queue="gpus")
      def train():
        return 7

      try:
        job = train.submit()
      except keras_remote.ConfigError as error:
        print(error)
      else:
        print(job.status(), job.why())
      """
    self.assertIn("has no Kueue", self.ran(script)[0])
    extensions.create_custom_resource_definition(
      _QUEUES, _request_timeout=REQUEST_SECONDS
    )
    self.addCleanup(
      extensions.delete_custom_resource_definition,
      _QUEUES["metadata"]["name"],
      _request_timeout=REQUEST_SECONDS,
    )
    custom: Any = client.CustomObjectsApi(self.api)
    place = ("kueue.x-k8s.io", "v1beta1", self.namespace, "localqueues")
    queue = {
      "apiVersion": "kueue.x-k8s.io/v1beta1",
      "kind": "LocalQueue",
      "metadata": {"name": "gpus"},
    }
    self.create_when_served(custom, place, queue)
    self.assertRegex(self.ran(script)[0], "^QUEUED .*until queue 'gpus' admits")
    (job,) = self.jobs()
    self.assertEqual(job.metadata.labels["kueue.x-k8s.io/queue-name"], "gpus")
    batch: Any = client.BatchV1Api(self.api)
    batch.patch_namespaced_job(
      job.metadata.name,
      self.namespace,
      {"spec": {"suspend": False}},
      _request_timeout=REQUEST_SECONDS,
    )
    printed, _ = self.ran(
      "import keras_remote; print(keras_remote.attach().result())"
    )
    self.assertEqual(printed, "7\n")

  def test_what_dead_submitters_left(self) -> None:
    """A Secret without a Job goes; that of a Job is given to it."""
    self.ran(_LOOK)
    (job,) = self.jobs()
    name = job.metadata.name
    nobody: Any = {"metadata": {"ownerReferences": None}}
    self.core.patch_namespaced_secret(
      name, self.namespace, nobody, _request_timeout=REQUEST_SECONDS
    )
    labels = {**pods.MANAGED, pods.JOB_LABEL: "left"}
    self.core.create_namespaced_secret(
      self.namespace,
      secrets.job_secret("left", labels, b"key", {}),
      _request_timeout=REQUEST_SECONDS,
    )
    later = job.metadata.creation_timestamp + datetime.timedelta(hours=2)
    with environment(**self.cluster.environ):
      cluster = open_cluster(self.cluster.context, self.namespace)
      sweep(cluster, {"metadata": {"creationTimestamp": later.isoformat()}})
    found = self.core.list_namespaced_secret(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    names = [secret.metadata.name for secret in found]
    self.assertCountEqual(names, [name, secrets.KEY_SECRET])
    (owned,) = (each for each in found if each.metadata.name == name)
    (owner,) = owned.metadata.owner_references
    self.assertEqual((owner.kind, owner.uid), ("Job", job.metadata.uid))

  def create_when_served(self, custom: Any, place: Any, body: Any) -> None:
    """Creates the object, once the API server knows its kind."""
    deadline = clock.monotonic() + REQUEST_SECONDS
    while True:
      try:
        custom.create_namespaced_custom_object(
          *place, body, _request_timeout=REQUEST_SECONDS
        )
        return
      except client.ApiException as error:
        if error.status != 404 or clock.monotonic() > deadline:
          raise
      threading.Event().wait(0.1)


if __name__ == "__main__":
  absltest.main()
