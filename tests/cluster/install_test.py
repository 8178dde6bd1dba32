"""Jobs that install what they need, on the cluster's plain Python image."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from absl.testing import absltest

from keras_remote.job import layout
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests.cluster.namespace import NamespaceTest
from tests.fakes.environment import environment

# Two cores compile what was installed.
_SECONDS = 280.0
_DIGITS = Path(__file__).parents[2] / "examples" / "digits.py"
_SMALL = """
import keras_remote

@keras_remote.run(dependencies=DEPENDENCIES, env=ENV)
def train():
  import colorama
  print("colorama", colorama.__version__, flush=True)
  return "done"

print(train())
"""
# The oldest that a job can do with takes a second to install.
_FEW = ["colorama==0.4.6"]


class InstallTest(NamespaceTest):
  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)
    self.uri = f"{self.cluster.bucket}/{self.namespace}"
    self.addCleanup(self.clear)
    options = {
      "CONTEXT": self.cluster.context,
      "NAMESPACE": self.namespace,
      "STORE": self.uri,
      "IMAGE": "install",
      "BASE_IMAGE": self.cluster.python_image,
      "HOME": str(self.folder / "home"),
    }
    self.environ = {
      **os.environ,
      **{f"KERAS_REMOTE_{name}": value for name, value in options.items()},
      **self.cluster.environ,
      "LOGNAME": "ada",
    }

  def store(self) -> Store:
    return open_store(self.uri)

  def clear(self) -> None:
    with environment(**self.cluster.environ):
      for entry in list(self.store().list("")):
        self.store().delete(entry.key)

  def kept(self) -> list[str]:
    """The environments in the store."""
    with environment(**self.cluster.environ):
      return [entry.key for entry in self.store().list(layout.ENVIRONMENTS)]

  def ran(
    self, script: str, *, expected: int = 0, **variables: str
  ) -> tuple[str, str]:
    """What the script prints, to stdout and to stderr."""
    project = self.folder / "project"
    project.mkdir(exist_ok=True)
    path = project / "train.py"
    path.write_text(textwrap.dedent(script))
    ran = subprocess.run(
      [sys.executable, str(path)],
      cwd=project,
      env=self.environ | variables,
      capture_output=True,
      text=True,
      timeout=_SECONDS,
      check=False,
    )
    self.assertEqual(ran.returncode, expected, ran.stdout + ran.stderr)
    return ran.stdout, ran.stderr

  def small(self, *lines: str, expected: int = 0, **variables: str) -> str:
    """All that a call prints whose function needs little."""
    script = _SMALL.replace("DEPENDENCIES", repr([*_FEW, *lines]))
    script = script.replace("ENV", repr(self.job_environ()))
    return "".join(self.ran(script, expected=expected, **variables))

  def job_environ(self) -> dict[str, str]:
    gcs = self.cluster.gcs
    return {"STORAGE_EMULATOR_HOST": gcs} if gcs else {}

  def test_digits(self) -> None:
    """The example's accuracy comes back from a pod, the second time at once."""
    script = f"""
      import sys
      sys.path.insert(0, {str(_DIGITS.parent)!r})
      import digits

      there = digits.train.options(
        accelerator="cpu",
        backend="gke",
        dependencies=["scikit-learn"],
        env={self.job_environ()!r},
      )
      print(there())
    """
    first, _ = self.ran(script)
    self.assertIn("installing", first)
    self.assertRegex(first, r"'accuracy': 0\.9[5-9]")
    self.assertLen(self.kept(), 1)
    second, _ = self.ran(script)
    self.assertNotIn("installing", second)
    self.assertIn("its environment is an earlier job's", second)
    self.assertRegex(second, r"'accuracy': 0\.9[5-9]")


if __name__ == "__main__":
  absltest.main()
