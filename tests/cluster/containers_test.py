"""The processes that tests of faults end are those that they name."""

from absl.testing import absltest

from keras_remote import errors
from tests.cluster import containers
from tests.cluster.calls import CallTest
from tests.cluster.namespace import POD_SECONDS


class ContainersTest(CallTest):
  def setUp(self) -> None:
    super().setUp()
    if not self.cluster.here:
      self.skipTest("its processes are on other machines")

  def test_worker(self) -> None:
    """The worker's end is told by the first process."""
    job = self.submit(self.until_told)
    self.wait_called(job)
    (pod,) = self.pods(job)
    containers.worker(pod).kill()
    with self.assertRaisesRegex(errors.WorkerDiedError, "SIGKILL"):
      job.result(timeout=POD_SECONDS)

  def test_first(self) -> None:
    """With the first process all of the container ends, and nobody tells."""
    job = self.submit(self.until_told)
    self.wait_called(job)
    (pod,) = self.pods(job)
    worker = containers.worker(pod)
    containers.first(pod).kill()
    self.assert_lost(job, "")
    self.assertFalse(worker.is_running())


if __name__ == "__main__":
  absltest.main()
