"""The stacks of all of the worker's threads, in its log, when they are wanted.

They are written by a handler in C: also where code keeps Python's lock.
"""

import contextlib
import faulthandler
import os
import signal
import sys
from pathlib import Path

# One that nobody uses: SIGUSR1 and SIGUSR2 are users', the first of the
# real-time ones are other runtimes', and the last is QEMU's. macOS has none.
_NUMBER = signal.SIGRTMAX - 5 if sys.platform == "linux" else None


def register() -> None:
  """From here on this process writes its stacks when it is asked to."""
  if _NUMBER is not None:
    with contextlib.suppress(OSError, RuntimeError, ValueError):
      faulthandler.register(_NUMBER, all_threads=True)


def ask(pid: int) -> bool:
  """Has the process write its stacks; False where it would not, or is gone.

  Without its handler, which the function may have taken away, the signal
  would end it.
  """
  if _NUMBER is None or not _catches(pid, _NUMBER):
    return False
  with contextlib.suppress(OSError):
    os.kill(pid, _NUMBER)
    return True
  return False


def _catches(pid: int, number: int) -> bool:
  with contextlib.suppress(OSError, ValueError):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
      if line.startswith("SigCgt:"):
        return bool(int(line.split()[1], 16) >> (number - 1) & 1)
  return False
