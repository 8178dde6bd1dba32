"""Processes that outlive the one that started them, and are found again.

Linux gives a process id to another process some time after the first one's
end. A record therefore also holds when the process started, and the boot.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cluster.layout import LOGS, RECORDS

# Seconds between looks: not one of these servers tells when it is ready.
_LOOK = 0.05
_READY_SECONDS = 90.0


class ClusterError(Exception):
  """The cluster cannot be what it should; the message says why."""


@dataclass(frozen=True)
class Process:
  """A process under a name of its own, whether it runs or not.

  Attributes:
    ready: asks the process itself whether it does its work.
    files: written before it starts: what its command line names.
  """

  name: str
  command: tuple[str | Path, ...]
  ready: Callable[[], bool]
  environ: Mapping[str, str] = field(default_factory=dict)
  files: Mapping[Path, str] = field(default_factory=dict)

  @property
  def log(self) -> Path:
    return LOGS / f"{self.name}.log"

  @property
  def pid(self) -> int | None:
    """Of the process that was started last, if it still runs."""
    return _running(self._record)

  def start(self) -> bool:
    """Starts it, unless it runs; True if it had to."""
    if self.pid is not None:
      return False
    LOGS.mkdir(parents=True, exist_ok=True)
    RECORDS.mkdir(parents=True, exist_ok=True)
    for path, text in self.files.items():
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)
    with self.log.open("ab") as log:
      process = subprocess.Popen(
        self.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=_environ(self.environ),
        cwd="/",
        start_new_session=True,
      )
    partial = self._record.with_suffix(".part")
    partial.write_text(json.dumps(_identity(process.pid)))
    partial.rename(self._record)
    # It is not this process that will wait for it.
    process.returncode = 0
    return True

  def wait(self) -> None:
    """Returns once the process is ready.

    Raises:
      ClusterError: It ended, or took too long.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not self.ready():
      if self.pid is None:
        raise ClusterError(f"{self.name} ended:\n{self._last_lines()}")
      if time.monotonic() > deadline:
        raise ClusterError(f"{self.name} is not ready:\n{self._last_lines()}")
      time.sleep(_LOOK)

  def kill(self) -> None:
    """Ends it by SIGKILL, if it runs, and waits until it is gone."""
    _kill(self._record)

  @property
  def _record(self) -> Path:
    return RECORDS / f"{self.name}.json"

  def _last_lines(self) -> str:
    return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def kill_all() -> None:
  """Ends every process that was ever started and still runs."""
  for record in RECORDS.glob("*.json"):
    _kill(record)


def boot() -> str:
  """An id that every boot of the machine has for itself."""
  return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def run(*command: str | Path, **environ: str) -> str:
  """What the command prints.

  Raises:
    ClusterError: It failed; the message has what it said.
  """
  ran = subprocess.run(
    command,
    stdin=subprocess.DEVNULL,
    capture_output=True,
    env=_environ(environ),
    text=True,
  )
  if ran.returncode:
    said = f"{ran.stdout}\n{ran.stderr}".strip()
    line = " ".join(str(each) for each in command)
    raise ClusterError(f"`{line}` exits with {ran.returncode}:\n{said}")
  return ran.stdout


def _environ(more: Mapping[str, str]) -> dict[str, str]:
  # Not every PATH has the programs that only root can use.
  path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
  return {**os.environ, "PATH": path, **more}


def _running(record: Path) -> int | None:
  try:
    identity = json.loads(record.read_text())
  except FileNotFoundError:
    return None
  return identity["pid"] if _identity(identity["pid"]) == identity else None


def _kill(record: Path) -> None:
  while (pid := _running(record)) is not None:
    with contextlib.suppress(psutil.NoSuchProcess):
      process = psutil.Process(pid)
      # What it runs in a node is its child.
      for each in (*process.children(), process):
        each.kill()
    with contextlib.suppress(ChildProcessError):
      os.waitpid(pid, os.WNOHANG)
    time.sleep(_LOOK)
  record.unlink(missing_ok=True)


def _identity(pid: int) -> dict[str, object] | None:
  """What no other process has; None if it does not run."""
  try:
    stat = Path(f"/proc/{pid}/stat").read_text()
  except (FileNotFoundError, ProcessLookupError):
    return None
  # The name before it, in parentheses, may hold spaces.
  fields = stat.rpartition(")")[2].split()
  if fields[0] in "ZX":
    return None
  return {"pid": pid, "started": int(fields[19]), "boot": boot()}
