"""What a user's own first line waits for."""

import subprocess
import sys

from absl.testing import absltest

_CODE = """
import sys
import keras_remote

@keras_remote.run(accelerator="v5e-8")
def train():
  pass

heavy = {"absl", "click", "cloudpickle", "google", "jax", "keras", "kubernetes",
         "numpy", "psutil", "rich"}
print(sorted(heavy & set(sys.modules)))
"""

_COMMAND = """
import sys
import keras_remote.cli.main
from keras_remote.cli.config import InfraConfig, NodePool

InfraConfig("my-project", "us-central1-a", pools=(NodePool("l4"),)).check_zone()
print(sorted({"google", "pulumi", "pulumi_gcp"} & set(sys.modules)))
"""


class ImportTest(absltest.TestCase):
  def test_importing_and_decorating_load_nothing_heavy(self) -> None:
    """No framework, no client of a cloud, nothing that only a call needs."""
    self.assert_prints_nothing(_CODE)

  def test_a_config_of_a_cluster_loads_no_pulumi(self) -> None:
    """Nor does the command, before it makes one."""
    self.assert_prints_nothing(_COMMAND)

  def assert_prints_nothing(self, code: str) -> None:
    ran = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    self.assertEqual(ran.stdout, "[]\n")


if __name__ == "__main__":
  absltest.main()
