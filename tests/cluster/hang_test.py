"""Groups on a cluster that hang: the status names who holds up the others."""

from typing import Any

import pytest
from absl.testing import parameterized
from absl.testing.absltest import main

from tests.cluster.calls import CallTest, wait_until
from tests.cluster.job_image import job_image
from tests.fakes.environment import environment
from tests.hang_contract import HangCase, hanging, sleeps

# Two cores pull an image of 600 MB onto a node, and start each host.
_SECONDS = 400


@pytest.mark.timeout(_SECONDS + 200)
class HangTest(HangCase, CallTest):
  def setUp(self) -> None:
    super().setUp()
    image = job_image("jax", "keras")
    self.enter_context(environment(KERAS_REMOTE_CONTAINER_IMAGE=image))

  @parameterized.parameters("gke", "pathways")
  def test_a_host_that_sleeps_before_a_collective(self, backend: str) -> None:
    """It is named with its place within 30 s; its stacks are in its log."""
    options: dict[str, Any] = {"accelerator": "cpu", "hosts": 2}
    job = self.submit(hanging(sleeps()), backend=backend, **options)
    self.addCleanup(job.cancel)
    wait_until(
      lambda: self.calls(job) == 2, "not all hosts are called", _SECONDS
    )
    for host in (0, 1):
      self.assert_logged(job, "all are here", host)
    self.assert_sleeper_named(job)


if __name__ == "__main__":
  main()
