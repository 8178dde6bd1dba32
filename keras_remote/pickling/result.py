"""How a call ended, as one pickle: its value, or the exception it raised."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

from keras_remote.errors import JobError, PackagingError
from keras_remote.pickling.chain import Link, links, restored
from keras_remote.pickling.culprit import culprit, type_name
from keras_remote.pickling.exceptions import attach, message, traceback_text
from keras_remote.pickling.pickler import Pickler, Saved, Unpickler, failure

_CURE = "Return plain values made of it: numbers, text, arrays."


@dataclass(frozen=True)
class Result:
  """How a call ended.

  Attributes:
    success: it returned.
    value: what it returned.
    exception: what it raised, with tracebacks and all that it is chained to.
    traceback: the remote traceback as text.
    raised_at: the remote traceback; the exception's own grows when raised.
  """

  success: bool
  value: Any
  exception: BaseException | None
  traceback: str
  raised_at: TracebackType | None = None


def save_result(value: object, stream: BinaryIO) -> Saved:
  """Streams what the function returned.

  Raises:
    PackagingError: something in it cannot be pickled; says what and where.
  """
  outcome = {"success": True, "result": value, "traceback": ""}
  try:
    return Pickler(stream).save(outcome)
  except Exception as error:  # A user's __reduce__ may raise anything.
    found = culprit(iter([("result", value)]), failure, _CURE)
    if found is None:
      raise
    raise PackagingError(f"The result cannot be sent back: {found}") from error


def save_exception(
  exception: BaseException,
  stream: BinaryIO,
  tell: Callable[[str], str] = str,
) -> Saved:
  """Streams what the function raised, whatever it is.

  Args:
    tell: a text as people here shall read it; the exceptions themselves,
      which are pickled, it does not touch.
  """
  return Pickler(stream).save(
    {
      "success": False,
      "exception": _Chain(links(exception, tell)),
      "traceback": traceback_text(exception, tell),
    }
  )


def load_result(stream: BinaryIO) -> Result:
  """How the call ended.

  What was raised and cannot be made again here, such as for a class that
  cannot be imported, is a RemoteError.

  Raises:
    PackagingError: the value cannot be unpickled here.
  """
  try:
    outcome = Unpickler(stream).load()
  except (Exception, SystemExit) as error:  # A user's class may do anything.
    said = f"{type_name(type(error))}: {message(error)}"
    raise PackagingError(
      f"The result cannot be read here: {said}. Install here what its classes "
      "come from, or return plain data."
    ) from error
  exception = outcome.get("exception")
  return Result(
    success=outcome["success"],
    value=outcome.get("result"),
    exception=exception,
    traceback=outcome["traceback"],
    raised_at=None if exception is None else exception.__traceback__,
  )


def raise_here(result: Result, job_id: str) -> NoReturn:
  """Raises what the function raised, the remote traceback as its last cause.

  Raises:
    BaseException: the user's exception as itself.
    RemoteError: it cannot be itself here; or it was SystemExit,
      KeyboardInterrupt or the like, which would end this process.
  """
  exception = result.exception
  if exception is None:
    raise ValueError("The call returned: there is nothing to raise.")
  if isinstance(exception, JobError) and not exception.job_id:
    exception.job_id = job_id
  if result.traceback:
    attach(exception, result.traceback)
  raise BaseException.with_traceback(exception, result.raised_at)


class _Chain:
  """Unpickles as the exception itself."""

  def __init__(self, chain: tuple[Link, ...]) -> None:
    self._chain = chain

  def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
    return restored, (self._chain,)
