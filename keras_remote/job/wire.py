"""Frozen dataclasses as versioned JSON, both ways.

Fields may be str, int, float, bool, enums, other dataclasses, `X | None`,
`tuple[X, ...]` and `Mapping[str, X]`. A field that this version does not know
is refused: dropping it could change what a job means.
"""

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from keras_remote import constants, errors

VERSION = 1
T = TypeVar("T")


def encode(value: object) -> bytes:
  """The dataclass as JSON in ASCII, with sorted keys, so that it can be hashed.

  ASCII, as texts may hold file names that are no UTF-8.

  Raises:
    TypeError: a field holds what JSON cannot.
    ValueError: a number is not finite.
  """
  fields = {"version": VERSION, **_plain(value)}
  return json.dumps(fields, sort_keys=True, allow_nan=False).encode()


def decode(cls: type[T], data: bytes, what: str) -> T:
  """The dataclass that `encode` made `data` from.

  Args:
    what: the name of what is read, for the error's text.

  Raises:
    IntegrityError: cut short, or not such a dataclass.
    ConfigError: a newer keras_remote wrote it.
  """
  try:
    fields = json.loads(data)
    version = int(fields.pop("version"))
    if version > VERSION:
      raise _newer(what, f"format {version}")
    return typing.cast(T, _build(cls, fields, what))
  except _NOT_OURS as error:
    raise errors.IntegrityError(
      f"{what} is cut short or is not what keras_remote wrote: {error}"
    ) from error


# ValueError is broken JSON, TypeError a missing or mistyped field; the others
# are texts that are JSON and something else.
_NOT_OURS = (
  AttributeError,
  KeyError,
  OverflowError,
  RecursionError,
  TypeError,
  ValueError,
)


def _newer(what: str, why: str) -> errors.ConfigError:
  return errors.ConfigError(
    f"{what} was written by a newer keras_remote ({why}): "
    f"upgrade this one: `git pull` in its clone, then `{constants.install()}`"
  )


def _plain(value: object) -> Any:
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {
      field.name: _plain(getattr(value, field.name))
      for field in dataclasses.fields(value)
    }
  if isinstance(value, enum.Enum):
    return value.value
  if isinstance(value, Mapping):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, (tuple, list)):
    return [_plain(item) for item in value]
  return value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls)


def _build(kind: Any, value: Any, what: str) -> Any:
  origin = typing.get_origin(kind)
  if origin in (types.UnionType, typing.Union):
    if value is None:  # Every union here has it.
      return None
    choices = [k for k in typing.get_args(kind) if k is not types.NoneType]
    # A union of scalars needs no building: JSON keeps them apart.
    if len(choices) > 1:
      return _expect(value, *choices)
    return _build(choices[0], value, what)
  if origin is tuple:
    item = typing.get_args(kind)[0]
    return tuple(_build(item, v, what) for v in _expect(value, list))
  if origin is not None and issubclass(origin, Mapping):
    item = typing.get_args(kind)[1]
    items = _expect(value, dict).items()
    return {k: _build(item, v, what) for k, v in items}
  if dataclasses.is_dataclass(kind):
    hints = _hints(typing.cast(type, kind))
    unknown = sorted(_expect(value, dict).keys() - hints.keys())
    if unknown:
      raise _newer(what, f"it has the field '{unknown[0]}'")
    arguments = {k: _build(hints[k], v, what) for k, v in value.items()}
    return typing.cast(Any, kind)(**arguments)
  if issubclass(kind, enum.Enum):
    try:
      return kind(_expect(value, str))
    except ValueError as error:
      raise _newer(what, f"'{value}' is no {kind.__name__}") from error
  if kind is float:
    return float(_expect(value, int, float))
  return _expect(value, kind)


def _expect(value: Any, *kinds: type) -> Any:
  """The value; a bool is no int here.

  Raises:
    TypeError: it is of none of these types.
  """
  if not isinstance(value, kinds) or (
    isinstance(value, bool) and bool not in kinds
  ):
    raise TypeError(f"it holds {type(value).__name__} where it should not")
  return value
