"""The worker's process and everything that descends from it."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_remote.constants import KIB

_PR_SET_CHILD_SUBREAPER = 36
# Seconds that a SIGKILL may take: a process that waits for a driver or for a
# file server does not die, and must not keep this one from telling.
_KILL_SECONDS = 5.0
_LOOK = 0.005
_FROM_RUNNER = "import sys; sys.path.insert(0, sys.argv[1]); "
_WORKER = _FROM_RUNNER + "from keras_remote.runner.worker import main; main()"
# Becomes the worker when it has installed what that needs.
INSTALLER = (
  f"{_FROM_RUNNER}from keras_remote.runner.installing import main; "
  f"main({_WORKER!r})"
)


@dataclass(frozen=True)
class Exit:
  """How the worker ended: `code`, or the number of a `signal`.

  Attributes:
    peak_memory: bytes, of the largest process of its tree; 0 if not known.
  """

  code: int | None
  signal: int | None
  peak_memory: int


_KILLED = Exit(None, signal.SIGKILL, 0)


def become_subreaper() -> None:
  """Makes orphans of the worker's tree children of this process (Linux)."""
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Worker:
  """The second process: it takes orders and gives answers, by line of JSON.

  It leads a session of its own; it ends itself when the pipe of its orders
  closes, which is when this process ends.

  Attributes:
    log_fd: where all that its tree prints can be read.
  """

  def __init__(
    self,
    runner: str,
    environ: Mapping[str, str],
    program: str = _WORKER,
    arguments: Sequence[str] = (),
  ) -> None:
    orders, self._orders = os.pipe()
    self._answers, answers = os.pipe()
    self.log_fd, log = os.pipe()
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-P", "-c", program),
        *(runner, str(orders), str(answers), *arguments),
      ],
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      env=environ,
      pass_fds=(orders, answers),
      start_new_session=True,
    )
    self._ended: Exit | None = None
    self._answer: dict[str, object] | None = None
    self._listener: threading.Thread | None = None
    for fd in (orders, answers, log):
      os.close(fd)

  @property
  def pid(self) -> int:
    """The worker's process id, which is its group's too."""
    return self._process.pid

  def send(self, order: Mapping[str, object]) -> None:
    """Gives an order; a worker that has died is noticed elsewhere."""
    line = memoryview(json.dumps(order).encode() + b"\n")
    with contextlib.suppress(BrokenPipeError):
      while line:  # A signal may cut a long write short.
        line = line[os.write(self._orders, line) :]

  def listen(self, heard: Callable[[dict[str, object]], None]) -> None:
    """Calls `heard` with each answer, from a thread that ends with the pipe."""

    def read() -> None:
      with open(self._answers, "rb") as answers:
        for line in answers:
          # A worker that is killed while it writes leaves half a line.
          with contextlib.suppress(TypeError, ValueError):
            answer = dict(json.loads(line))
            # What an installer tells is none yet.
            if "site" not in answer:
              self._answer = answer
            heard(answer)

    # A grandchild may hold the pipe open for ever: nobody waits for that.
    self._listener = threading.Thread(target=read, name="answers", daemon=True)
    self._listener.start()

  def last_answer(self, seconds: float) -> dict[str, object] | None:
    """What a worker that has ended said last, read for `seconds` at most."""
    if self._listener:
      self._listener.join(seconds)
    return self._answer

  def poll(self) -> Exit | None:
    """How the worker ended, or None; reaps the orphans of its tree too."""
    while self._ended is None:
      try:
        # Only looked at: a wait for any child would steal the worker's status.
        child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
      except ChildProcessError:  # `end_descendants` has reaped it.
        self._ended = _KILLED
        break
      if child is None:
        break
      _, status, usage = os.wait4(child.si_pid, 0)
      if child.si_pid == self.pid:
        self._ended = self._exit(status, usage.ru_maxrss)
    return self._ended

  def wait(self, seconds: float) -> Exit | None:
    """How the worker ended, or None where it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while (ended := self.poll()) is None and time.monotonic() < deadline:
      time.sleep(_LOOK)  # SIGCHLD tells of any child, so looking is as good.
    return ended

  def ask(self) -> None:
    """Asks the whole tree to end, by SIGTERM: it may have something to save."""
    if self.poll() is None:
      for pid in descendants():
        _signal(pid, signal.SIGTERM)

  def end(self, grace: float, *, asked: bool = True) -> Exit:
    """How the worker ended, after `grace` seconds and a SIGKILL at most.

    Args:
      asked: whether its whole tree is asked at once; at the end of its time
        the worker gets a SIGKILL in any case.
    """
    if asked:
      self.ask()
    if self.wait(grace) is None:
      _signal(self.pid, signal.SIGKILL)
    return self.wait(_KILL_SECONDS) or _KILLED

  def _exit(self, status: int, maxrss: int) -> Exit:
    code = os.waitstatus_to_exitcode(status)
    self._process.returncode = code
    # Linux counts KiB, macOS bytes.
    peak = maxrss if sys.platform == "darwin" else maxrss * KIB
    return Exit(code, None, peak) if code >= 0 else Exit(None, -code, peak)


def end_descendants() -> None:
  """Kills and reaps what the worker left running."""
  deadline = time.monotonic() + _KILL_SECONDS
  with contextlib.suppress(ChildProcessError):  # None is left.
    while time.monotonic() < deadline:
      while os.waitpid(-1, os.WNOHANG)[0]:
        pass
      for pid in descendants():
        _signal(pid, signal.SIGKILL)
      time.sleep(_LOOK)


def descendants() -> list[int]:
  """Process ids of this process's whole tree, parents first.

  What has ended and was not reaped counts: its threads may live on.
  """
  children: dict[int, list[int]] = {}
  for pid, parent in _parents():
    children.setdefault(parent, []).append(pid)
  found: list[int] = []
  pending = [os.getpid()]
  while pending:
    below = children.get(pending.pop(), [])
    found += below
    pending += below
  return found


def _parents() -> list[tuple[int, int]]:
  proc = Path("/proc")
  if not (proc / "self" / "stat").exists():
    listing = subprocess.run(
      ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listing.stdout.splitlines()]
    return [(int(pid), int(parent)) for pid, parent in rows]
  pairs = []
  for entry in os.scandir(proc):
    if entry.name.isdigit():
      # It may be gone by now; its name may hold spaces and brackets.
      with contextlib.suppress(OSError):
        stat = Path(entry.path, "stat").read_text(errors="replace")
        parent = stat.rpartition(")")[2].split()[1]
        pairs.append((int(entry.name), int(parent)))
  return pairs


def _signal(pid: int, number: int) -> None:
  # It may be gone, or have become another user's.
  with contextlib.suppress(ProcessLookupError, PermissionError):
    os.kill(pid, number)
