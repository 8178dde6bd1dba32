"""Parts of the cluster end and come back while a job runs.

Not to be run beside other tests of the cluster: these end parts of it. The
rows that they show are in faults_test.py, exactly_once_test.py and
gangs_test.py.
"""

import functools
import time
from typing import Any

import pytest
from absl.testing import absltest
from kubernetes.client import ApiException

from keras_remote import errors
from keras_remote.core.handle import JobHandle
from keras_remote.job.state import State
from tests.cluster import cluster, containers
from tests.cluster.calls import CallTest, wait_until
from tests.cluster.gang import GangTest
from tests.cluster.sets import SetTest

# Seconds in which a job ends while a part of the cluster is away.
_WHILE = 2.0
# How a first process ends whose node does.
_HOW = "node gpu died or began anew .*; call again|no further one"


class RestartsTest(CallTest):
  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("another cluster is named")
    self.addCleanup(cluster.up)

  def assert_survives(self, name: str) -> None:
    """One job ends while the part is away, one later: each is called once."""
    early, late = self.submit(_nap), self.submit(self.until_told)
    self.wait_called(early)
    self.wait_called(late)
    cluster.part(name).kill()
    wait_until(self.directory(early).outcome, "it does not end")
    time.sleep(_WHILE)
    cluster.up()
    self.tell()
    self.assert_succeeds(early, "rested")
    self.assert_succeeds(late, "told")
    for job in (early, late):
      (pod,) = self.pods(job)
      ended = wait_until(
        functools.partial(self.ended, job), "its pod does not end"
      )
      self.assertEqual((ended.restart_count, pod.status.reason), (0, None))

  def test_the_job_controller(self) -> None:
    """What it has missed makes no further pod."""
    self.assert_survives("kube-controller-manager")

  def test_a_kubelet(self) -> None:
    """It finds the pods again, also one that has ended."""
    self.assert_survives("kubelet-cpu")

  def test_the_api_server(self) -> None:
    """Itself, with all of its connections."""
    self.assert_survives("kube-apiserver")

  def test_a_node_that_dies(self) -> None:
    """Nobody calls it lost before it is known to be; then it is, by all.

    What it had printed 5 s before is kept.
    """
    job = self.submit(self.until_told, accelerator="l4x4")
    self.wait_running(job)
    directory = self.directory(job)
    wait_until(lambda: list(directory.log(1, 0)), "its log is not stored")
    cluster.part("node-gpu").kill()
    # A machine that is silent may only have lost its network.
    self.assertEqual(job.status(), State.RUNNING)
    cluster.up()
    self.assert_lost(job, _HOW)
    self.assertEqual("".join(job.logs()), "waits\n")

  def ended(self, job: JobHandle[Any]) -> Any:
    (pod,) = self.pods(job)
    (status,) = pod.status.container_statuses
    return status if status.state.terminated else None


class SetsControllerTest(SetTest):
  def setUp(self) -> None:
    super().setUp()
    self.addCleanup(cluster.up)

  def test_a_restart(self) -> None:
    """Of what has happened meanwhile it sees the restart of a container, and
    not that a pod was deleted: that one alone is made anew."""
    names = ("restarted", "deleted", "released")
    for name in names:
      self.create_set(name, 2)
    restarted, deleted, _ = (self.wait_group(name, 2) for name in names)
    cluster.part("lws").kill()
    with self.assertRaisesRegex(ApiException, "failed calling webhook"):
      self.create_set("new", 2)
    containers.first(restarted[1]).kill()
    self.delete_pod(deleted[1])
    self.delete_set("released")
    self.wait_gone("released")
    wait_until(lambda: len(self.hosts("deleted")) == 1, "it is not deleted")
    cluster.up()
    self.wait_group("restarted", 2, but=restarted)
    leader, _ = self.wait_group("deleted", 2, but=deleted[1:])
    self.assertEqual(leader.metadata.uid, deleted[0].metadata.uid)


@pytest.mark.timeout(900)
class GangRestartsTest(GangTest):
  def setUp(self) -> None:
    super().setUp()
    self.addCleanup(cluster.up)

  def test_the_controller_of_sets(self) -> None:
    """While it is away a group ends that is told to, and one that breaks.

    Its machines are free then; its objects go when the controller is back. One
    that is submitted meanwhile is refused, and nothing of it is left.
    """
    breaks, ends = self.begin(), self.begin()
    cluster.part("lws").kill()
    with self.assertRaisesRegex(errors.SubmitError, "The controller of Leader"):
      self.send()
    containers.first(self.pod(breaks, 1)).kill()
    broken = self.stored(breaks)
    self.assertEqual(broken.state, State.LOST)
    self.assertIn("host 1's first process is gone", broken.message)
    self.tell()
    self.assertEqual(self.stored(ends).state, State.SUCCEEDED)
    # No pod that ran can lose its finalizer: a webhook of the controller's is
    # asked about every change of it.
    wait_until(lambda: not self.running(breaks, ends), "pods run", self.seconds)
    cluster.up()
    for job in (breaks, ends):
      self.assert_over(job, attempts=1)
    self.assert_gone()

  def running(self, *jobs: JobHandle[None]) -> bool:
    """Whether they hold a machine."""
    found = [pod.status.phase for job in jobs for pod in self.pods(job)]
    return not {*found} <= {"Succeeded", "Failed"}


@pytest.mark.timeout(900)
class SliceRestartsTest(GangTest):
  accelerator = "v5e-16"
  hosts = 4

  def test_a_node_of_a_group(self) -> None:
    """With its machine a host is gone: so is the job, and that is told."""
    self.addCleanup(cluster.up)
    job = self.begin()
    node = self.pod(job, 3).spec.node_name
    cluster.part(f"node-{node}").kill()
    cluster.up()
    outcome = self.stored(job)
    self.assertEqual(outcome.state, State.LOST)
    self.assertRegex(outcome.message, r"host \d('s first process is gone| was)")
    self.assert_over(job, attempts=1)


def _nap() -> str:
  import time

  time.sleep(3)
  return "rested"


if __name__ == "__main__":
  absltest.main()
