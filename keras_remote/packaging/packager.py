"""The project as a zip that is the same for the same tree."""

import contextlib
import hashlib
import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keras_remote import clock
from keras_remote.errors import PackagingError
from keras_remote.packaging.archive import Record, ZipWriter
from keras_remote.packaging.ignore import OWN_RULES
from keras_remote.packaging.scan import Stat, scan
from keras_remote.packaging.stat_cache import Last, StatCache
from keras_remote.progress import Report, Step, silent

MAX_BYTES = 500_000_000

# A file this young may change again and keep its times: file systems stamp in
# steps, up to 2 s on FAT.
_YOUNG_S = 2.0
_ROOT_MARKS = ("pyproject.toml", "setup.py", ".git")
_LARGEST_SHOWN = 6
_REPORT_EVERY = 256


@dataclass(frozen=True)
class Context:
  """A packed project.

  Attributes:
    path: the zip; it stays for an hour after its last use.
    digest: SHA-256 of the zip, in hex.
    size: bytes of the zip.
    files: the files in it.
  """

  path: Path
  digest: str
  size: int
  files: int


def find_root(start: Path) -> Path:
  """The nearest folder from `start` up that holds a project, else `start`."""
  start = start.resolve()
  for folder in (start, *start.parents):
    if any((folder / mark).exists() for mark in _ROOT_MARKS):
      return folder
  return start


def check_root(root: Path) -> None:
  """Raises PackagingError where `root` is no folder that can be a project."""
  resolved = root.resolve()
  cure = "name your project's folder with working_dir= or --working-dir"
  if not resolved.exists():
    raise PackagingError(f"the working directory {root} is not there; {cure}")
  if not resolved.is_dir():
    raise PackagingError(f"the working directory {root} is a file; {cure}")
  home = _home()
  if resolved == Path(resolved.anchor):
    raise PackagingError(f"the working directory is {resolved}; {cure}")
  if home and (resolved == home or resolved in home.parents):
    raise PackagingError(
      f"the working directory {root} holds your whole home directory; {cure},"
      " or run from it"
    )


def zip_working_dir(
  root: Path, cache: Path, report: Report = silent
) -> Context:
  """What travels of the project, zipped under `cache` as `<digest>.zip`.

  `cache` is a folder for this alone: what is old in it is removed. The same
  tree gives the same digest, whatever its times, owners and order; of
  modes only the owner's right to execute counts. Files that did not change
  since the last call are not read again.

  Raises:
    PackagingError: the folder cannot be a project, a link leaves it, something
      in it cannot be read, it is over 500 MB after ignoring, or `cache` cannot
      be written.
  """
  check_root(root)
  root = root.resolve()
  settled_ns = (clock.now().timestamp() - _YOUNG_S) * 1e9
  tree = scan(root, report)
  _check_size(root, tree)
  signature = _signature(tree)
  try:
    memory = StatCache(cache, root)
    last = memory.last()
    if last is None or last.signature != signature:
      with memory.turn():
        last = memory.last()  # Another process may have packed it by now.
        if last is None or last.signature != signature:
          last = _pack(root, tree, memory, last, settled_ns, report)
  except OSError as error:
    raise PackagingError(
      f"the project cannot be packed in {cache} ({error.strerror}); make room"
      " and see that you may write there, or set KERAS_REMOTE_HOME to another"
      " folder"
    ) from error
  return Context(memory.path(last.digest), last.digest, last.size, last.files)


def _pack(
  root: Path,
  tree: Mapping[str, Stat],
  memory: StatCache,
  last: Last | None,
  settled_ns: float,
  report: Report,
) -> Last:
  """Zips the tree; what is as it was in the last zip is taken from there."""
  known = memory.table(last) if last else {}
  table: dict[str, list[int]] = {}
  files = 0
  with contextlib.ExitStack() as stack:
    made = stack.enter_context(memory.new_file())
    old = made
    if last and known:
      old = stack.enter_context(open(memory.path(last.digest), "rb"))
    writer = ZipWriter(made)
    for done, (path, status) in enumerate(tree.items()):
      if done % _REPORT_EVERY == 0:
        report(Step("packing the project", done, len(tree), "files"))
      executable = bool(status[-1] & stat.S_IXUSR)
      row = known.get(path, [])
      if tuple(row[: len(status)]) == status:
        record = Record(*row[len(status) :])
        record = writer.copy(path, old, record, executable=executable)
      elif source := _open(root, path, status):
        with source:
          record = writer.add(path, source, executable=executable)
      else:
        continue
      files += not path.endswith("/")
      if status[1] < settled_ns:
        table[path] = [*status, *record]
    settled = all(status[1] < settled_ns for status in tree.values())
    return memory.keep(
      made,
      writer.finish(),
      signature=_signature(tree) if settled else "",
      files=files,
      table=table,
    )


def _signature(tree: Mapping[str, Stat]) -> str:
  return hashlib.sha256(repr(tree).encode()).hexdigest()


def _open(root: Path, path: str, status: Stat) -> BinaryIO | None:
  """The file to pack; None if it went away since the scan."""
  if path.endswith("/"):
    return io.BytesIO()
  place = f"{root}/{path}"
  try:
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise PackagingError(
      f"{place} cannot be read ({error.strerror}); make it readable, or"
      f" keep it back by a rule '{path}' in {OWN_RULES}"
    ) from error
  found = os.fstat(descriptor)
  regular = stat.S_ISREG(found.st_mode)
  # Another file may have taken its place, but no link, which leads anywhere.
  linked = found.st_ino != status[3] and os.path.realpath(place) != place
  if regular and not linked:
    return os.fdopen(descriptor, "rb")
  os.close(descriptor)
  if linked:
    raise PackagingError(
      f"{place} was replaced by a symlink while the project was packed; call"
      " again"
    )
  return None


def _check_size(root: Path, tree: Mapping[str, Stat]) -> None:
  """Raises PackagingError, naming what weighs most, over the limit."""
  total = sum(status[0] for status in tree.values())
  if total <= MAX_BYTES:
    return
  largest = _largest((path, status[0]) for path, status in tree.items())
  raise PackagingError(
    f"the project {root} is {_megabytes(total)} after ignoring, over the limit"
    f" of {_megabytes(MAX_BYTES)}; the largest: {_shown(largest)}. Keep what the function"
    f" does not need back by rules in {OWN_RULES}, such as '{largest[0][0]}'"
  )


def heaviest(archive: Path) -> str:
  """What weighs most in a packed project, for people."""
  with zipfile.ZipFile(archive) as packed:
    return _shown(
      _largest(
        (entry.filename, entry.compress_size) for entry in packed.filelist
      )
    )


def _largest(sizes: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
  """The largest files, and folders at the top, of all these files."""
  weights: Counter[str] = Counter()
  for path, size in sizes:
    weights[path] += size
    top, slash, _ = path.partition("/")
    if slash:
      weights[f"{top}/"] += size
  return weights.most_common(_LARGEST_SHOWN)


def _shown(sizes: Iterable[tuple[str, int]]) -> str:
  shown = ((path, _megabytes(size)) for path, size in sizes)
  return ", ".join(f"{path} {size}" for path, size in shown if size != "0 MB")


def _megabytes(size: int) -> str:
  return f"{size / 1e6:,.0f} MB"


def _home() -> Path | None:
  try:
    return Path.home().resolve()
  except RuntimeError:
    return None
