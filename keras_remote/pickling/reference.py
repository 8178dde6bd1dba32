"""Functions by name: how a job finds again what a module defines.

The attribute that bears a function's name may be a wrapper around it, such
as what `keras_remote.run` makes of it here; there `run` wraps nothing.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from types import MethodType

import cloudpickle

_MOST_LAYERS = 100


@dataclass(frozen=True)
class Reference:
  """Where a job finds a function: `module:qualname`, unwrapped there.

  Attributes:
    module: name of a module that can be imported.
    qualname: the path of attributes in it.
    inner: layers beneath the one that is meant. Counted from within, since
      wrappers around it may be absent in a job.
    direct: the attribute is the function itself, in no wrapper.
  """

  module: str
  qualname: str
  inner: int = 0
  direct: bool = True

  def __str__(self) -> str:
    return f"{self.module}:{self.qualname}"


def reference(function: object) -> Reference | None:
  """Where a job can import the function, or None if it must go by value.

  By value go what `__main__` defines, lambdas, what is nested in a function,
  and what belongs to a module that is registered with cloudpickle.
  """
  name = getattr(function, "__module__", None)
  qualname = getattr(function, "__qualname__", None)
  if not isinstance(name, str) or not isinstance(qualname, str):
    return None
  module = sys.modules.get(name)
  if module is None or name in ("__main__", "__mp_main__") or by_value(name):
    return None
  try:
    layers = _layers(attrgetter(qualname)(module))
  except AttributeError:
    return None
  for depth, layer in enumerate(layers):
    if layer is function:
      return Reference(name, qualname, len(layers) - 1 - depth, depth == 0)
  return None


def resolve(found: Reference) -> object:
  """The function, imported.

  Raises:
    ImportError: the module cannot be imported here.
    AttributeError: it has no such attribute.
  """
  module = importlib.import_module(found.module)
  layers = _layers(attrgetter(found.qualname)(module))
  return layers[max(0, len(layers) - 1 - found.inner)]


def reduce_wrapped(
  function: Callable[..., object],
) -> tuple[Callable[..., object], tuple[object, ...]]:
  """What a wrapper's `__reduce__` returns to arrive as the plain function."""
  found = reference(function)
  return (itself, (function,)) if found is None else (resolve, (found,))


def itself(function: object) -> object:
  """The argument: what a wrapper becomes in a job."""
  return function


def by_value(module: str) -> bool:
  """Whether cloudpickle was told to send this module's contents by value."""
  registry = cloudpickle.list_registry_pickle_by_value()
  return any(
    module == name or module.startswith(f"{name}.") for name in registry
  )


def _layers(value: object) -> list[object]:
  """A wrapper, what it wraps, what that wraps, and so on."""
  layers: list[object] = []
  while value is not None and len(layers) < _MOST_LAYERS:
    layers.append(value)
    if isinstance(value, MethodType):
      value = value.__func__
    else:
      value = getattr(value, "__wrapped__", None)
  return layers
