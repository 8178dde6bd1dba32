"""An exception and all that it is chained to, as data that always unpickles.

Each exception of the chain is a link with a pickle of its own, so that one
that cannot be made again spoils none of the others.
"""

import ast
import io
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType

from keras_remote.errors import RemoteError
from keras_remote.pickling.culprit import type_name
from keras_remote.pickling.exceptions import message, shortened, visible
from keras_remote.pickling.pickler import Pickler, Unpickler, fill

# Raised here as themselves, these would steer this process, not report.
_STEERING = ("SystemExit", "KeyboardInterrupt", "GeneratorExit")
_STEERING += ("asyncio.exceptions.CancelledError",)


@dataclass(frozen=True)
class Place:
  """A line of code that was running."""

  file: str
  line: int
  function: str
  module: str


@dataclass(frozen=True)
class Link:
  """One exception of a chain.

  Attributes:
    body: its pickle without the chain; None if it cannot be made again.
    type_name: qualified name of its class.
    message: what it says.
    text: its own traceback, as text.
    places: its own traceback, as data.
    notes: what was added with `add_note`.
    cause: index of the link that was its direct cause.
    context: index of the link that it was raised in the handling of.
    suppresses: the context is not to be shown.
    parts: indices of what an exception group holds.
    exit_code: of `sys.exit`.
  """

  body: bytes | None
  type_name: str
  message: str
  text: str
  places: tuple[Place, ...]
  notes: tuple[str, ...]
  cause: int | None
  context: int | None
  suppresses: bool
  parts: tuple[int, ...]
  exit_code: int | None


def links(exception: BaseException) -> tuple[Link, ...]:
  """The exception, at index 0, and all that it is chained to."""
  chain = [exception]
  indices = {id(exception): 0}

  def index(other: BaseException) -> int:
    if id(other) not in indices:
      indices[id(other)] = len(chain)
      chain.append(other)
    return indices[id(other)]

  def index_or_none(other: BaseException | None) -> int | None:
    return None if other is None else index(other)

  return tuple(
    Link(
      body=_body(link, steers=link is exception and _steers(link)),
      type_name=type_name(type(link)),
      message=message(link),
      text=_text(link),
      places=tuple(_places(link.__traceback__)),
      notes=tuple(shortened(str(n)) for n in getattr(link, "__notes__", ())),
      cause=index_or_none(link.__cause__),
      context=index_or_none(link.__context__),
      suppresses=link.__suppress_context__,
      parts=tuple(map(index, _parts(link))),
      exit_code=_exit_code(link),
    )
    for link in chain  # It grows on the way.
  )


def retold(
  chain: tuple[Link, ...], tell: Callable[[str], str]
) -> tuple[Link, ...]:
  """The chain with all its texts as `tell` has them."""
  return tuple(
    replace(
      link,
      message=tell(link.message),
      text=tell(link.text),
      places=tuple(replace(p, file=tell(p.file)) for p in link.places),
      notes=tuple(map(tell, link.notes)),
    )
    for link in chain
  )


def restored(chain: tuple[Link, ...]) -> BaseException:
  """The exception, with tracebacks, notes and all that it is chained to.

  A RemoteError stands for each that cannot be itself here.
  """
  exceptions: dict[int, BaseException] = {}

  def restore(index: int) -> BaseException:
    if index not in exceptions:
      link = chain[index]
      parts = [restore(part) for part in link.parts]
      exceptions[index] = _revived(link, parts) or _replaced(link)
    return exceptions[index]

  for index, link in enumerate(chain):
    exception = restore(index)
    exception.with_traceback(_traceback(link.places))
    tied: dict[str, object] = {
      "__cause__": None if link.cause is None else restore(link.cause),
      "__context__": None if link.context is None else restore(link.context),
      "__suppress_context__": link.suppresses,
    }
    fill(exception, tied)
  return exceptions[0]


def _body(exception: BaseException, *, steers: bool) -> bytes | None:
  """The pickle of an exception alone, if one like it comes out again."""
  value: object = exception
  if steers:
    return None
  if isinstance(exception, BaseExceptionGroup):
    value = (type(exception), exception.message, vars(exception))
  stream = io.BytesIO()
  try:
    Pickler(stream).dump(value)
    stream.seek(0)
    back = Unpickler(stream).load()
  except Exception:  # A user's class may raise anything.
    return None
  return stream.getvalue() if type(back) is type(value) else None


def _revived(link: Link, parts: list[BaseException]) -> BaseException | None:
  if link.body is None:
    return None
  try:
    value = Unpickler(io.BytesIO(link.body)).load()
    if not link.parts:
      return value
    cls, text, attributes = value
    group = BaseExceptionGroup.__new__(cls, text, parts)
    fill(group, attributes)
    return group
  except Exception:  # A user's class may raise anything, or not be here.
    return None


def _replaced(link: Link) -> RemoteError:
  error = RemoteError(
    f"{link.type_name}: {link.message}",
    type_name=link.type_name,
    traceback=link.text,
    exit_code=link.exit_code,
  )
  for note in link.notes:
    error.add_note(note)
  return error


def _parts(exception: BaseException) -> tuple[BaseException, ...]:
  if isinstance(exception, BaseExceptionGroup):
    return exception.exceptions
  return ()


def _steers(exception: BaseException) -> bool:
  return any(type_name(c) in _STEERING for c in type(exception).__mro__)


def _exit_code(exception: BaseException) -> int | None:
  if not isinstance(exception, SystemExit):
    return None
  code = exception.code
  return code if isinstance(code, int) else int(code is not None)


def _text(exception: BaseException) -> str:
  """Its own traceback: the traceback module would follow the chain."""
  lines = traceback.format_tb(visible(exception.__traceback__))
  said = f"{type_name(type(exception))}: {message(exception)}\n"
  return "".join(["Traceback (most recent call last):\n", *lines, said])


def _places(walked: TracebackType | None) -> Iterator[Place]:
  walked = visible(walked)
  while walked is not None:
    frame = walked.tb_frame
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", "?"))
    yield Place(code.co_filename, walked.tb_lineno, code.co_name, module)
    walked = walked.tb_next


def _traceback(places: tuple[Place, ...]) -> TracebackType | None:
  whole = None
  for place in reversed(places):
    made = _raised_at(place)
    whole = TracebackType(whole, made.tb_frame, made.tb_lasti, place.line)
  return whole


def _raised_at(place: Place) -> TracebackType:
  """The traceback of something that was raised there."""
  tree = ast.parse("raise StopIteration")
  for node in ast.walk(tree):
    if isinstance(node, ast.stmt | ast.expr):
      node.lineno = node.end_lineno = place.line
      # -1 is unknown: carets and IPython would trust any other.
      node.col_offset = node.end_col_offset = -1
  code = compile(tree, place.file, "exec").replace(
    co_name=place.function, co_qualname=place.function
  )
  made: TracebackType | None = None
  try:
    exec(code, {"__name__": place.module, "__file__": place.file})
  except StopIteration as raised:
    made = raised.__traceback__
  assert made and made.tb_next
  return made.tb_next
