"""The files of a project that travel, with what `stat` says of each."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keras_remote.errors import PackagingError
from keras_remote.packaging.ignore import OWN_RULES, Ignore
from keras_remote.progress import Report, Step, silent

# What `stat` says of a file: bytes, modified and changed in nanoseconds, inode,
# mode. An empty folder has EMPTY_FOLDER.
Stat = tuple[int, int, int, int, int]
EMPTY_FOLDER: Stat = (0, 0, 0, 0, stat.S_IFDIR)

# A project over this many files is a data set, or links that multiply.
MAX_FILES = 250_000


def scan(root: Path, report: Report = silent) -> dict[str, Stat]:
  """What travels of the tree, in order, by its path with forward slashes.

  The path of an empty folder ends with a slash. A symlink that leads to a
  place in the tree stands for what is there, as far as that travels itself;
  sockets, pipes and devices are left out.

  Raises:
    PackagingError: a link leaves the tree, a folder cannot be read, a name is
      not UTF-8, or there are over 250,000 files.
  """
  found: dict[str, Stat] = {}
  for path, status in _Walk(root, report).folder("", "", ("",)):
    found[path] = status
    if len(found) > MAX_FILES:
      raise PackagingError(
        f"{root} holds over {MAX_FILES:,} files, the last of them {path}; keep"
        f" folders of data back by a rule in {OWN_RULES}"
      )
  return dict(sorted(found.items()))


class _Walk:
  """One way through a tree; paths of folders are empty or end with a slash."""

  def __init__(self, root: Path, report: Report) -> None:
    self._root = os.path.realpath(root)
    self._ignore = Ignore(Path(self._root))
    self._report = report

  def folder(
    self, real: str, shown: str, way: tuple[str, ...]
  ) -> Iterator[tuple[str, Stat]]:
    """The folder's files, `shown` in place of its `real` path.

    `way` holds the real folders that lead here: a link to one of them is a
    loop, and is left out.
    """
    empty = True
    for entry in self._entries(real):
      path, name = real + entry.name, shown + entry.name
      is_dir = entry.is_dir(follow_symlinks=False)
      if self._ignore.rule(path, is_dir):
        continue
      if not name.isascii():
        self._check_name(name)
      if is_dir:
        empty = False
        inner = f"{path}/"
        yield from self.folder(inner, f"{name}/", (*way, inner))
      elif entry.is_symlink():
        for linked in self._link(path, name, way):
          empty = False
          yield linked
      elif status := _stat(entry, path):
        empty = False
        yield name, status
    if empty and shown:
      yield shown, EMPTY_FOLDER

  def _entries(self, folder: str) -> list[os.DirEntry[str]]:
    path = f"{self._root}/{folder}"
    try:
      with os.scandir(path) as entries:
        return list(entries)
    except (FileNotFoundError, NotADirectoryError):
      return []
    except OSError as error:
      raise PackagingError(
        f"{path} cannot be read ({error.strerror}); make it readable, or keep"
        f" it back by a rule '{folder}' in {OWN_RULES}"
      ) from error

  def _link(
    self, path: str, name: str, way: tuple[str, ...]
  ) -> Iterator[tuple[str, Stat]]:
    """What the link stands for; nothing if it dangles or leads in a loop."""
    target = os.path.realpath(f"{self._root}/{path}")
    if target != self._root and not target.startswith(f"{self._root}/"):
      raise PackagingError(
        f"the symlink {path} leads out of the project, to {target}; copy what"
        f" it leads to into {self._root}, or keep the link back by a rule"
        f" '{path}' in {OWN_RULES}"
      )
    real = target[len(self._root) + 1 :]
    is_dir = os.path.isdir(target)
    if real and self._ignore.ignored(real, is_dir):
      why = self._ignore.explain(real)
      self._report(Step(f"the symlink {path} is not sent: {why}", warning=True))
    elif is_dir:
      inner = f"{real}/" if real else ""
      if inner not in way:
        yield from self.folder(inner, f"{name}/", (*way, inner))
    elif status := _stat(Path(target), real):
      yield name, status

  def _check_name(self, name: str) -> None:
    try:
      name.encode()
    except UnicodeEncodeError as error:
      shown = ascii(name)
      raise PackagingError(
        f"the name {shown} in {self._root} is not UTF-8; rename the file, or"
        f" keep it back by a rule in {OWN_RULES}"
      ) from error


def _stat(entry: "os.DirEntry[str] | Path", path: str) -> Stat | None:
  """What identifies a regular file's content; None for anything else."""
  try:
    found = entry.stat(follow_symlinks=False)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise PackagingError(
      f"{os.fspath(entry)} cannot be looked at ({error.strerror}); take the"
      f" right to enter its folder, or keep it back by a rule '{path}' in"
      f" {OWN_RULES}"
    ) from error
  if not stat.S_ISREG(found.st_mode):
    return None
  return (
    found.st_size,
    found.st_mtime_ns,
    found.st_ctime_ns,
    found.st_ino,
    found.st_mode,
  )
