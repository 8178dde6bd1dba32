"""Arguments as `name=text`, each read as its parameter's annotation says."""

import ast
import collections.abc
import contextlib
import enum
import inspect
import pathlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_remote.cli.failure import CommandError
from keras_remote.core.options import nearest

_BOOLEANS = {
  **dict.fromkeys(("true", "yes", "on", "1"), True),
  **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NAMED = (
  inspect.Parameter.POSITIONAL_ONLY,
  inspect.Parameter.POSITIONAL_OR_KEYWORD,
  inspect.Parameter.KEYWORD_ONLY,
)
_NONES = ("none", "null")
_MANY: Mapping[Any, Callable[[list[Any]], Any]] = {
  list: list,
  tuple: tuple,
  set: set,
  frozenset: frozenset,
  collections.abc.Sequence: list,
  collections.abc.Iterable: list,
  collections.abc.Collection: list,
}
_PLAIN = {
  int: "a whole number",
  float: "a number",
  str: "a text",
  pathlib.Path: "a path",
}


def bind(
  function: Callable[..., object], texts: Sequence[str]
) -> inspect.BoundArguments:
  """The arguments of a call, from texts such as `lr=1e-3`.

  Raises:
    CommandError: a name is unknown, missing or given twice, or a text is not
      of the parameter's type.
  """
  signature = inspect.signature(function)
  name = getattr(function, "__name__", "the function")
  try:
    return _bound(signature, _kinds(function, signature.parameters), texts)
  except ValueError as error:
    raise CommandError(f"{name}: {error}\n  def {name}{signature}") from None


def _bound(
  signature: inspect.Signature, kinds: Mapping[str, Any], texts: Sequence[str]
) -> inspect.BoundArguments:
  parameters = signature.parameters.values()
  named = {p.name: p for p in parameters if p.kind in _NAMED}
  others = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
  values: dict[str, object] = {}
  for text in texts:
    key, equals, value = text.partition("=")
    if not equals:
      hint = "; options go before FILE:FUNCTION" * text.startswith("-")
      raise ValueError(f"arguments are NAME=VALUE, not {text!r}{hint}")
    if key in values:
      raise ValueError(f"{key} is given twice")
    if key not in named and not others:
      hint = nearest(key, named) if named else "it takes none"
      raise ValueError(f"no parameter is called {key!r}: {hint}")
    kind = kinds[key if key in named else others[0]]
    values[key] = _argument(key, kind, value)
  needed = [p.name for p in named.values() if p.default is p.empty]
  missing = [f"{key}=…" for key in needed if key not in values]
  if missing:
    raise ValueError(f"also needs {' '.join(missing)}")
  arguments = {key: values.pop(key) for key in named if key in values}
  rest = {others[0]: values} if others else {}
  return inspect.BoundArguments(signature, {**arguments, **rest})


def _kinds(
  function: Callable[..., object], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
  """What each parameter takes; where nothing is said, what its default is."""
  hints: dict[str, Any] = {}
  # Some names only type checkers import.
  with contextlib.suppress(NameError, TypeError, AttributeError):
    hints = typing.get_type_hints(inspect.unwrap(function))
  kinds: dict[str, Any] = {}
  for name, parameter in parameters.items():
    kind = type(parameter.default)
    # Who writes 1 may mean any number.
    unsaid = int | float if kind is int else kind
    known = kind in (*_PLAIN, bool)
    kinds[name] = hints.get(name, unsaid if known else Any)
  return kinds


def _argument(name: str, kind: Any, text: str) -> object:
  try:
    return read(kind, text)
  except ValueError as error:
    raise ValueError(f"{name} takes {error}, not {text!r}") from None


def read(kind: Any, text: str) -> object:
  """The text as a value of that annotation.

  Raises:
    ValueError: it is none; says what would be.
  """
  origin, inner = typing.get_origin(kind), typing.get_args(kind)
  if origin in (typing.Union, types.UnionType):
    return _one_of(inner, text)
  if origin is typing.Literal:
    choices = {str(choice): choice for choice in inner}
  elif isinstance(kind, type) and issubclass(kind, enum.Enum):
    members: Mapping[str, enum.Enum] = kind.__members__
    by_value = {str(member.value): member for member in members.values()}
    if text in by_value and text not in members:
      return by_value[text]
    choices = dict(members)
  elif (origin or kind) in _MANY:
    return _many(origin or kind, inner, text)
  elif kind is bool:
    choices = dict(_BOOLEANS)
    text = text.lower()
    if text not in choices:
      raise ValueError("true or false")
  elif kind in _PLAIN:
    return _plain(kind, text)
  elif kind in (Any, object):
    return _literal(text)
  else:
    name = getattr(kind, "__name__", str(kind))
    raise ValueError(f"a {name}, which no text can be")
  if text not in choices:
    raise ValueError(f"one of {', '.join(choices)}")
  return choices[text]


def _plain(kind: type, text: str) -> object:
  try:
    return kind(text)
  except ValueError:
    raise ValueError(_PLAIN[kind]) from None


def _one_of(kinds: Sequence[Any], text: str) -> object:
  if type(None) in kinds and text.lower() in _NONES:
    return None
  wanted = []
  # A text suits every text: whatever else suits is meant.
  for kind in sorted(kinds, key=lambda k: k is str):
    if kind is not type(None):
      try:
        return read(kind, text)
      except ValueError as error:
        wanted.append(str(error))
  none = ["none"] * (type(None) in kinds)
  raise ValueError(" or ".join(none + wanted))


def _many(kind: Any, inner: Sequence[Any], text: str) -> object:
  texts = [item.strip() for item in text.split(",")] if text else []
  kinds = list(inner) or [Any]
  if kind is tuple and len(kinds) > 1 and kinds[-1] is not ...:
    if len(texts) != len(kinds):
      raise ValueError(f"{len(kinds)} values with commas between")
  else:
    kinds = [kinds[0]] * len(texts)
  try:
    items = [read(k, t) for k, t in zip(kinds, texts, strict=True)]
  except ValueError as error:
    raise ValueError(f"values with commas between, each {error}") from None
  return _MANY[kind](items)


def _literal(text: str) -> object:
  """A number, None, a list … where Python would read one, else the text."""
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError, MemoryError, RecursionError):
    return text
