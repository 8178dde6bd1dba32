"""Jobs that wait on a real cluster: why, and for how long."""

import datetime
from typing import Any

from absl.testing import absltest
from kubernetes import client

from keras_remote.backend.k8s import pods
from tests.cluster.call_case import CallTest
from tests.cluster.namespace import REQUEST_SECONDS

_TRAIN = """
  import keras_remote

  @keras_remote.run({options})
  def train():
    return 7
"""
_CALL = f"""{_TRAIN}
  try:
    print(train())
  except keras_remote.JobTimeoutError as error:
    print(error)
"""
_SUBMIT = f"""{_TRAIN}
  print(train.submit().spec.job_id)
"""
_ATTACH = """
  import keras_remote

  try:
    keras_remote.attach("{job_id}").result(timeout={seconds})
  except (TimeoutError, keras_remote.JobTimeoutError) as error:
    print(type(error).__name__, error)
"""


class WaitingTest(CallTest):
  def jobs(self) -> list[Any]:
    """The Jobs that are in the namespace."""
    batch: Any = client.BatchV1Api(self.api)
    return batch.list_namespaced_job(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items

  def called(self, options: str) -> str:
    """What a call says in the end that waits in vain for 7 s."""
    every = f'pending_timeout="7s", {options}'
    printed, said = self.ran(_CALL.format(options=every))
    self.assertIn("7 s in vain (pending_timeout)", printed)
    waits = [line for line in said.splitlines() if "waiting: " in line]
    self.assertNotEmpty(waits, said)
    self.assertLen(set(waits), len(waits))
    self.assertEqual(self.jobs(), [])
    return printed

  def test_an_image_that_does_not_exist(self) -> None:
    """The call ends, with the cure; nothing of the job is left."""
    image = f"{self.cluster.registry}/no-such-image:1"
    printed = self.called(f'container_image="{image}"')
    self.assertIn(f"its image {image} cannot be pulled", printed)
    self.assertIn("there is none of this name", printed)

  def test_an_image_of_no_name(self) -> None:
    """The same."""
    printed = self.called('container_image="No Such Image"')
    self.assertIn("InvalidImageName", printed)

  def test_a_quota(self) -> None:
    """What it forbids for ever ends the call."""
    body: Any = {
      "metadata": {"name": "team"},
      "spec": {"hard": {"requests.cpu": "100m"}},
    }
    self.core.create_namespaced_resource_quota(
      self.namespace, body, _request_timeout=REQUEST_SECONDS
    )
    printed = self.called("")
    self.assertIn("a ResourceQuota of the namespace forbids its pod", printed)

  def test_a_limit_range(self) -> None:
    """The same, in its own words."""
    limit = {"type": "Container", "max": {"cpu": "100m"}}
    body: Any = {"metadata": {"name": "team"}, "spec": {"limits": [limit]}}
    self.core.create_namespaced_limit_range(
      self.namespace, body, _request_timeout=REQUEST_SECONDS
    )
    printed = self.called('cpu="200m"')
    self.assertIn("a LimitRange of the namespace forbids its pod", printed)

  def submitted(self, options: str) -> str:
    """The id of a job that was sent."""
    printed, _ = self.ran(_SUBMIT.format(options=options))
    return printed.strip()

  def attached(self, job_id: str, seconds: int) -> tuple[str, str]:
    """What waiting for a job ends with, and what is said meanwhile."""
    return self.ran(_ATTACH.format(job_id=job_id, seconds=seconds))

  def tell(self, job_id: str, reason: str, message: str) -> None:
    """An event of the job's pod, as a cluster's autoscaler makes it."""
    pod = self.watched(
      self.core.list_namespaced_pod,
      lambda pod: (pod.metadata.labels or {}).get(pods.JOB_LABEL) == job_id,
    )
    now = datetime.datetime.now(datetime.UTC).isoformat()
    body: Any = {
      "metadata": {"generateName": "scaling-"},
      "involvedObject": {
        "kind": "Pod",
        "name": pod.metadata.name,
        "namespace": self.namespace,
        "uid": pod.metadata.uid,
      },
      "reason": reason,
      "message": message,
      "type": "Normal",
      "lastTimestamp": now,
    }
    self.core.create_namespaced_event(
      self.namespace, body, _request_timeout=REQUEST_SECONDS
    )

  def test_an_accelerator_without_a_pool(self) -> None:
    """The pools that there are are named, where no autoscaler says a word."""
    job_id = self.submitted('accelerator="h100x8", pending_timeout="4s"')
    printed, _ = self.attached(job_id, 30)
    self.assertStartsWith(printed, "JobTimeoutError")
    if self.cluster.here:
      self.assertIn("gpu-l4 (nvidia-l4 4)", printed)
    self.assertEqual(self.jobs(), [])

  def test_a_pool_without_nodes(self) -> None:
    """It is waited for while it grows, and no longer."""
    job_id = self.submitted('accelerator="h100x8", pending_timeout="4s"')
    self.tell(
      job_id, "TriggeredScaleUp", "pod triggered scale-up: [{h100 0->1}]"
    )
    printed, said = self.attached(job_id, 12)
    self.assertStartsWith(printed, "TimeoutError")
    self.assertIn("its pool is scaling up", said)
    self.tell(
      job_id,
      "NotTriggerScaleUp",
      "pod didn't trigger scale-up: 3 node(s) didn't match Pod's node "
      "affinity/selector",
    )
    printed, _ = self.attached(job_id, 30)
    self.assertStartsWith(printed, "JobTimeoutError")
    self.assertIn("no pool grows for it", printed)
    self.assertEqual(self.jobs(), [])

  def test_a_runner_that_is_gone(self) -> None:
    """Who remembers it makes it again, and the call gives its value."""
    printed, _ = self.ran(_CALL.format(options=""))
    self.assertEqual(printed, "7\n")
    for found in self.core.list_namespaced_config_map(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items:
      if found.metadata.name.startswith("keras-remote-runner-"):
        self.core.delete_namespaced_config_map(
          found.metadata.name,
          self.namespace,
          _request_timeout=REQUEST_SECONDS,
        )
    printed, _ = self.ran(_CALL.format(options=""))
    self.assertEqual(printed, "7\n")


if __name__ == "__main__":
  absltest.main()
