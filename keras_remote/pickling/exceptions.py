"""What an exception tells of where it was raised."""

import contextlib
import linecache
import math
import os
import re
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterator
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

from keras_remote.constants import KIB
from keras_remote.job.outcome import Frame
from keras_remote.job.redact import HIDDEN, hide, is_secret_name
from keras_remote.pickling.culprit import type_name

_OURS = re.compile(r"[/\\]keras_remote[/\\](runner|pickling)[/\\]")
_LONGEST_TEXT = 256 * KIB
_LONGEST_MESSAGE = 8 * KIB
_LONGEST_REPR = 80
_MOST_FRAMES = 50
_MOST_LOCALS = 50
_MOST_COUNTED = 10_000_000


class RemoteTraceback(Exception):  # noqa: N818 It is read as a heading.
  """The traceback of another process, shown as the cause of an exception."""

  def __str__(self) -> str:
    return f"\n{self.args[0]}"


def message(exception: BaseException, tell: Callable[[str], str] = str) -> str:
  """What the exception says, even where its `__str__` raises; 8 KiB of it.

  Args:
    tell: a text as people here shall read it, before it is cut short.
  """
  return _said(exception, tell)


def notes(
  exception: BaseException, tell: Callable[[str], str] = str
) -> tuple[str, ...]:
  """What was added with `add_note`, each as `message` tells it."""
  try:
    return tuple(_said(note, tell) for note in exception.__notes__)
  except BaseException:  # There are none; or they may raise anything.
    return ()


def traceback_text(
  exception: BaseException, tell: Callable[[str], str] = str
) -> str:
  """The traceback as Python prints it, without our own frames at its top.

  Args:
    tell: a text as people here shall read it, before it is cut short.
  """
  try:
    text = "".join(_told(exception).format())
  except BaseException:  # A user's class may raise anything.
    return own_text(exception, tell)
  return _shortened(tell(text), _LONGEST_TEXT)


def own_text(exception: BaseException, tell: Callable[[str], str] = str) -> str:
  """The traceback without what the exception is chained to."""
  lines: list[str] = []
  with contextlib.suppress(BaseException):  # Its class may raise anything.
    lines = traceback.format_tb(visible(exception.__traceback__))
  text = "".join(["Traceback (most recent call last):\n", *lines])
  name = type_name(type(exception))
  said = f"{name}: {message(exception, tell)}\n"
  return _shortened(tell(text), _LONGEST_TEXT) + said


def frames(
  exception: BaseException, secrets: Collection[str] = ()
) -> list[Frame]:
  """The user's frames, outermost first; those of libraries left out.

  Args:
    secrets: values that no description may show.
  """
  every = list(traceback.walk_tb(visible(exception.__traceback__)))
  libraries = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")
  )
  own = [
    (frame, line)
    for frame, line in every
    if not frame.f_code.co_filename.startswith((*libraries, "<frozen"))
  ]
  return [
    Frame(
      file=frame.f_code.co_filename,
      line=line,
      function=frame.f_code.co_name,
      source=hide(
        linecache.getline(frame.f_code.co_filename, line).strip(), secrets
      ),
      locals=dict(_locals(frame, secrets)),
    )
    for frame, line in (own or every)[-_MOST_FRAMES:]
  ]


def describe(value: Any, secrets: Collection[str] = ()) -> str:
  """A value in a few words: type, shape, dtype, NaN count; small ones whole.

  Args:
    secrets: what the description may not show, cut short or not.
  """
  kind = type_name(type(value))
  try:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
      return f"{kind} {value.dtype} {tuple(value.shape)}{_nans(value)}"
    if type(value) in (bool, int, float, complex, type(None), str, bytes):
      text = hide(repr(_without(secrets, value)), secrets)
      return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"
    return f"{kind} of {len(value)}"
  except BaseException:  # A user's object may raise anything.
    return kind


def attach(exception: BaseException, text: str) -> None:
  """Shows the remote traceback as the cause of the chain's last exception."""
  seen: set[int] = set()
  last, following = exception, exception
  while following is not None and id(following) not in seen:
    last = following
    seen.add(id(last))
    context = None if last.__suppress_context__ else last.__context__
    following = context if last.__cause__ is None else last.__cause__
  if not isinstance(last, RemoteTraceback):
    # An exception's class may be frozen.
    object.__setattr__(last, "__cause__", RemoteTraceback(text))


def add_note(exception: BaseException, note: str) -> None:
  """Adds a note, as `exception.add_note` does, to frozen classes too."""
  with contextlib.suppress(Exception):  # Its class may raise anything.
    every = [*notes(exception), note]
    object.__setattr__(exception, "__notes__", every)


def visible(walked: TracebackType | None) -> TracebackType | None:
  """The traceback from the user's first frame on."""
  for _ in range(_hidden(walked)):
    walked = walked and walked.tb_next
  return walked


def _told(exception: BaseException) -> traceback.TracebackException:
  told = traceback.TracebackException.from_exception(exception)
  waiting = [(told, exception)]
  seen: set[int] = set()
  while waiting:
    each, raised = waiting.pop()
    if id(each) in seen:
      continue
    seen.add(id(each))
    del each.stack[: _hidden(raised.__traceback__)]
    if each.__cause__ and raised.__cause__ is not None:
      waiting.append((each.__cause__, raised.__cause__))
    if each.__context__ and raised.__context__ is not None:
      waiting.append((each.__context__, raised.__context__))
    if isinstance(raised, BaseExceptionGroup):
      waiting += zip(each.exceptions or (), raised.exceptions, strict=False)
  return told


def _said(value: object, tell: Callable[[str], str]) -> str:
  try:
    return _shortened(tell(str(value)), _LONGEST_MESSAGE)
  except BaseException:  # A user's __str__ may raise anything.
    return "<its __str__ raises>"


def _shortened(text: str, longest: int) -> str:
  """The text; of one that is longer its beginning and its end."""
  if len(text) <= longest:
    return text
  half = longest // 2
  left_out = len(text) - 2 * half
  return f"{text[:half]}\n[… {left_out} characters …]\n{text[-half:]}"


def _hidden(walked: TracebackType | None) -> int:
  """How many frames at the top are ours, and asyncio's under ours."""
  for count, (frame, _) in enumerate(traceback.walk_tb(walked)):
    ours = _OURS.search(frame.f_code.co_filename)
    loop = str(frame.f_globals.get("__name__")).startswith("asyncio.")
    if not ours and not (loop and count):
      return count
  return 0


def _locals(
  frame: FrameType, secrets: Collection[str]
) -> Iterator[tuple[str, str]]:
  shown = [
    (name, value)
    for name, value in frame.f_locals.items()
    if not name.startswith("__")
    # By its type: a proxy may not be asked for its class.
    and not issubclass(type(value), (ModuleType, FunctionType, type))
  ]
  for name, value in shown[:_MOST_LOCALS]:
    if is_secret_name(name):
      yield name, HIDDEN
    else:
      yield name, hide(describe(value, secrets), secrets)


def _without(secrets: Collection[str], value: Any) -> Any:
  """A text or bytes without the secrets, as far as it can be shown."""
  if type(value) is str:
    return hide(value[:_LONGEST_TEXT], secrets)
  if type(value) is bytes:
    return os.fsencode(hide(os.fsdecode(value[:_LONGEST_TEXT]), secrets))
  return value


def _nans(array: Any) -> str:
  """How many NaN there are, for arrays of floats that lie in this process."""
  if not re.search("float|complex", str(array.dtype)):
    return ""
  try:
    local = getattr(array, "is_fully_addressable", True)
    if not local or math.prod(array.shape) > _MOST_COUNTED:
      return ""
    unequal = array != array
    count = int((unequal if hasattr(unequal, "sum") else unequal.numpy()).sum())
  except Exception:  # Such as a traced array of JAX.
    return ""
  return f", {count} NaN" if count else ""
