"""Samples what the worker's main thread is at, from a thread beside it.

It opens no file that the function could close or take for its own: what it
says is the text of a link, which is replaced at once and needs no descriptor.
"""

import contextlib
import dataclasses
import os
import platform
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from keras_remote import errors
from keras_remote.job import wire
from keras_remote.job.doing import At, Doing

# Between two samples.
SECONDS = 2.0
# After these seconds in a function it is where the user's code is.
_SETTLED = 8.0
# Seconds of the processor: who took no more between two samples has slept.
# A step that only waits for its device takes more (seen: 0 in one wait).
_ASLEEP = 0.0005
# What a thread that sleeps in C++ is in, as it was seen of JAX in all its
# waits; time.sleep, sockets and files are in other calls.
_FUTEX = {"x86_64": "202", "aarch64": "98"}.get(platform.machine())
# Where what was installed is: in a path.
_PACKAGES = os.sep + "site-packages" + os.sep
# What code of keras_remote says of its file, in an archive too.
_OURS = (
  os.path.dirname(os.path.dirname((lambda: None).__code__.co_filename)) + os.sep
)
# As many frames of a deep recursion are looked at.
_DEEPEST = 1000
# Characters of a file's and of a function's name.
_LONGEST = 120
# Bytes that every file system lets a link have.
_MOST_BYTES = 1000


@dataclass(frozen=True)
class Frame:
  """One frame of a stack, apart from what would keep it alive."""

  file: str
  function: str
  line: int
  instruction: int


# Outermost first.
Stack = Sequence[Frame]


class Sampler:
  """Says what a thread is at, sample by sample.

  Args:
    roots: folders of the user's, which are left out of places.
    futex: whether the thread sleeps on a futex; None where nobody knows.
    packages: the folders of JAX, once it is loaded.
  """

  def __init__(
    self,
    roots: Sequence[str],
    futex: Callable[[], bool | None],
    packages: Callable[[], tuple[str, ...]],
  ) -> None:
    self._roots = tuple(os.path.join(root, "") for root in roots if root)
    paths = sysconfig.get_paths()
    standard = (paths["stdlib"] + os.sep, paths["platstdlib"] + os.sep)
    self._standard = (*standard, _OURS, "<frozen ")
    self._futex = futex
    self._packages = packages
    self._stack: Stack = ()
    # Of each frame: since when it is where it is, and in its function at all.
    self._there: list[float] = []
    self._within: list[float] = []
    self._used = 0.0
    # When it was last seen to do something.
    self._awake = 0.0
    self._at: At | None = None
    self._began = 0.0
    self._count = 0

  def sample(self, stack: Stack, used: float, now: float) -> Doing:
    """What the thread is at.

    Args:
      used: seconds of the processor that it has taken so far.
      now: seconds on any clock that goes on.
    """
    before = self._stack
    whole = before == stack
    asleep = whole and used - self._used < _ASLEEP
    if not asleep:
      self._awake = now
    _renew(self._there, _common(before, stack), len(stack), now)
    functions = _common(_functions(before), _functions(stack))
    _renew(self._within, functions, len(stack), now)
    self._stack, self._used = stack, used
    at = self._what(stack, asleep=asleep)
    if at is not self._at:
      self._began = self._awake if at is At.WAITS else now
    self._at = at
    self._count += 1
    doing = Doing(at, seconds=round(now - self._began, 1), count=self._count)
    return self._placed(doing, now)

  def _what(self, stack: Stack, *, asleep: bool) -> At:
    packages = self._packages()
    within = [
      frame.file.replace(os.sep, "/")
      for frame in stack
      if packages and frame.file.startswith(packages)
    ]
    inmost = stack[-1].file if stack else ""
    in_jax = bool(packages) and inmost.startswith(packages)
    if in_jax and any(f.endswith("jax/_src/distributed.py") for f in within):
      return At.JOINS
    if in_jax and any(f.endswith("jax/_src/compiler.py") for f in within):
      return At.COMPILES
    if not (stack and asleep and packages):
      return At.RUNS
    futex = self._futex()
    if in_jax:
      return At.RUNS if futex is False else At.WAITS
    # A compiled function that is called has no frame of its own. What the
    # standard library sleeps on is a lock of Python's.
    return At.WAITS if futex and not self._is_standard(inmost) else At.RUNS

  def _placed(self, doing: Doing, now: float) -> Doing:
    """The same, with where the user's code is.

    That is the innermost function that it has been in for a while: what is
    within a loop changes with each sample.
    """
    theirs = [
      index
      for index, frame in enumerate(self._stack)
      if not self._is_library(frame.file)
    ]
    if not theirs:
      return doing
    settled = [i for i in theirs if now - self._within[i] >= _SETTLED]
    index = (settled or theirs)[-1]
    frame, there = self._stack[index], now - self._there[index]
    moves = bool(settled) and there < _SETTLED
    file = self._known_as(frame.file)
    return dataclasses.replace(
      doing,
      place=file if moves else f"{file}:{frame.line}",
      function=frame.function[:_LONGEST],
      still=round(now - self._within[index] if moves else there, 1),
    )

  def _is_library(self, file: str) -> bool:
    return _PACKAGES in file or self._is_standard(file)

  def _is_standard(self, file: str) -> bool:
    return (
      file.startswith(self._standard)
      and _PACKAGES not in file
      and not file.startswith(self._roots)
    )

  def _known_as(self, file: str) -> str:
    for root in self._roots:
      file = file.removeprefix(root)
    return file[-_LONGEST:]


def _functions(stack: Stack) -> list[tuple[str, str]]:
  return [(frame.file, frame.function) for frame in stack]


def _common(before: Sequence[object], after: Sequence[object]) -> int:
  """How many of the outermost are the same."""
  pairs = enumerate(zip(before, after, strict=False))
  differ = (index for index, (old, new) in pairs if old != new)
  return next(differ, min(len(before), len(after)))


def _renew(times: list[float], kept: int, length: int, now: float) -> None:
  times[kept:] = [now] * (length - kept)


class Sampling:
  """Samples this process's main thread until the function has returned.

  Args:
    path: of the link whose text is replaced at every sample.
  """

  def __init__(self, path: str, roots: Sequence[str]) -> None:
    self._path = path
    main = threading.main_thread()
    assert main.ident is not None
    self._main = main.ident
    thread = f"/proc/self/task/{main.native_id}"
    self._sampler = Sampler(roots, lambda: _on_futex(f"{thread}/syscall"), _jax)
    self._clock: int | None = None
    with contextlib.suppress(AttributeError, OSError):
      self._clock = time.pthread_getcpuclockid(self._main)
    self._last = Doing(At.RUNS)
    self._over = threading.Event()
    self._thread = threading.Thread(
      target=self._run, name="sampling", daemon=True
    )
    self._thread.start()

  def returned(self) -> None:
    """Says that the function has returned, and ends."""
    self._over.set()

  def _run(self) -> None:
    while not self._over.wait(SECONDS):
      # Nothing here may show in the function's own output.
      with contextlib.suppress(Exception):
        self._last = self._sample()
        say(self._path, self._last)
    with contextlib.suppress(Exception):
      say(self._path, Doing(At.RETURNED, count=self._last.count + 1))

  def _sample(self) -> Doing:
    used = time.clock_gettime(self._clock) if self._clock is not None else 0.0
    stack = _stack(sys._current_frames().get(self._main))
    return self._sampler.sample(stack, used, time.monotonic())


def _stack(frame: FrameType | None) -> Stack:
  frames: list[Frame] = []
  while frame is not None and len(frames) < _DEEPEST:
    code = frame.f_code
    frames.append(
      Frame(code.co_filename, code.co_name, frame.f_lineno or 0, frame.f_lasti)
    )
    frame = frame.f_back
  frames.reverse()
  return frames


def _on_futex(path: str) -> bool | None:
  """Whether the thread sleeps on a futex; None where nobody knows."""
  if _FUTEX is None:
    return None
  try:
    return Path(path).read_text().split()[0] == _FUTEX
  except (OSError, IndexError):
    return None


def _jax() -> tuple[str, ...]:
  files = (
    getattr(sys.modules.get(name), "__file__", None)
    for name in ("jax", "jaxlib")
  )
  return tuple(os.path.dirname(file) + os.sep for file in files if file)


def say(path: str, doing: Doing) -> None:
  """Makes the link's text what is said.

  Raises:
    OSError: there can be no such link.
  """
  text = wire.encode(doing)
  if len(text) > _MOST_BYTES:
    text = wire.encode(dataclasses.replace(doing, place="", function=""))
  new = f"{path}.new"
  with contextlib.suppress(FileNotFoundError):
    os.unlink(new)
  os.symlink(text, new)
  os.replace(new, path)


def read(path: Path) -> Doing | None:
  """What was said last; None where nothing was."""
  try:
    return wire.decode(Doing, os.readlink(os.fsencode(path)), str(path))
  except (OSError, errors.KerasRemoteError):
    return None
