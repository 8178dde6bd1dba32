"""Environments that an earlier job has installed, and left in the store."""

import contextlib
import gzip
import hashlib
import io
import os
import platform
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, BinaryIO

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.job import environments
from keras_remote.job.environments import SIGNATURE_BYTES, Recipe
from keras_remote.runner import signals
from keras_remote.storage import bare
from keras_remote.storage.open import is_folder, open_store

# A third of the size, for a quarter of the time that better levels take.
_LEVEL = 1
# Seconds that an ended job stays for the next one's sake at least, where that
# saves no more; those that it stays at most; and those of which nothing is said.
_LEAST, _MOST, _UNSAID = 5.0, 60.0, 1.0


def fetch(store: str, recipe: Recipe, to: Path, *, client: bool = False) -> int:
  """Unpacks the environment as the folder `to`, after checking it.

  Args:
    client: whether the store's client library is there.

  Returns:
    The bytes that came.

  Raises:
    ObjectNotFoundError: no job of this owner has left one.
    IntegrityError: none of them has made what is there.
    StoreError: the store cannot be asked, or breaks off.
  """
  archive = to.with_suffix(".tar.gz")
  machine = platform.machine()
  try:
    with _opened(store, _key(recipe), client=client) as source:
      signature = source.read(SIGNATURE_BYTES)
      hashed = hashlib.sha256()
      with archive.open("wb") as copy:
        while chunk := source.read(MIB):
          hashed.update(chunk)
          copy.write(chunk)
    environments.verify(recipe, machine, hashed.hexdigest(), signature)
    with tarfile.open(archive) as unpacked:
      # It is as we made it: its links lead to this image's Python.
      unpacked.extractall(to, **_AS_IT_IS)
    return archive.stat().st_size
  except (OSError, EOFError, tarfile.TarError) as error:
    shutil.rmtree(to, ignore_errors=True)
    raise errors.StoreError(f"{to} cannot be unpacked: {error}") from error
  finally:
    archive.unlink(missing_ok=True)


def _opened(
  store: str, key: str, *, client: bool
) -> AbstractContextManager[BinaryIO]:
  if client or is_folder(store):
    return open_store(store).open(key)
  return bare.open_object(store, key)


def look(folder: Path) -> dict[str, str]:
  """What is in the environment now, by names: folders, links, and digests.

  Raises:
    StoreError: it cannot be read.
  """
  found: dict[str, str] = {}
  try:
    for root, folders, files in os.walk(folder):
      for name in (*folders, *files):
        path = Path(root, name)
        found[path.relative_to(folder).as_posix()] = _content(path)
  except OSError as error:
    raise errors.StoreError(f"{folder} cannot be read: {error}") from error
  return found


def _content(path: Path) -> str:
  mode = path.lstat().st_mode
  if stat.S_ISLNK(mode):
    return f"link {path.readlink()}"
  if stat.S_ISREG(mode):
    with path.open("rb") as file:
      return _file(mode, hashlib.file_digest(file, "sha256").hexdigest())
  return _folder(mode)


def _file(mode: int, digest: str) -> str:
  return f"file {stat.S_IMODE(mode):o} {digest}"


def _folder(mode: int) -> str:
  return f"folder {stat.S_IMODE(mode):o}"


def keep(
  store: str,
  recipe: Recipe,
  folder: Path,
  seen: Mapping[str, str],
  *,
  anew: bool,
) -> bool:
  """Leaves the environment for the next jobs; False where one is there.

  Args:
    seen: what is left of it, as `look` found it, and nothing else.
    anew: over what is there, of which nothing can be used.

  Raises:
    IntegrityError: it is no longer as it was seen.
    StoreError: the store did not take it.
  """
  archive = folder.with_suffix(".tar.gz")
  try:
    with archive.open("w+b") as file:
      file.write(bytes(SIGNATURE_BYTES))
      hashing = _Hashing(file)
      with (
        gzip.GzipFile("", "wb", _LEVEL, hashing, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|") as packed,
      ):
        for name in sorted(seen):  # So folders come before what is in them.
          if _packed(packed, folder / name, name, seen) != seen[name]:
            raise errors.IntegrityError(f"the job has changed {name} in it")
      file.seek(0)
      made = hashing.digest.hexdigest()
      signature = environments.sign(recipe, platform.machine(), made)
      file.write(signature.encode())
      file.seek(0)
      opened = open_store(store)
      if anew:
        opened.write(_key(recipe), file)
        return True
      return opened.create(_key(recipe), file)
  except FileNotFoundError as error:
    raise errors.IntegrityError(
      f"the job has removed {error.filename}"
    ) from error
  except (OSError, tarfile.TarError) as error:
    raise errors.StoreError(f"{folder} cannot be packed: {error}") from error
  finally:
    with contextlib.suppress(OSError):
      archive.unlink()


def _packed(
  packed: tarfile.TarFile, path: Path, name: str, seen: Mapping[str, str]
) -> str:
  """What has gone into the archive of it, as `look` tells that."""
  if path.is_symlink() or path.is_dir():
    entry = packed.gettarinfo(path, name)
    packed.addfile(entry)
    return f"link {entry.linkname}" if entry.issym() else _folder(entry.mode)
  with path.open("rb") as file:
    entry = packed.gettarinfo(None, name, file)
    reading = _Hashing(file)
    packed.addfile(entry, reading)
    if entry.islnk():  # The same file has come under another name.
      return seen[entry.linkname]
    return _file(entry.mode, reading.digest.hexdigest())


class Keeping:
  """Leaves an environment in the store, beside the job that runs in it.

  It is to begin before the job's function can write to the environment.

  Args:
    worth: seconds that the next job is saved: an ended one waits no longer.
  """

  def __init__(
    self,
    store: str,
    recipe: Recipe,
    folder: Path,
    *,
    anew: bool,
    worth: float,
    note: Callable[[str], None],
  ) -> None:
    def work() -> None:
      try:
        keep(store, recipe, folder, seen, anew=anew)
      except errors.KerasRemoteError as error:
        note(f"the environment could not be kept for the next job: {error}")
      finally:
        self._over.set()

    # Not the thread itself: Python takes a thread for ended when the waiting
    # for it is.
    self._over = threading.Event()
    self._note = note
    self._patience = min(max(worth, _LEAST), _MOST)
    seen = look(folder)
    # A daemon: a job that is told to stop does not wait for it.
    threading.Thread(target=work, name="keep", daemon=True).start()

  def finish(self) -> bool:
    """Whether that has come to its end, which is not waited for too long.

    SIGTERM ends the waiting: whatever it could spoil is to be done by now.
    """
    try:
      signals.install()
      if not self._over.wait(_UNSAID):
        self._note(
          "the job has ended, and its environment is still on its way to the "
          f"store for the next one: that gets {self._patience:.0f} s"
        )
        self._over.wait(self._patience - _UNSAID)
      signals.ignore()
    except signals.Stopped:
      pass
    over = self._over.is_set()
    if not over:
      self._note("it was not kept: the next job installs it anew")
    return over


class _Hashing(io.RawIOBase):
  """A file that knows the digest of all that was written, or read."""

  def __init__(self, file: IO[bytes]) -> None:
    super().__init__()
    self._file = file
    self.digest = hashlib.sha256()

  def readable(self) -> bool:
    return True

  def writable(self) -> bool:
    return True

  def read(self, size: int = -1) -> bytes:
    data = self._file.read(size)
    self.digest.update(data)
    return data

  def write(self, data: Any) -> int:
    self.digest.update(data)
    return self._file.write(data)


def _key(recipe: Recipe) -> str:
  return environments.address(recipe, platform.machine())


# Pythons before 3.11.4 know of no filters, later ones want one named.
_AS_IT_IS: dict[str, Any] = (
  {"filter": "fully_trusted"}
  if hasattr(tarfile, "fully_trusted_filter")
  else {}
)
