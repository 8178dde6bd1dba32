"""Environments that an earlier job has installed, and left in the store."""

import contextlib
import gzip
import hashlib
import io
import platform
import shutil
import tarfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, BinaryIO

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.job import environments
from keras_remote.job.environments import SIGNATURE_BYTES, Recipe
from keras_remote.storage import bare
from keras_remote.storage.open import is_folder, open_store

# A third of the size, for a quarter of the time that better levels take.
_LEVEL = 1
# Seconds that an ended job stays for the next one's sake.
_PATIENCE = 300.0


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


def keep(store: str, recipe: Recipe, folder: Path, *, anew: bool) -> bool:
  """Leaves the environment for the next jobs; False where one is there.

  Args:
    anew: over what is there, of which nothing can be used.

  Raises:
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
        packed.add(folder, arcname=".")
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
  except (OSError, tarfile.TarError) as error:
    raise errors.StoreError(f"{folder} cannot be packed: {error}") from error
  finally:
    with contextlib.suppress(OSError):
      archive.unlink()


class Keeping:
  """Leaves an environment in the store, beside the job that runs in it."""

  def __init__(
    self,
    store: str,
    recipe: Recipe,
    folder: Path,
    *,
    anew: bool,
    note: Callable[[str], None],
  ) -> None:
    def work() -> None:
      try:
        keep(store, recipe, folder, anew=anew)
      except errors.KerasRemoteError as error:
        note(f"the environment could not be kept for the next job: {error}")

    # A daemon: a job that is told to stop does not wait for it.
    self._thread = threading.Thread(target=work, name="keep", daemon=True)
    self._thread.start()

  def finish(self) -> None:
    """Returns when it is there, or takes too long."""
    self._thread.join(_PATIENCE)


class _Hashing(io.RawIOBase):
  """Writes on, and knows the digest of what it has written."""

  def __init__(self, file: IO[bytes]) -> None:
    super().__init__()
    self._file = file
    self.digest = hashlib.sha256()

  def writable(self) -> bool:
    return True

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
