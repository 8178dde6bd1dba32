"""What a value holds, with the way to it: to name what is too much for it."""

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

from keras_remote.constants import KIB
from keras_remote.pickling.reference import reference

Part = tuple[str, object]
_SCALARS = (int, float, complex, str, bytes, bytearray, type(None))
_LONGEST_PATH = 12
_MOST_PARTS = 200_000
_SHORT = 64 * KIB
_CURES = {
  r"lock|condition|event$|semaphore|thread|queue|executor|pool": (
    "Create it inside the function."
  ),
  r"^_io\.|socket|connection|cursor|client|session|channel": (
    "Open it inside the function, from its path or address."
  ),
  r"generator|coroutine|iterator|frame$": "Pass a list, or make it inside.",
}


@dataclass
class _Step:
  """A part that cannot be pickled, on the way from the whole.

  Attributes:
    parts: what is left to be looked at in it.
    circular: something in it cannot be pickled for what lies elsewhere.
  """

  name: str
  part: object
  reason: Exception | None
  parts: Iterator[Part]
  circular: bool = False


def call_parts(
  function: Callable[..., object],
  args: Sequence[object],
  kwargs: Mapping[str, object],
) -> Iterator[Part]:
  """The function and its arguments, by the names of its parameters."""
  name = getattr(function, "__qualname__", type(function).__name__)
  yield name, function
  try:
    bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
  except (TypeError, ValueError):
    bound = dict(enumerate(args)) | dict(kwargs)
  for parameter, value in bound.items():
    yield f"{name} → argument {parameter!r}", value


def parts(value: object) -> Iterator[Part]:
  """What the pickle of a value holds, each part by its name in the value.

  A part that only stands for the value has the empty name.
  """
  match value:
    case ModuleType():
      return
    case FunctionType() | type() if reference(value) is not None:
      return
    case FunctionType():
      yield from _function_parts(value)
    case type():
      yield from _class_parts(value)
    case dict():
      for key, item in value.items():
        yield f"[{key!r:.40}]", item
      for key in value:
        yield "key", key
    case list() | tuple():
      for index, item in enumerate(value):
        yield f"[{index}]", item
    case partial():
      yield "function", value.func
      for index, item in enumerate(value.args):
        yield f"argument {index}", item
      for name, item in value.keywords.items():
        yield f"argument {name!r}", item
    case _ if not isinstance(value, _SCALARS):
      yield from _reduced_parts(value)


def culprit(
  start: Iterator[Part],
  failure: Callable[[object], Exception | None],
  cure: str = "",
) -> str | None:
  """A sentence on the smallest part that cannot be pickled, and the cure.

  Args:
    start: the whole, in parts.
    failure: why a value cannot be pickled, or None if it can be.
    cure: what to do about it; by default as its class suggests.
  """
  seen: dict[int, object] = {}
  way = [_Step("", None, None, start)]
  first: list[_Step] = []
  while way:
    for name, part in way[-1].parts:
      if id(part) in seen:
        way[-1].circular = True
      elif (reason := failure(part)) is not None:
        seen[id(part)] = part
        # Of what is nested too deeply only the top is worth a name.
        inner = iter(()) if _too_deep(reason) else parts(part)
        way.append(_Step(name, part, reason, inner))
        break
    else:
      if not way[-1].circular:
        return _sentence(way, cure)
      # All that fails in it was met before: the culprit is beside it.
      first = first or list(way)
      way.pop()
      if way:
        way[-1].circular = True
  return _sentence(first, cure)


def largest_parts(start: Iterator[Part], count: int) -> list[tuple[str, int]]:
  """The largest parts, with the way to each and approximate bytes.

  Scalars and short strings count for what holds them.
  """
  sizes: list[tuple[str, int]] = []
  seen: dict[int, object] = {}
  waiting = list(start)
  while waiting and len(seen) < _MOST_PARTS:
    path, value = waiting.pop()
    if id(value) in seen:
      continue
    seen[id(value)] = value
    size = _size(value)
    for name, part in () if _is_array(value) else parts(value):
      if isinstance(part, _SCALARS) and _size(part) < _SHORT:
        size += _size(part)
      else:
        waiting.append((f"{path} → {name}" if name else path, part))
    sizes.append((path, size))
  return sorted(sizes, key=lambda part: part[1], reverse=True)[:count]


def type_name(cls: type) -> str:
  """The qualified name of a class, as people write it."""
  module = cls.__module__
  if module in ("builtins", "__main__") or not isinstance(module, str):
    return cls.__qualname__
  return f"{module}.{cls.__qualname__}"


def _function_parts(function: FunctionType) -> Iterator[Part]:
  code = function.__code__
  cells = function.__closure__ or ()
  for name, cell in zip(code.co_freevars, cells, strict=True):
    with contextlib.suppress(ValueError):  # The cell is empty.
      yield f"closure {name!r}", cell.cell_contents
  for name in _cloudpickle._extract_code_globals(code):
    if name in function.__globals__:
      yield f"global {name!r}", function.__globals__[name]
  defaults = function.__defaults__ or ()
  positional = code.co_varnames[: code.co_argcount]
  for name, value in zip(
    positional[len(positional) - len(defaults) :], defaults, strict=True
  ):
    yield f"default {name!r}", value
  for name, value in (function.__kwdefaults__ or {}).items():
    yield f"default {name!r}", value
  for name, value in function.__dict__.items():
    yield f"attribute {name!r}", value
  for name, value in function.__annotations__.items():
    yield f"annotation {name!r}", value


def _class_parts(cls: type) -> Iterator[Part]:
  for name, value in vars(cls).items():
    if name not in ("__dict__", "__weakref__"):
      yield f"attribute {name!r}", value
  for base in cls.__bases__:
    yield f"base {base.__name__!r}", base


def _reduced_parts(value: Any) -> Iterator[Part]:
  reduce = cloudpickle.Pickler.dispatch_table.get(type(value))
  reduced: Any
  try:
    reduced = value.__reduce_ex__(5) if reduce is None else reduce(value)
  except Exception:  # A user's __reduce__ may raise anything.
    return
  if isinstance(reduced, str):
    return
  whole: list[Any] = [*reduced, None, None, None]
  _, args, state, items, pairs = whole[:5]
  for part in args:
    yield f"class {part.__name__!r}" if isinstance(part, type) else "", part
  # With slots, the state is a pair of two mappings.
  for each in state if isinstance(state, tuple) else (state,):
    if isinstance(each, dict):
      for name, part in each.items():
        yield f"attribute {name!r}", part
    elif each is not None:
      yield "", each
  for index, part in enumerate(items or ()):
    yield f"[{index}]", part
  for key, part in pairs or ():
    yield f"[{key!r:.40}]", part


def _is_array(value: object) -> bool:
  return isinstance(getattr(value, "nbytes", None), int)


def _size(value: Any) -> int:
  if _is_array(value):
    return value.nbytes
  return sys.getsizeof(value, 0)


def _too_deep(error: BaseException) -> bool:
  return isinstance(error, RecursionError) or isinstance(
    error.__cause__, RecursionError
  )


def _sentence(way: list[_Step], cure: str) -> str | None:
  last = way[-1]
  if last.reason is None:
    return None
  name = type_name(type(last.part))
  path = [step.name for step in way if step.name]
  if len(path) > _LONGEST_PATH:
    path = [*path[:6], "…", *path[-5:]]
  where = " → ".join([*path, name])
  if _too_deep(last.reason):
    return f"{where} is nested too deeply. Make it flatter."
  return f"{where} ({last.reason}). {cure or _cure(name)}"


def _cure(name: str) -> str:
  for pattern, cure in _CURES.items():
    if re.search(pattern, name, re.IGNORECASE):
      return cure
  return "Create it inside the function, or pass what it is made from."
