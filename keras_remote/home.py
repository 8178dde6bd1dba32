"""The home folder: its places, its file modes, what is remembered for a day.

Everything in it is this user's alone: folders 0700, files 0600.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import stat
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_remote import clock, constants, errors

DAY = 24 * 60 * 60
KEY_BYTES = 32
# What is remembered of images: those by digest are in their registry; and of
# clusters, where they answer.
IMAGES, ENDPOINTS = "images", "endpoint"
IGNORE_FILE = ".gitignore"
# Behind the standard streams.
_FIRST = 3
# Descriptors of the locks that this process holds.
_locks: set[int] = set()


def home(environ: Mapping[str, str] | None = None) -> Path:
  """The absolute path of $KERAS_REMOTE_HOME, by default ~/.keras_remote.

  Raises:
    ConfigError: the variable is set but empty, or `~` leads nowhere.
  """
  environ = os.environ if environ is None else environ
  text = environ.get(constants.HOME_VARIABLE, "~/.keras_remote")
  if not text.strip():
    raise errors.ConfigError(
      f"{constants.HOME_VARIABLE} is set but empty: unset it or name a folder"
    )
  expanded = os.path.expanduser(text)
  if expanded.startswith("~"):
    raise errors.ConfigError(
      f"{text}: no such home directory here: set {constants.HOME_VARIABLE}"
      " to a folder"
    )
  return Path(os.path.abspath(expanded))


def check_private(folder: Path) -> None:
  """Refuses a folder that another user can change; an absent one passes.

  Raises:
    StoreError: it belongs to somebody else, or its mode lets others write.
  """
  with _translated(folder), contextlib.suppress(FileNotFoundError):
    status = folder.stat()
    _check_owner(folder, status)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      raise errors.StoreError(
        f"{folder}: other users can write here (mode"
        f" {stat.S_IMODE(status.st_mode):04o}): chmod go-w {folder}"
      )


def ensure(folder: Path) -> Path:
  """The folder itself, made (0700, its parents too) where it is missing.

  Raises:
    StoreError: it cannot be made, or other users can write to it.
  """
  with _translated(folder):
    try:
      folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
      ensure(folder.parent)
      folder.mkdir(mode=0o700, exist_ok=True)
  check_private(folder)
  return folder


def ensure_apart(folder: Path) -> Path:
  """As `ensure`; a new or empty one stays out of repositories and projects.

  As other tools do with their caches: it gets a .gitignore of its own.

  Raises:
    StoreError: it cannot be made, or other users can write to it.
  """
  ensure(folder)
  with _translated(folder):
    empty = not any(folder.iterdir())
  if empty:
    write_private(folder / IGNORE_FILE, b"*\n")
  return folder


def lock(path: Path, *, shared: bool = False) -> int:
  """A descriptor that holds the file's lock until `unlock`.

  Children that it is passed on to hold the lock too, for it is none of 0 to
  2, which they get anew; a fork does not.

  Args:
    shared: with others that hold it so.
  """
  _register_at_fork()
  opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
  try:
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST)
  finally:
    os.close(opened)
  _locks.add(descriptor)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
  except BaseException:
    unlock(descriptor)
    raise
  return descriptor


def unlock(descriptor: int) -> None:
  """Closes what `lock` gave; in a child that was forked since it is closed."""
  if descriptor in _locks:
    _locks.discard(descriptor)
    os.close(descriptor)


@contextlib.contextmanager
def holding(path: Path, *, shared: bool = False) -> Generator[None]:
  """Holds the file's lock until the block ends.

  Raises:
    StoreError: there cannot be one.
  """
  with _translated(path):
    descriptor = lock(path, shared=shared)
  try:
    yield
  finally:
    unlock(descriptor)


@functools.cache
def _register_at_fork() -> None:
  os.register_at_fork(after_in_child=_leave_locks)


def _leave_locks() -> None:
  """In a forked child: it must not hold what its parent lets go or dies with.

  A lock is only closed there: to unlock it would unlock the parent's.
  """
  while _locks:
    os.close(_locks.pop())


def locked(path: Path) -> bool:
  """Whether a living process holds the file's lock.

  Raises:
    StoreError: it cannot be looked at: nothing is known of the process.
  """
  try:
    descriptor = os.open(path, os.O_RDONLY)
  except FileNotFoundError:
    return False
  except OSError as error:
    raise errors.StoreError(
      f"cannot look at {path}: {error.strerror}"
    ) from error
  try:
    # Shared: two that look must not take each other for the holder.
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except BlockingIOError:
    return True
  finally:
    os.close(descriptor)
  return False


def write_private(path: Path, data: bytes) -> None:
  """Writes the file whole or not at all, 0600, over whatever is there.

  Raises:
    StoreError: the folder is missing, full or refuses.
  """
  with _translated(path), _temporary(path, data) as temporary:
    os.replace(temporary, path)


@dataclass(frozen=True)
class Home:
  """The named places of a home folder; none need exist yet."""

  path: Path

  @property
  def config(self) -> Path:
    """Profiles and their settings, as TOML."""
    return self.path / "config.toml"

  @property
  def key(self) -> Path:
    """The cluster key of the local backend."""
    return self.path / "key"

  @property
  def cache(self) -> Path:
    """What can be made again: nothing here is missed."""
    return self.path / "cache"

  @property
  def local(self) -> Path:
    """The local backend's allocations."""
    return self.path / "local"

  @property
  def preparing(self) -> Path:
    """One file a job that was submitted lately, locked until it is."""
    return self.path / "preparing"

  @property
  def sharing(self) -> Path:
    """Locked by who finds a context in a store, and by who removes some."""
    return self.path / "sharing"

  def prepares(self, job_id: str) -> bool:
    """Whether a living process of this home still submits the job.

    Raises:
      StoreError: that cannot be looked at.
    """
    return locked(self.preparing / job_id)

  def has_prepared(self, job_id: str) -> bool:
    """Whether a process of this home was at submitting the job, lately."""
    return (self.preparing / job_id).exists()

  def sweep_preparing(self) -> None:
    """Removes what submitters left, after a day."""
    oldest = clock.now().timestamp() - DAY
    for path in self.preparing.glob("*"):
      # It may be gone: another process may be sweeping too.
      with contextlib.suppress(OSError):
        if path.stat().st_mtime < oldest and not locked(path):
          path.unlink()

  def remember(self, kind: str, key: str, data: bytes = b"") -> None:
    """Notes that `key` was seen just now, and what was found there.

    Raises:
      StoreError: the home cannot be written, or others can write to it.
    """
    ensure_apart(self.path)
    note = self._note(kind, key)
    ensure(note.parent)
    write_private(note, data)

  def remembered(self, kind: str, key: str, max_age: float = DAY) -> bool:
    """Whether `key` was seen within the last `max_age` seconds.

    Raises:
      StoreError: other users can write to the home.
    """
    check_private(self.path)
    try:
      seen = self._note(kind, key).stat().st_mtime
    except OSError:
      return False
    return 0 <= clock.now().timestamp() - seen < max_age

  def recall(self, kind: str, key: str) -> bytes | None:
    """What was noted of `key` within the last day, or None.

    Raises:
      StoreError: other users can write to the home.
    """
    if self.remembered(kind, key):
      with contextlib.suppress(OSError):  # Another process may forget it.
        return self._note(kind, key).read_bytes()
    return None

  def forget(self, kind: str, key: str) -> None:
    """Takes a note away: what it says has turned out to be gone."""
    with contextlib.suppress(OSError):
      self._note(kind, key).unlink()

  def forget_all(self, kind: str) -> None:
    """Takes every note of a kind away; what they say is looked for anew."""
    with contextlib.suppress(OSError):
      for note in (self.cache / kind).iterdir():
        if not locked(note):
          note.unlink()

  def _note(self, kind: str, key: str) -> Path:
    return self.cache / kind / hashlib.sha256(key.encode()).hexdigest()


def cluster_key(home: Home) -> bytes:
  """The 32 bytes that sign local jobs; the first caller of all makes them.

  Raises:
    StoreError: other users may read the key or write beside it, or it was
      cut short.
  """
  ensure_apart(home.path)
  with _translated(home.key):
    if not home.key.exists():
      _create_once(home.key, os.urandom(KEY_BYTES))
    with home.key.open("rb") as file:
      status = os.fstat(file.fileno())
      key = file.read()
  _check_owner(home.key, status)
  if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
    raise errors.StoreError(
      f"{home.key}: other users may read this key (mode"
      f" {stat.S_IMODE(status.st_mode):04o}): chmod 600 {home.key}"
    )
  if len(key) != KEY_BYTES:
    raise errors.StoreError(
      f"{home.key}: {len(key)} bytes are no key: delete the file; results"
      " that were signed with it can then no longer be checked"
    )
  return key


def machine_id(home: Home, of_system: Path = Path("/etc/machine-id")) -> str:
  """A name of this machine that stays when its host name changes.

  By the system's own id, which is not shown; where it has none, by one that
  this home keeps.

  Raises:
    StoreError: the home cannot be written.
  """
  try:
    text = of_system.read_text().strip()
  except OSError:
    text = ""
  if not text:
    path = ensure_apart(home.path) / "machine"
    with _translated(path):
      if not path.exists():
        _create_once(path, os.urandom(KEY_BYTES).hex().encode())
      text = path.read_text()
  return hashlib.sha256(f"keras_remote {text}".encode()).hexdigest()[:12]


def _create_once(path: Path, data: bytes) -> None:
  """A link appears whole and once, whoever dies or races here."""
  with (
    _temporary(path, data) as temporary,
    contextlib.suppress(FileExistsError),
  ):
    os.link(temporary, path)


def _check_owner(path: Path, status: os.stat_result) -> None:
  if status.st_uid not in (os.geteuid(), 0):
    raise errors.StoreError(
      f"{path}: belongs to another user (uid {status.st_uid}):"
      f" sudo chown {os.geteuid()} {path}, or set"
      f" {constants.HOME_VARIABLE} to a folder of yours"
    )


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Generator[Path]:
  """A synced 0600 file beside `path`; gone, if still there, at the end."""
  temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
  try:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    yield temporary
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _translated(path: Path) -> Generator[None]:
  try:
    yield
  except OSError as error:
    raise errors.StoreError(
      f"{path}: {error.strerror}: make room or take the right to write"
      f" there, or set {constants.HOME_VARIABLE} to another folder"
    ) from error
