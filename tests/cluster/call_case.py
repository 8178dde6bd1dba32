"""Tests of what users do: scripts whose calls run on the cluster."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from keras_remote.storage.open import open_store
from tests.cluster.job_image import job_image
from tests.cluster.namespace import POD_SECONDS, NamespaceTest
from tests.fakes.environment import environment


def empty(store: str, environ: Mapping[str, str]) -> None:
  """Removes what a test has left in the bucket."""
  with environment(**environ):
    found = open_store(store)
    for entry in list(found.list("")):
      found.delete(entry.key)


class CallTest(NamespaceTest):
  """Runs scripts as users do, in a home and a project of their own.

  Attributes:
    seconds: that a script may take.
  """

  seconds: float = POD_SECONDS

  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)
    store = f"{self.cluster.bucket}/{self.namespace}"
    self.addCleanup(empty, store, self.cluster.environ)
    self.environ = {
      **os.environ,
      **self.cluster.environ,
      "KERAS_REMOTE_HOME": str(self.folder / "home"),
      "KERAS_REMOTE_CONTEXT": self.cluster.context,
      "KERAS_REMOTE_NAMESPACE": self.namespace,
      "KERAS_REMOTE_CONTAINER_IMAGE": job_image(),
      "KERAS_REMOTE_STORE": store,
      "KERAS_REMOTE_CAPTURE_ENV_VARS": "STORAGE_EMULATOR_HOST",
    }

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
      timeout=self.seconds,
      check=False,
    )
    self.assertEqual(ran.returncode, expected, ran.stderr)
    return ran.stdout, ran.stderr
