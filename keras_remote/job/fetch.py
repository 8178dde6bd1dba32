"""Brings what was sent to this machine, and refuses what was not sent."""

import hashlib
import os
import platform
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.job import layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec


def fetch_context(directory: JobDirectory, spec: JobSpec, to: Path) -> None:
  """Unpacks the project below the folder `to`, after checking it.

  Raises:
    IntegrityError: it is not the context that the spec names.
  """
  archive = to.with_suffix(".zip")
  with directory.store.open(layout.context(spec.context)) as source:
    _fetch(source, archive, spec.context, "the project's archive")
  with zipfile.ZipFile(archive) as zipped:
    for member in zipped.infolist():
      # Checked names, yet the zip's own care costs little: it drops "..".
      path = zipped.extract(member, to)
      if (member.external_attr >> 16) & stat.S_IXUSR:
        os.chmod(path, 0o700)
  archive.unlink()
  # An empty folder, or one of ignored files only, does not travel.
  (to / spec.environment.cwd).mkdir(parents=True, exist_ok=True)


def fetch_payload(directory: JobDirectory, spec: JobSpec, to: Path) -> None:
  """Writes the pickled call to the file `to`, after checking it.

  Raises:
    IntegrityError: it is not the payload that the spec names.
    ConfigError: another Python pickled it.
  """
  _check_python(spec)
  with directory.open_payload() as source:
    _fetch(source, to, spec.payload or "", "the pickled call")


def copy_checked(
  source: BinaryIO, target: BinaryIO, digest: str, what: str
) -> None:
  """Copies what the store holds, and passes if it is what it should be.

  Raises:
    IntegrityError: its sha256 is another one: nothing of it may be used.
  """
  hashed = hashlib.sha256()
  while chunk := source.read(MIB):
    hashed.update(chunk)
    target.write(chunk)
  if hashed.hexdigest() != digest:
    raise errors.IntegrityError(
      f"{what} in the store is not the one that was sent: it was changed on "
      "the way, and nothing of it was used"
    )


def _check_python(spec: JobSpec) -> None:
  """A pickle holds bytecode, which is of one minor version of Python."""
  here, there = platform.python_version(), spec.environment.python
  wanted = there.split(".")[:2]
  if here.split(".")[:2] != wanted:
    # What we have built has the Python of what it was built on.
    option = "base_image=" if spec.image.category else "container_image="
    raise errors.ConfigError(
      f"the job's image has Python {here}, and the call was pickled by Python "
      f"{there}, which no other version can read: name an image that has "
      f"Python {'.'.join(wanted)} with {option}"
    )


def _fetch(source: BinaryIO, to: Path, digest: str, what: str) -> None:
  try:
    with to.open("wb") as target:
      copy_checked(source, target, digest, what)
  except errors.IntegrityError:
    to.unlink()
    raise
