"""An exception and all that it is chained to, as data that always unpickles.

Each exception of the chain is a link with a pickle of its own, so that one
that cannot be made again spoils none of the others.
"""

import ast
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from keras_remote.errors import RemoteError
from keras_remote.pickling.culprit import type_name
from keras_remote.pickling.exceptions import (
  message,
  notes,
  own_text,
  visible,
)
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


def links(
  exception: BaseException, tell: Callable[[str], str] = str
) -> tuple[Link, ...]:
  """The exception, at index 0, and all that it is chained to.

  Args:
    tell: a text as people here shall read it.
  """
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
      message=message(link, tell),
      text=own_text(link, tell),
      places=tuple(_places(link.__traceback__, tell)),
      notes=notes(link, tell),
      cause=index_or_none(link.__cause__),
      context=index_or_none(link.__context__),
      suppresses=link.__suppress_context__,
      parts=tuple(map(index, _parts(link))),
      exit_code=_exit_code(link),
    )
    for link in chain  # It grows on the way.
  )


def restored(chain: tuple[Link, ...]) -> BaseException:
  """The exception, with tracebacks, notes and all that it is chained to.

  A RemoteError stands for each that cannot be itself here, and for the whole
  where that cannot be, such as for groups that are nested too deeply.
  """
  try:
    return _restored(chain)
  except Exception:  # A user's class may raise anything.
    return _raised(_replaced(chain[0]), chain[0])


def _restored(chain: tuple[Link, ...]) -> BaseException:
  exceptions: dict[int, BaseException] = {}

  def restore(index: int) -> BaseException:
    if index not in exceptions:
      link = chain[index]
      revived = _revived(link, [restore(part) for part in link.parts])
      exceptions[index] = _replaced(link) if revived is None else revived
    return exceptions[index]

  for index, link in enumerate(chain):
    tied: dict[str, object] = {
      "__cause__": None if link.cause is None else restore(link.cause),
      "__context__": None if link.context is None else restore(link.context),
      "__suppress_context__": link.suppresses,
    }
    fill(_raised(restore(index), link), tied)
  return exceptions[0]


def _raised(exception: BaseException, link: Link) -> BaseException:
  """The exception itself, with the link's traceback."""
  # A class of the user's may have a `with_traceback` of its own.
  return BaseException.with_traceback(exception, _traceback(link.places))


def _body(exception: BaseException, *, steers: bool) -> bytes | None:
  """The pickle of an exception alone, if one like it comes out again."""
  value: object = exception
  if steers:
    return None
  stream = io.BytesIO()
  try:
    if isinstance(exception, BaseExceptionGroup):
      value = (type(exception), exception.message, vars(exception))
    Pickler(stream).dump(value)
    stream.seek(0)
    back = Unpickler(stream).load()
  except BaseException:  # A user's class may raise anything.
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
  except (Exception, SystemExit):  # A user's class may be odd, or not here.
    return None


def _replaced(link: Link) -> RemoteError:
  error = RemoteError(
    ": ".join(filter(None, [link.type_name, link.message])),
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


def _places(
  walked: TracebackType | None, tell: Callable[[str], str]
) -> Iterator[Place]:
  walked = visible(walked)
  while walked is not None:
    frame = walked.tb_frame
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", "?"))
    yield Place(tell(code.co_filename), walked.tb_lineno, code.co_name, module)
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
