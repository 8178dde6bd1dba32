"""Groups of hosts on the local backend: what every backend promises."""

from collections.abc import Sequence
from pathlib import Path

from absl.testing import absltest

import keras_remote
from tests import group_contract
from tests.integration.harness import JobTestCase, processes


class LocalGroupTest(JobTestCase, group_contract.GroupContract):
  backend = "local"
  seconds = 100.0
  gone = 5.0

  def setUp(self) -> None:
    super().setUp()
    signs = Path(self.create_tempdir("signs").full_path)
    signs.chmod(0o700)
    self.signs = str(signs)
    self.everywhere = {}

  def left(self, job_id: str) -> Sequence[str]:
    return [repr(each) for each in processes(keras_remote.attach(job_id))]


if __name__ == "__main__":
  absltest.main()
