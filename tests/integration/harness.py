"""Users' projects: scripts that really run, and jobs that are looked at."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from absl.testing import absltest, parameterized

import keras_remote
from keras_remote import constants
from keras_remote.core.handle import JobHandle
from keras_remote.job.launch import ALLOCATION_VARIABLE, HOST_VARIABLE
from keras_remote.job.outcome import Outcome
from keras_remote.job.state import State

# Variables of whoever runs the tests that change what scripts do.
_TUNING = ("JAX_", "KERAS_", "PYTHON", "XLA_")
# Seconds for what must come to hold, however busy the machine is: hosts that
# are deaf to SIGTERM use up a grace of 10 s first.
_SOON = 60.0
# An ending follows its event within 2 s; the rest is for cores that are busy.
# It is less than the grace of 10 s, which nothing should use up that is prompt.
PROMISED = 2.0 + 6.0


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
    # A walk that survives folders that vanish, as those of ended jobs do.
    walk = os.walk(self.home)
    files = (Path(at, name) for at, _, names in walk for name in names)
    found = (path for path in files if path.match(pattern))
    return sorted(path.relative_to(self.home).as_posix() for path in found)

  def processes(self) -> list[psutil.Process]:
    """All that runs with this home: scripts, and the processes of jobs."""
    return [
      process
      for process in psutil.process_iter()
      if _get(process, constants.HOME_VARIABLE) == str(self.home)
    ]

  def _end_processes(self) -> None:
    while processes := self.processes():
      for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
          process.kill()
      psutil.wait_procs(processes)


def _get(process: psutil.Process, variable: str) -> str | None:
  try:
    return process.environ().get(variable)
  except psutil.Error:
    return None


class JobTestCase(parameterized.TestCase):
  """Jobs of a small project, and none of their processes left behind."""

  def setUp(self) -> None:
    super().setUp()
    self.project = Path(self.create_tempdir().full_path)
    (self.project / "pyproject.toml").touch()
    self.enter_context(keras_remote.settings(working_dir=self.project))

  def submit(
    self, function: Callable[..., Any], *args: object, **options: Any
  ) -> JobHandle[Any]:
    job = keras_remote.run(**options)(function).submit(*args)
    self.addCleanup(self.assert_nothing_left, job)
    return job

  def assert_nothing_left(self, job: JobHandle[Any]) -> None:
    wait_until(lambda: not processes(job), "processes are left")

  def stamp(self) -> Callable[[], None]:
    """A function that notes, in a job too, that something happens now."""
    path = self.event = Path(self.create_tempfile().full_path)

    def happens() -> None:
      path.write_text(str(time.time()))

    return happens

  def assert_prompt(
    self, job: JobHandle[Any], promised: float = PROMISED
  ) -> Outcome:
    """Soon after the event that was noted it has ended, and nothing is left."""
    outcome = job.outcome(timeout=60)
    self.assert_nothing_left(job)
    gone = time.time()
    event = float(self.event.read_text())
    ended = datetime.fromisoformat(outcome.ended).timestamp()
    self.assertLess(ended - event, promised, "the ending came late")
    self.assertLess(gone - event, promised, "its processes went late")
    return outcome

  def assert_ends(
    self,
    job: JobHandle[Any],
    state: State,
    error: type[BaseException],
    text: str = "",
  ) -> BaseException:
    with self.assertRaisesRegex(error, text) as caught:
      job.result(timeout=30)
    self.assertEqual(job.status(), state)
    self.assertIs(type(caught.exception), error)
    return caught.exception


def processes(job: JobHandle[Any]) -> list[psutil.Process]:
  """Everything that descends from the job's first processes, and they."""
  found = []
  for process in psutil.process_iter():
    with contextlib.suppress(psutil.Error):
      if process.status() == psutil.STATUS_ZOMBIE:
        continue
      if process.environ().get(ALLOCATION_VARIABLE) == job.id:
        found.append(process)
  return found


def first_process(job: JobHandle[Any], host: int = 0) -> psutil.Process:
  """The first process of a host."""
  found = [p for p in processes(job) if _get(p, HOST_VARIABLE) == str(host)]
  # The worker, too, looks like that before it is one.
  return min(found, key=lambda process: process.create_time())


def wait_until(holds: Callable[[], object], message: str) -> None:
  deadline = time.monotonic() + _SOON
  while not holds():
    if time.monotonic() > deadline:
      raise AssertionError(message)
    time.sleep(0.02)


def wait_for_text(job: JobHandle[Any], text: str, host: int = 0) -> None:
  wait_until(
    lambda: text in "".join(job.logs(host=host)), f"no '{text}' in the log"
  )
