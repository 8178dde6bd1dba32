"""Copies what the function leaves in its output folder to the store."""

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from keras_remote import errors
from keras_remote.job.directory import JobDirectory

# Seconds for which a failing file does not keep the others from their turn.
_PATIENCE = 10.0


class Mirror:
  """One local folder, and what the store has of it.

  Args:
    folder: where the function writes.
    prefix: where its files go, within the job's files.
    note: told once of each link that is not stored.
  """

  def __init__(
    self,
    directory: JobDirectory,
    folder: Path,
    prefix: str,
    note: Callable[[str], object],
  ) -> None:
    self._directory = directory
    self._root = Path(os.path.realpath(folder))
    self._prefix = prefix
    self._note = note
    self._noted: set[str] = set()
    self._stored: dict[str, tuple[int, ...]] = {}
    # An old copy that is still on its way must not overwrite the last one.
    self._pushing = threading.Lock()

  def push(self) -> None:
    """Makes the store's copy what the folder is now.

    A link within the folder is stored as what it leads to; one that leads
    out of it is left out, since that may be what is not the job's.

    Raises:
      StoreError: a file could not be stored; the next time tries again.
    """
    failed: errors.StoreError | None = None
    deadline = time.monotonic() + _PATIENCE
    with self._pushing:
      if os.path.realpath(self._root) != str(self._root):
        self._tell("the output folder was replaced by a link: not stored")
        return
      try:
        files = dict(self._files(self._root, "", (self._root,)))
      except OSError:
        return  # What cannot be looked at is not gone.
      # First what is gone: where a file was there may be a folder now.
      for name in [*(self._stored.keys() - files.keys()), *files]:
        # It may vanish at any time, or be none that this user may read.
        with contextlib.suppress(OSError):
          try:
            if name in files:
              self._store(name, files[name])
            else:
              self._delete(name)
          except errors.StoreError as error:
            failed = error
            if time.monotonic() > deadline:
              break
    if failed:
      raise failed

  def _files(
    self, folder: Path, within: str, above: tuple[Path, ...]
  ) -> Iterator[tuple[str, Path]]:
    """Names of files, and where they really are.

    Args:
      above: the folder's real path, and those of the folders that hold it.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
      name, path = within + entry.name, Path(entry.path)
      if entry.is_symlink():
        path = Path(os.path.realpath(path))
        if not path.is_relative_to(above[0]):
          self._tell(f"the link '{name}' leads out of the output folder")
          continue
      if not path.is_dir():
        yield name, path
      elif path not in above:  # A link may lead back to where it is.
        with contextlib.suppress(FileNotFoundError, PermissionError):
          yield from self._files(path, f"{name}/", (*above, path))

  def _tell(self, text: str) -> None:
    if text not in self._noted:
      self._noted.add(text)
      self._note(text)

  def _store(self, name: str, path: Path) -> None:
    seen = path.lstat()
    stored = self._stored.get(name) == _stamp(seen)
    if stored or not stat.S_ISREG(seen.st_mode):
      return
    with _open(path) as file:
      stamp = _stamp(os.fstat(file.fileno()))
      self._directory.write_file(self._prefix + name, file)
      self._stored[name] = stamp

  def _delete(self, name: str) -> None:
    self._directory.delete_file(self._prefix + name)
    del self._stored[name]


def _stamp(status: os.stat_result) -> tuple[int, ...]:
  times = (status.st_mtime_ns, status.st_ctime_ns)
  return (status.st_ino, status.st_size, *times)


def _open(path: Path) -> BinaryIO:
  # What became a link or a pipe since it was looked at.
  flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
  return open(os.open(path, flags), "rb")
