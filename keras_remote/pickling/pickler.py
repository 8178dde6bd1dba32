"""Pickles and unpickles: cloudpickle, and what it leaves to be wished for."""

import copyreg
import functools
import hashlib
import linecache
import os
import pickle
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import TextIOWrapper
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, BinaryIO, Protocol

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

from keras_remote.job.redact import hide
from keras_remote.pickling.reference import (
  Reference,
  by_value,
  reference,
  resolve,
)

PROTOCOL = 5
_CACHED = type(functools.lru_cache(len))


class Sink(Protocol):
  """All that a pickler asks of a stream."""

  def write(self, chunk: memoryview, /) -> object: ...


@dataclass(frozen=True)
class Saved:
  """What a stream was given.

  Attributes:
    digest: SHA-256 of it, in hex.
    size: bytes.
    modules: names of the modules that it refers to, in the order met.
  """

  digest: str
  size: int
  modules: tuple[str, ...]


class Pickler(cloudpickle.Pickler):
  """Pickles functions by value or by reference, wrapped ones included.

  Args:
    secrets: what no source may show.

  Attributes:
    sources: the text of the files of functions that went by value, so that
      tracebacks show their lines where the files are not.
  """

  def __init__(self, stream: Sink, secrets: Collection[str] = ()) -> None:
    self._sink = _Digesting(stream)
    super().__init__(self._sink, protocol=PROTOCOL)
    self._modules: dict[str, None] = {}
    # Line by line: tracebacks count the lines of what one is hidden in.
    self._secrets = [line for each in secrets for line in each.splitlines()]
    self.sources: dict[str, str] = {}

  def save(self, value: object) -> Saved:
    """Streams the value as one plain pickle, hashing on the way.

    Large buffers are handed to the stream as they are, in no copy.

    Raises:
      Exception: whatever the pickling of a user's object raises.
    """
    self.dump(value)
    return Saved(
      self._sink.sha256.hexdigest(), self._sink.size, tuple(self._modules)
    )

  def reducer_override(self, obj: Any) -> Any:
    """How an object is taken apart; NotImplemented leaves it to pickle."""
    if obj is os.environ or obj is getattr(os, "environb", None):
      # It is the job's own there, and never travels: it is full of secrets.
      return getattr, (os, "environ" if obj is os.environ else "environb")
    if type(obj) is TextIOWrapper and obj not in (sys.stdout, sys.stderr):
      # cloudpickle would send what it reads now: what is written is lost.
      raise pickle.PicklingError("an open file stays where it was opened")
    if isinstance(obj, BaseException):
      return reduce_exception(obj)
    if isinstance(obj, FunctionType | _CACHED):
      found = reference(obj)
      if found is not None and not found.direct:
        return resolve, (found,)
      if found is None and not isinstance(obj, FunctionType):
        return _cached, (obj.__wrapped__, obj.cache_parameters())
    if type(obj) is functools.cached_property:
      # In Python 3.11 it holds a lock.
      state = {k: v for k, v in vars(obj).items() if k != "lock"}
      return functools.cached_property, (obj.func,), state
    if isinstance(obj, CodeType):
      # cloudpickle takes its file away, and with it the lines of tracebacks.
      taken: Any = self.dispatch_table[CodeType](obj)
      return _code, (*taken, obj.co_filename)
    reduced = super().reducer_override(obj)
    if reduced is NotImplemented:
      self._note_module(obj)
    elif isinstance(obj, FunctionType):
      self._keep_source(obj.__code__.co_filename)
    return reduced

  def _note_module(self, obj: Any) -> None:
    match obj:
      case Reference():
        name = obj.module
      case ModuleType():
        name = obj.__name__
      case type() | FunctionType() | BuiltinFunctionType():
        name = obj.__module__
      case _:
        return
    if name in sys.modules and not _of_no_interest(name):
      self._modules[name] = None

  def _keep_source(self, file: str) -> None:
    if file not in self.sources and (lines := linecache.getlines(file)):
      self.sources[file] = hide("".join(lines), self._secrets)


class Unpickler(pickle.Unpickler):
  """Reads what Pickler wrote, and leaves classes as they are here.

  A class that went there by value and comes back is this process's own;
  cloudpickle would overwrite its methods with copies that know other globals.

  Attributes:
    defined: the functions and classes that came by value.
  """

  def __init__(self, stream: BinaryIO) -> None:
    super().__init__(stream)
    self._known = set(_cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS)
    self.defined: list[FunctionType | type] = []

  def find_class(self, module_name: str, global_name: str, /) -> Any:
    found = super().find_class(module_name, global_name)
    if found is _cloudpickle._class_setstate:
      return self._fill_class
    if found is _cloudpickle._function_setstate:
      return self._fill_function
    return found

  def _fill_class(self, cls: type, state: object) -> type:
    if cls in self._known:
      return cls
    self.defined.append(cls)
    return _cloudpickle._class_setstate(cls, state)

  def _fill_function(self, function: FunctionType, state: object) -> None:
    self.defined.append(function)
    _cloudpickle._function_setstate(function, state)


def failure(value: object) -> Exception | None:
  """Why the value cannot be pickled, or None if it can be."""
  try:
    Pickler(_Void()).dump(value)
  except Exception as error:  # A user's __reduce__ may raise anything.
    return error
  return None


def reduce_exception(exception: BaseException) -> Any:
  """Takes an exception apart so that its `__init__` need not be called again.

  Python's own way calls the class with `args`, which fails, or does the wrong
  thing, for a class with an `__init__` of its own and no `__reduce__`.
  """
  cls = type(exception)
  base: Any = cls
  while base.__module__ != "builtins":
    base = base.__base__
  plain = cls.__init__ is base.__init__ and cls.__new__ is base.__new__
  own = (
    cls.__reduce__ is not base.__reduce__
    or cls.__reduce_ex__ is not base.__reduce_ex__
    or cls in copyreg.dispatch_table
  )
  if plain or own:
    return NotImplemented
  reduced: Any = exception.__reduce__()
  _, args, state = (*reduced, None)[:3]
  whole = exception.__getstate__()
  slots = whole[1] if isinstance(whole, tuple) else {}
  attributes = {**(state or {}), **slots}
  return _empty, (cls, base, args), attributes, None, None, fill


def fill(exception: BaseException, attributes: dict[str, object]) -> None:
  """Sets attributes, of frozen classes too."""
  for name, value in attributes.items():
    object.__setattr__(exception, name, value)


def _empty(
  cls: type[BaseException], base: Any, args: tuple[object, ...]
) -> BaseException:
  exception = base.__new__(cls, *args)
  base.__init__(exception, *args)
  return exception


def _code(
  make: Callable[..., CodeType], args: tuple[object, ...], file: str
) -> CodeType:
  return make(*args).replace(co_filename=file)


def _cached(
  function: Callable[..., object], parameters: dict[str, Any]
) -> object:
  return functools.lru_cache(**parameters)(function)


def _of_no_interest(module: str) -> bool:
  return (
    module == "__main__"
    or module in sys.builtin_module_names
    or module.startswith(("cloudpickle", "keras_remote.pickling."))
    or by_value(module)
  )


class _Digesting:
  def __init__(self, stream: Sink) -> None:
    self._stream = stream
    self.sha256 = hashlib.sha256()
    self.size = 0

  def write(self, chunk: bytes | pickle.PickleBuffer) -> None:
    buffer = pickle.PickleBuffer(chunk).raw()
    self.sha256.update(buffer)
    self.size += buffer.nbytes
    self._stream.write(buffer)


class _Void:
  def write(self, chunk: memoryview, /) -> None:
    pass
