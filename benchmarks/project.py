"""Project: a folder of its own, with a home, for what is measured."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CLIENTS = Path(__file__).with_name("clients")


@dataclass(frozen=True)
class Project:
  """A new user's project: nothing in it, nothing cached, nothing configured."""

  root: Path
  environ: Mapping[str, str]

  def run(self, argv: Sequence[str]) -> str:
    """What a command prints, run in the project.

    Raises:
      CalledProcessError: it failed; what it said was shown.
    """
    ran = subprocess.run(
      argv, cwd=self.root, env=self.environ, capture_output=True, text=True
    )
    if ran.returncode:
      sys.stderr.write(ran.stderr)
    ran.check_returncode()
    return ran.stdout

  def milliseconds(self, argv: Sequence[str]) -> float:
    """How long a command takes from its start to its end."""
    began = time.perf_counter()
    self.run(argv)
    return (time.perf_counter() - began) * 1000

  def client(self, name: str) -> Any:
    """What a script of `clients/` found, run as the project's own script."""
    script = f"{name}.py"
    shutil.copy(_CLIENTS / script, self.root)
    return json.loads(self.run([sys.executable, script]))


@contextlib.contextmanager
def project() -> Generator[Project]:
  """An empty project, removed with its home at the end."""
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    root = Path(folder, "project")
    root.mkdir()
    foreign = ("KERAS_REMOTE_", "CI")
    environ = {
      name: value
      for name, value in os.environ.items()
      if not name.startswith(foreign)
    }
    environ["KERAS_REMOTE_HOME"] = str(Path(folder, "home"))
    yield Project(root, environ)
