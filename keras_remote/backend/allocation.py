"""An allocation of the local backend: a folder, and the processes of a job.

Each host is a first process whose `alive` file is locked for as long as it
lives: the lock is taken before the process starts and handed down to it, so
no process id need be trusted.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from keras_remote import clock
from keras_remote.home import locked
from keras_remote.job import last_words
from keras_remote.job.launch import ALLOCATION_VARIABLE

# No portable push tells of a file's change: these are seconds between looks.
LOOK = 0.02
# Seconds that a SIGKILL may take.
_KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Allocation:
  """What a job has on this machine, once `path` is there.

  Attributes:
    path: its folder, which has the job's id for its name.
  """

  path: Path

  def host(self, host: int, name: str = "") -> Path:
    """The folder of a host, or a file in it."""
    return self.path / f"host-{host}" / name

  def lives(self, host: int) -> bool:
    """Whether the host's first process does."""
    return locked(self.host(host, "alive"))

  def dead(self, hosts: int) -> list[int]:
    """The hosts whose first process does not live."""
    return [host for host in range(hosts) if not self.lives(host)]

  def held(self) -> bool:
    """Whether any first process lives."""
    return any(locked(path) for path in self.path.glob("host-*/alive"))

  def untidy(self) -> bool:
    """Whether scratch is there, which a first process removes at its end."""
    return any(self.path.glob("host-*/scratch"))

  def processes(self) -> list[psutil.Process]:
    """Its whole tree, but for what was started with an environment anew."""
    found = []
    for process in psutil.process_iter():
      with contextlib.suppress(psutil.Error):
        if process.environ().get(ALLOCATION_VARIABLE) == self.path.name:
          found.append(process)
    return found

  def remove(self) -> None:
    """Ends its processes, and removes the folder."""
    deadline = clock.monotonic() + _KILL_SECONDS
    # Again, as what is killed may just have started another.
    while (found := self.processes()) and clock.monotonic() < deadline:
      for process in found:
        with contextlib.suppress(psutil.Error):
          process.kill()
      time.sleep(LOOK)
    shutil.rmtree(self.path, ignore_errors=True)

  def last_words(self, host: int, hosts: int) -> str:
    """Why the host's first process is gone, as far as it has said so."""
    with contextlib.suppress(OSError):
      words = self.host(host, "last-words").read_text()
      if words and not last_words.is_record(words):
        return words
    which = f"host {host}'s" if hosts > 1 else "its"
    return (
      f"{which} first process is gone and said nothing: something killed it"
    )


def appear(hidden: Path, folder: Path) -> bool:
  """Whether `hidden` is now `folder`; False where there is one already."""
  try:
    hidden.rename(folder)
  except OSError:
    if folder.exists():  # Somebody else was faster with the same job.
      return False
    raise
  return True


def link(path: Path, to: Path) -> None:
  """Makes the file another name, or a copy."""
  try:
    os.link(path, to)
  except OSError:  # Another file system, or one without links.
    shutil.copyfile(path, to)


@contextlib.contextmanager
def appending(path: Path) -> Iterator[int]:
  """A descriptor that writes to the end of the file, which is this user's."""
  descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
  try:
    yield descriptor
  finally:
    os.close(descriptor)
