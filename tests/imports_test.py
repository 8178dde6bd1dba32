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


class ImportTest(absltest.TestCase):
  def test_importing_and_decorating_load_nothing_heavy(self) -> None:
    """No framework, no client of a cloud, nothing that only a call needs."""
    ran = subprocess.run(
      [sys.executable, "-c", _CODE], capture_output=True, text=True, check=True
    )
    self.assertEqual(ran.stdout, "[]\n")


if __name__ == "__main__":
  absltest.main()
