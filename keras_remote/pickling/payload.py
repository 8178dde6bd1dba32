"""The call of a function, as one pickle that travels to the job."""

import contextlib
import inspect
import linecache
import threading
from collections.abc import (
  Awaitable,
  Callable,
  Collection,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, BinaryIO

import cloudpickle

from keras_remote.errors import PackagingError
from keras_remote.pickling.culprit import call_parts, culprit, largest_parts
from keras_remote.pickling.pickler import Pickler, Saved, Unpickler, failure

# cloudpickle's registry of modules is one for the whole process.
_registry = threading.RLock()


@dataclass(frozen=True)
class Payload:
  """A call: `function(*args, **kwargs)`.

  Attributes:
    defined: the functions and classes that travelled by value.
  """

  function: Callable[..., Any]
  args: tuple[Any, ...]
  kwargs: dict[str, Any]
  defined: tuple[FunctionType | type, ...] = ()

  def call(self) -> Any:
    """What the function returns; what is awaitable is awaited."""
    value = self.function(*self.args, **self.kwargs)
    if inspect.isawaitable(value):
      import asyncio

      return asyncio.run(_awaited(value))
    return value


def save(
  function: Callable[..., object],
  args: Sequence[object],
  kwargs: Mapping[str, object],
  stream: BinaryIO,
  *,
  by_value: Iterable[ModuleType] = (),
  secrets: Collection[str] = (),
) -> Saved:
  """Streams the call to `stream`; large arrays are copied nowhere.

  Args:
    by_value: modules that are not to be found in the job, whose functions
      and classes travel whole.
    secrets: what is hidden in the sources that travel along.

  Raises:
    PackagingError: something in it cannot be pickled; says what, the way to
      it and the cure.
  """
  with _registered(by_value):
    pickler = Pickler(stream, secrets)
    call = (function, tuple(args), dict(kwargs))
    try:
      return pickler.save((*call, pickler.sources))
    except Exception as error:  # A user's __reduce__ may raise anything.
      found = culprit(call_parts(*call), failure)
      if found is None:
        raise
      message = f"This cannot be sent to the job: {found}"
      raise PackagingError(message) from error


async def _awaited(value: Awaitable[Any]) -> Any:
  return await value


def load(stream: BinaryIO) -> Payload:
  """The call, with its modules imported.

  Raises:
    Exception: whatever importing and unpickling raise.
  """
  unpickler = Unpickler(stream)
  function, args, kwargs, sources = unpickler.load()
  for file, text in sources.items():
    lines = text.splitlines(keepends=True)
    linecache.cache.setdefault(file, (len(text), None, lines, file))
  return Payload(function, args, kwargs, tuple(unpickler.defined))


def largest(
  function: Callable[..., object],
  args: Sequence[object],
  kwargs: Mapping[str, object],
  count: int = 3,
) -> list[tuple[str, int]]:
  """The largest objects of a call: the way to each and approximate bytes."""
  return largest_parts(call_parts(function, args, kwargs), count)


@contextlib.contextmanager
def _registered(modules: Iterable[ModuleType]) -> Iterator[None]:
  with _registry, contextlib.ExitStack() as stack:
    for module in modules:
      if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(module)
        stack.callback(cloudpickle.unregister_pickle_by_value, module)
    yield
