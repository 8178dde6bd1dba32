"""A store in a folder of this machine's, or of a file server's."""

import contextlib
import errno
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from keras_remote import clock, errors, home
from keras_remote.constants import MIB
from keras_remote.storage.store import Entry, Source, check_key

T = TypeVar("T")
# The store's own folders: what is being written, and metadata by key.
_PARTIAL = ".partial"
_METADATA = ".metadata"
# How often a deleter may take a writer's folder away before it is an error.
_RACES = 100


class FolderStore:
  """Objects as files below one folder: see `Store` for the contract.

  Raises:
    StoreError: the folder cannot be made, or others may write to it.
  """

  def __init__(self, root: Path | str) -> None:
    self._root = os.path.abspath(os.path.expanduser(root))
    with self._translated("its folder"):
      _make_folder(self._root)
    home.check_private(Path(self._root))
    # Where it cannot be written to, whoever stores something is told so.
    with contextlib.suppress(errors.StoreError):
      home.ensure_apart(Path(self._root))

  @property
  def uri(self) -> str:
    return self._root

  def read(self, key: str) -> bytes:
    return self.read_range(key, 0)

  def read_range(self, key: str, start: int, end: int | None = None) -> bytes:
    with self._translated(key), self.open(key) as file:
      file.seek(start)
      return file.read(-1 if end is None else max(0, end - start))

  def open(self, key: str) -> BinaryIO:
    path = self._path(key)
    with self._translated(key, _ABSENT):
      return open(path, "rb")

  def write(self, key: str, data: Source) -> None:
    path = self._path(key)
    with self._translated(key), self._temporary(data) as temporary:
      _place(os.replace, temporary, path)

  def create(
    self, key: str, data: Source, metadata: Mapping[str, str] | None = None
  ) -> bool:
    path, own = self._path(key), self._path(key, _METADATA)
    with self._translated(key):
      if os.path.lexists(path):
        return False
      if not metadata:
        with self._temporary(data) as temporary:
          return _link(temporary, path)
      text = json.dumps(dict(metadata)).encode()
      with (
        self._temporary(text) as described,
        self._temporary(data) as temporary,
      ):
        # Before the object: whoever finds that finds its metadata too.
        _link(described, own)
        if not _link(temporary, path):
          return False
        if not os.path.samefile(described, own):
          # It is of a writer that lost to this one, or died.
          _place(os.replace, described, own)
    return True

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    folder, slash, start = prefix.rpartition("/")
    if slash:
      check_key(folder)
    return itertools.islice(self._walk(folder + slash, start), limit)

  def delete(self, key: str) -> None:
    for path in (self._path(key), self._path(key, _METADATA)):
      with self._translated(key), contextlib.suppress(*_ABSENT):
        os.unlink(path)
      folder = os.path.dirname(path)
      with contextlib.suppress(OSError):  # Not empty, or already gone.
        while folder != self._root:
          os.rmdir(folder)
          folder = os.path.dirname(folder)
    self._sweep()

  def _walk(self, folder: str, start: str) -> Iterator[Entry]:
    with self._translated(folder):
      try:
        with os.scandir(os.path.join(self._root, folder)) as found:
          # A folder sorts by its name with the slash: the order of whole keys.
          names = sorted(
            each.name + "/" * each.is_dir(follow_symlinks=False)
            for each in found
            if each.name.startswith(start)
          )
      except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
      if not folder and name.startswith("."):
        continue
      if name.endswith("/"):
        yield from self._walk(folder + name, "")
      elif entry := self._entry(folder + name):
        yield entry

  def _entry(self, key: str) -> Entry | None:
    with self._translated(key), contextlib.suppress(*_ABSENT):
      size = os.stat(self._path(key), follow_symlinks=False).st_size
      return Entry(key, size, self._metadata(key))
    return None  # Deleted since it was listed.

  def _metadata(self, key: str) -> Mapping[str, str]:
    with (
      # Not there, or cut short by a disk that failed.
      contextlib.suppress(*_ABSENT, ValueError),
      open(self._path(key, _METADATA), "rb") as file,
    ):
      found = json.loads(file.read())
      return found if isinstance(found, dict) else {}
    return {}

  def _path(self, key: str, below: str = "") -> str:
    check_key(key)
    return os.path.join(self._root, below, key)

  @contextlib.contextmanager
  def _temporary(self, data: Source) -> Generator[str]:
    """A synced file with this content; gone, if still there, at the end."""
    path = os.path.join(self._root, _PARTIAL, secrets.token_hex(8))
    try:
      with _place(_open_new, path) as file:
        if isinstance(data, bytes):
          file.write(data)
        else:
          shutil.copyfileobj(data, file, MIB)
        file.flush()
        if file.tell():
          os.fsync(file.fileno())
      yield path
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(path)

  def _sweep(self) -> None:
    """Removes what writers that died had half-written, after a day."""
    partial = os.path.join(self._root, _PARTIAL)
    oldest = clock.now().timestamp() - home.DAY
    with contextlib.suppress(FileNotFoundError):
      for name in os.listdir(partial):
        path = os.path.join(partial, name)
        # It may be gone, or another user's: a later deletion sweeps again.
        with contextlib.suppress(OSError):
          if os.stat(path).st_mtime < oldest:
            os.unlink(path)

  @contextlib.contextmanager
  def _translated(
    self, key: str, absent: tuple[type[OSError], ...] = ()
  ) -> Generator[None]:
    try:
      yield
    except absent as error:
      raise errors.ObjectNotFoundError(
        f"the store {self._root} holds no '{key}'"
      ) from error
    except OSError as error:
      cure = _CURES.get(error.errno or 0, "")
      raise errors.StoreError(
        f"the store {self._root} failed at {key}: {error.strerror}{cure}"
      ) from error


_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_ELSEWHERE = (
  "; with --store choose a folder that you may write to, on a file system "
  "with hard links"
)
_CURES = {
  errno.ENOSPC: "; free some space, or choose another place with --store",
  errno.EDQUOT: "; your quota is used up: choose another place with --store",
  errno.EACCES: _ELSEWHERE,
  errno.EPERM: _ELSEWHERE,
  errno.EROFS: _ELSEWHERE,
  errno.EOPNOTSUPP: _ELSEWHERE,
}


def _place(put: Callable[..., T], *paths: str) -> T:
  """What `put(*paths)` gives; makes the last path's folder where missing."""
  for _ in range(_RACES):
    try:
      return put(*paths)
    except FileNotFoundError:
      _make_folder(os.path.dirname(paths[-1]))
  return put(*paths)


def _link(temporary: str, path: str) -> bool:
  """Whether the object under `path` is now this one.

  By link: a writer that dies leaves no torn object behind.
  """
  try:
    _place(os.link, temporary, path)
  except FileExistsError:
    # A file server may have lost the answer to our own link.
    with contextlib.suppress(FileNotFoundError):
      return os.path.samefile(temporary, path)
    return False
  return True


def _open_new(path: str) -> BinaryIO:
  return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _make_folder(path: str) -> None:
  """Makes the folder, and those above it, for its owner alone."""
  parent = os.path.dirname(path)
  if not os.path.isdir(parent):
    _make_folder(parent)
  # Somebody may make it, or take its parent away, at the same time.
  with contextlib.suppress(FileExistsError, FileNotFoundError):
    os.mkdir(path, 0o700)
