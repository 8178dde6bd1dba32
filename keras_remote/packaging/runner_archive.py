"""The runner as one file that any Python of this minor version starts.

Beside each source that a start may load lies its bytecode, which needs no check
and no compiling: the imports take 60 ms so, 95 without. The sources stay for
tracebacks, and for a Python of another version. What sends jobs is loaded by
functions that ask for jobs, so it has no bytecode: that would be a quarter of
all, and there is an end to what a ConfigMap holds.
"""

import hashlib
import importlib.util
import marshal
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keras_remote.constants import MIB
from keras_remote.errors import PackagingError
from keras_remote.job.launch import (
  JOB_ID_VARIABLE,
  LAST_WORDS_VARIABLE,
  RELEASE_VARIABLE,
  SHOWN,
)
from keras_remote.packaging.stat_cache import StatCache

MAX_BYTES = 1 * MIB

_PACKAGE = Path(__file__).resolve().parent.parent
_BUNDLED = ("cloudpickle",)
# Rooms that only send jobs.
_SENDING = tuple(
  f"{_PACKAGE.name}/{room}/" for room in ("backend", "images", "packaging")
)
# In words that Python has known for long: an older one may read them.
_MAIN = f"""\
import os
import sys

if __name__ == "__main__":
  if sys.version_info < (3, 11):
    words = (
      "the job's image has Python %d.%d, and keras_remote takes 3.11 or newer: "
      "name an image that has your own Python's version with base_image= or "
      "container_image="
      % sys.version_info[:2]
    )
    with open(os.environ["{LAST_WORDS_VARIABLE}"], "w") as file:
      file.write(words)
    release = os.environ.get("{RELEASE_VARIABLE}")
    if release:
      # Whoever starts it again would do so for ever: it frees the machines.
      sys.stderr.write(words + "\\n")
      sys.path.append(os.path.join(sys.path[0], "keras_remote", "runner"))
      import deleting
      job_id = os.environ["{JOB_ID_VARIABLE}"]
      deleting.free(os.environ, release, job_id, {SHOWN:g})
    sys.exit(words)
  from keras_remote.runner.boot import boot

  sys.exit(boot())
""".encode()
# Format 2 holds no references, whose place depends on what else is loaded.
_MARSHAL_VERSION = 2
_UNCHECKED = (0b01).to_bytes(4, "little")  # PEP 552: by hash, never compared
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
  """The packed runner.

  Attributes:
    path: the .pyz.
    digest: its SHA-256, in hex.
    size: its bytes, at most 1 MiB: what a ConfigMap holds.
  """

  path: Path
  digest: str
  size: int


def runner_archive(cache: Path) -> Archive:
  """The runner, kept under `cache` as `runner-<digest>.pyz`.

  Holds keras_remote without `cli/` and tests, and cloudpickle. The same
  sources and the same minor version of Python give the same digest.

  Raises:
    PackagingError: it is over 1 MiB, cloudpickle is not installed, or
      `cache` cannot be written.
  """
  try:
    sources = dict(_sources())
    signature = _signature(sources)
    memory = StatCache(cache, _PACKAGE, "runner-{}.pyz")
    last = memory.last()
    if last is None or last.signature != signature:
      with memory.turn(), memory.new_file() as made:
        last = memory.last()  # Another process may have made it by now.
        if last is None or last.signature != signature:
          digest = write_archive(made, sources)
          last = memory.keep(made, digest, signature=signature)
  except OSError as error:
    raise PackagingError(
      f"the runner cannot be packed in {cache} ({error.strerror}); make room"
      " and see that you may write there, or set KERAS_REMOTE_HOME to another"
      " folder"
    ) from error
  if last.size > MAX_BYTES:
    raise PackagingError(
      f"the runner is {last.size:,} bytes, over {MAX_BYTES:,}: this"
      " installation of keras-remote holds files of others; install it anew"
    )
  return Archive(memory.path(last.digest), last.digest, last.size)


def write_archive(file: IO[bytes], sources: Mapping[str, Path]) -> str:
  """Writes modules, most with their bytecode; gives the SHA-256 of what it wrote.

  `sources` has each file by its name in the archive.
  """
  with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, path in sorted(sources.items()):
      compiled = not name.startswith(_SENDING)
      _add(archive, name, path.read_bytes(), compiled=compiled)
    _add(archive, "__main__.py", _MAIN)
  file.seek(0)
  return hashlib.sha256(file.read()).hexdigest()


def _add(
  archive: zipfile.ZipFile, name: str, source: bytes, *, compiled: bool = True
) -> None:
  entries = [(name, source)]
  if compiled:
    entries.append((f"{name}c", _bytecode(name, source)))
  for entry, content in entries:
    info = zipfile.ZipInfo(entry, _DATE)
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_DEFLATED)


def _bytecode(name: str, source: bytes) -> bytes:
  # The name on the code is of no file, so its lines come from the archive.
  code = compile(source, f"keras-remote.pyz/{name}", "exec", dont_inherit=True)
  return b"".join(
    (
      importlib.util.MAGIC_NUMBER,
      _UNCHECKED,
      importlib.util.source_hash(source),
      marshal.dumps(code, _MARSHAL_VERSION),
    )
  )


def _sources() -> Iterator[tuple[str, Path]]:
  """The files that go into the runner, by their names there."""
  packages = [_PACKAGE]
  for name in _BUNDLED:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
      raise PackagingError(
        f"{name} is not installed, and the runner needs it; type"
        f" `pip install {name}`"
      )
    packages.append(Path(spec.submodule_search_locations[0]))
  for package in packages:
    for folder, folders, files in os.walk(package):
      if Path(folder) == _PACKAGE:
        folders[:] = (name for name in folders if name != "cli")
      inside = Path(folder).relative_to(package.parent).as_posix()
      for file in files:
        if file.endswith(".py") and not file.endswith("_test.py"):
          yield f"{inside}/{file}", Path(folder, file)


def _signature(sources: Mapping[str, Path]) -> str:
  """A digest that changes with any source's stat and with the interpreter."""
  digest = hashlib.sha256(importlib.util.MAGIC_NUMBER + _MAIN)
  for name, path in sorted(sources.items()):
    found = path.stat()
    times = (found.st_mtime_ns, found.st_ctime_ns)
    digest.update(f"{name} {found.st_size} {found.st_ino} {times}\n".encode())
  return digest.hexdigest()
