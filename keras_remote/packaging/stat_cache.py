"""What is remembered of the last archive of a folder, so that little is read.

One small file a folder, in two lines: what tells in one look whether anything
changed, under its own digest, and where each file lies in the archive. Readers
never wait: it is replaced whole. Writers take turns by a lock that the system
releases with its holder.
"""

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from keras_remote import clock, errors, home

# Archives of one folder that stay; an older one stays while it may be in use:
# nobody takes longer from packing a project to sending it.
KEEP = 3
IN_USE_S = 3600.0
# After a month without use even the newest goes: its folder may be gone.
_LIFETIMES_S = {
  ".tmp": IN_USE_S,
  **dict.fromkeys((".pyz", ".state", ".zip"), 30 * 24 * 3600.0),
}

# By path: what `stat` said of the file and its record in the zip, in a row.
Table = Mapping[str, list[int]]


@dataclass(frozen=True)
class Last:
  """The newest archive of a folder.

  Attributes:
    signature: digest of what it was made from; empty where a file was too
      young then to be known by its times.
    digest: SHA-256 of the archive.
    size: its bytes.
    files: the files in it.
    modified_ns, inode: of the archive; they tell that nobody touched it since.
    table: SHA-256 of the table that belongs to it.
    recent: digests of the folder's archives in the cache, newest first.
  """

  signature: str
  digest: str
  size: int
  files: int
  modified_ns: int
  inode: int
  table: str
  recent: tuple[str, ...]


class StatCache:
  """The memory of one folder, kept in `cache`, which is made if need be.

  `cache` holds nothing else: what is old in it is removed.

  Every method that writes raises OSError.
  """

  def __init__(self, cache: Path, root: Path, name: str = "{}.zip") -> None:
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    self._cache = cache
    self._name = name
    key = hashlib.sha256(os.fsencode(root / name)).hexdigest()[:16]
    self._state = cache / f"{key}.state"
    self._lock = cache / f"{key}.lock"

  def path(self, digest: str) -> Path:
    """Where the archive with this digest is, or would be."""
    return self._cache / self._name.format(digest)

  def last(self) -> Last | None:
    """The newest archive; None if there is none, or it was touched since."""
    try:
      with open(self._state, "rb") as file:
        last = _unseal(file.readline())
      found = self.path(last.digest).stat()
    except (OSError, ValueError):
      return None
    seen = (found.st_size, found.st_mtime_ns, found.st_ino)
    if seen != (last.size, last.modified_ns, last.inode):
      return None
    for path in self._state, self.path(last.digest):
      _note_use(path)
    return last

  def table(self, last: Last) -> Table:
    """Where each file lies in that archive; empty where that is unknown."""
    try:
      with open(self._state, "rb") as file:
        file.readline()
        line = file.read()
    except OSError:
      return {}
    return json.loads(line) if _sha256(line) == last.table else {}

  @contextlib.contextmanager
  def turn(self) -> Iterator[None]:
    """Holds the folder's lock, among threads and among processes."""
    with contextlib.ExitStack() as stack:
      # A file system without locks still gets whole files, only more work.
      with contextlib.suppress(errors.StoreError):
        stack.enter_context(home.holding(self._lock))
      yield

  @contextlib.contextmanager
  def new_file(self) -> Iterator[IO[bytes]]:
    """A file in the cache that is gone at the end, unless it was moved."""
    with tempfile.NamedTemporaryFile(
      dir=self._cache, suffix=".tmp", delete=False
    ) as file:
      try:
        yield file
      finally:
        Path(file.name).unlink(missing_ok=True)

  def keep(
    self,
    made: IO[bytes],
    digest: str,
    *,
    signature: str,
    files: int = 0,
    table: Table | None = None,
  ) -> Last:
    """Moves what was made in `new_file` to its place and remembers it."""
    made.flush()
    path = self.path(digest)
    # Another folder may have made the same one, and knows it by its inode.
    if _holds(path, digest):
      _note_use(path)
    else:
      os.replace(made.name, path)
    found = path.stat()
    line = json.dumps(table or {}, separators=(",", ":")).encode()
    last = Last(
      signature=signature,
      digest=digest,
      size=found.st_size,
      files=files,
      modified_ns=found.st_mtime_ns,
      inode=found.st_ino,
      table=_sha256(line),
      recent=self._prune(digest),
    )
    with self.new_file() as file:
      file.write(_seal(last) + line)
      file.flush()
      os.replace(file.name, self._state)
    return last

  def _prune(self, digest: str) -> tuple[str, ...]:
    """Removes what is old; the digests that stay, `digest` first."""
    last = self._remembered()
    recent = (digest, *(old for old in last if old != digest))
    prune(self._cache)
    old = (
      d for d in recent[KEEP:] if not _remove_unused(self.path(d), IN_USE_S)
    )
    return (*recent[:KEEP], *old)

  def _remembered(self) -> tuple[str, ...]:
    try:
      with open(self._state, "rb") as file:
        return _unseal(file.readline()).recent
    except (OSError, ValueError):
      return ()


def _seal(last: Last) -> bytes:
  body = json.dumps(asdict(last)).encode()
  return f"{_sha256(body)} ".encode() + body + b"\n"


def _unseal(line: bytes) -> Last:
  """What was sealed; ValueError for anything else."""
  digest, _, body = line.rstrip(b"\n").partition(b" ")
  if digest.decode("ascii", "replace") != _sha256(body):
    raise ValueError("not as it was written")
  fields = json.loads(body)
  fields["recent"] = tuple(fields["recent"])
  return Last(**fields)


def _sha256(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()


def _holds(path: Path, digest: str) -> bool:
  """Whether the file is there and is what its name says."""
  try:
    with open(path, "rb") as file:
      return hashlib.file_digest(file, "sha256").hexdigest() == digest
  except FileNotFoundError:
    return False


def prune(cache: Path, seconds: float = math.inf) -> None:
  """Removes what nobody has used for so long, but in the last hour.

  Whatever is gone is made again when it is needed.
  """
  for path in cache.iterdir() if cache.exists() else ():
    if lifetime := _LIFETIMES_S.get(path.suffix):
      _remove_unused(path, min(lifetime, max(seconds, IN_USE_S)))


def _note_use(path: Path) -> None:
  """Has the time of access say so, also where the system does not keep it."""
  with contextlib.suppress(OSError):
    modified = path.stat().st_mtime_ns
    os.utime(path, ns=(int(clock.now().timestamp() * 1e9), modified))


def _remove_unused(path: Path, seconds: float) -> bool:
  """Removes a file that was made and used longer ago; whether it is gone."""
  try:
    found = path.stat()
    used = max(found.st_atime, found.st_mtime)
    if clock.now().timestamp() - used <= seconds:
      return False
    path.unlink()
  except FileNotFoundError:
    pass
  return True
