"""A user's project with a home of its own, and scripts that really run."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
from absl.testing import absltest

from keras_remote import constants

# Variables of whoever runs the tests that change what scripts do.
_TUNING = ("JAX_", "KERAS_", "PYTHON", "XLA_")


class ProjectTest(absltest.TestCase):
  """Gives each test an empty project, and ends what the test started.

  Attributes:
    base: a folder for this test alone; project and home lie in it.
    project: the project's root, where scripts run.
    home: the home folder, and store, of every script.
    within: a command that `run_script` runs the script with.
  """

  within: tuple[str, ...] = ()

  def setUp(self) -> None:
    super().setUp()
    self.base = Path(tempfile.mkdtemp()).resolve()
    self.addCleanup(shutil.rmtree, self.base)
    self.addCleanup(self._end_processes)
    self.project = self.base / "project"
    self.home = self.base / "home"
    self.write("pyproject.toml", "")

  def write(self, name: str, text: str) -> Path:
    """A file of the project; its text may be indented."""
    path = self.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path

  def environ(self, variables: dict[str, str]) -> dict[str, str]:
    """A user's environment, with the test's home and `variables`."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(_TUNING)}
    return {**kept, constants.HOME_VARIABLE: str(self.home), **variables}

  def run_script(
    self, source: str, **variables: str
  ) -> subprocess.CompletedProcess[str]:
    """Runs the source as main.py, to its end."""
    return subprocess.run(
      [*self.within, sys.executable, self.write("main.py", source)],
      cwd=self.project,
      env=self.environ(variables),
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      timeout=60,
    )

  def output(self, source: str, **variables: str) -> str:
    """What the source prints on stdout as main.py, which must succeed."""
    ran = self.run_script(source, **variables)
    self.assertEqual(ran.returncode, 0, ran.stderr)
    return ran.stdout

  def start_script(
    self, source: str, **variables: str
  ) -> "subprocess.Popen[bytes]":
    """The running main.py, with a pipe from its stdout."""
    return subprocess.Popen(
      [sys.executable, self.write("main.py", source)],
      cwd=self.project,
      env=self.environ(variables),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
    )

  def stored(self, pattern: str = "*") -> list[str]:
    """The files of the home whose path matches, relative to it."""
    found = (path for path in self.home.rglob(pattern) if path.is_file())
    return sorted(path.relative_to(self.home).as_posix() for path in found)

  def processes(self) -> list[psutil.Process]:
    """All that runs with this home: scripts, and the processes of jobs."""
    return [
      process
      for process in psutil.process_iter()
      if _home(process) == str(self.home)
    ]

  def _end_processes(self) -> None:
    while processes := self.processes():
      for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
          process.kill()
      psutil.wait_procs(processes)


def _home(process: psutil.Process) -> str | None:
  try:
    return process.environ().get(constants.HOME_VARIABLE)
  except psutil.Error:
    return None
