"""What an exception tells of where it was raised."""

import linecache
import math
import re
import sysconfig
import traceback
from collections.abc import Collection, Iterator
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


def message(exception: BaseException) -> str:
  """What the exception says, even where its `__str__` raises; 8 KiB of it."""
  try:
    return shortened(str(exception))
  except Exception:  # A user's __str__ may raise anything.
    return "<its __str__ raises>"


def shortened(text: str, longest: int = _LONGEST_MESSAGE) -> str:
  """The text; of one that is longer its beginning and its end."""
  if len(text) <= longest:
    return text
  half = longest // 2
  left_out = len(text) - 2 * half
  return f"{text[:half]}\n[… {left_out} characters …]\n{text[-half:]}"


def traceback_text(exception: BaseException) -> str:
  """The traceback as Python prints it, without our own frames at its top."""
  told = traceback.TracebackException.from_exception(exception)
  waiting = [(told, exception)]
  seen: set[int] = set()
  while waiting:
    each, raised = waiting.pop()
    if id(each) in seen:
      continue
    seen.add(id(each))
    del each.stack[: _hidden(raised.__traceback__)]
    if each.__cause__ and raised.__cause__:
      waiting.append((each.__cause__, raised.__cause__))
    if each.__context__ and raised.__context__:
      waiting.append((each.__context__, raised.__context__))
    if isinstance(raised, BaseExceptionGroup):
      waiting += zip(each.exceptions or (), raised.exceptions, strict=False)
  return shortened("".join(told.format()), _LONGEST_TEXT)


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


def describe(value: Any) -> str:
  """A value in a few words: type, shape, dtype, NaN count; small ones whole."""
  kind = type_name(type(value))
  try:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
      return f"{kind} {value.dtype} {tuple(value.shape)}{_nans(value)}"
    if type(value) in (bool, int, float, complex, type(None), str, bytes):
      text = repr(value)
      return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"
    return f"{kind} of {len(value)}"
  except Exception:  # A user's object may raise anything.
    return kind


def attach(exception: BaseException, text: str) -> None:
  """Shows the remote traceback as the cause of the chain's last exception."""
  seen: set[int] = set()
  last = exception
  while id(last) not in seen:
    seen.add(id(last))
    context = None if last.__suppress_context__ else last.__context__
    last = last.__cause__ or context or last
  if not isinstance(last, RemoteTraceback):
    # An exception's class may be frozen.
    object.__setattr__(last, "__cause__", RemoteTraceback(text))


def visible(walked: TracebackType | None) -> TracebackType | None:
  """The traceback from the user's first frame on."""
  for _ in range(_hidden(walked)):
    walked = walked and walked.tb_next
  return walked


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
    and not isinstance(value, ModuleType | FunctionType | type)
  ]
  for name, value in shown[:_MOST_LOCALS]:
    if is_secret_name(name):
      yield name, HIDDEN
    else:
      # Before it is cut short, too: a part of a secret would not be found.
      whole = hide(value, secrets) if type(value) is str else value
      yield name, hide(describe(whole), secrets)


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
