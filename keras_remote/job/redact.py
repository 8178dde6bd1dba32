"""Keeps secrets out of what people read."""

import itertools
import math
import numbers
import re
from collections.abc import Collection, Iterator, Mapping, Sized
from pathlib import PurePath

from keras_remote.job.spec import Scalar

HIDDEN = "[redacted]"
# `tokenizer`, `max_tokens` and `author` are no secrets.
_SECRET_NAME = re.compile(
  r"(?i)secret|passw|passphrase|credential"
  r"|(api|access|private|signing)[_-]?key"
  r"|(^|[_-])(key|pwd|auth|oauth|authorization|bearer)$"
  r"|(^|[_-])(pwd|auth|oauth)[_-]"
  r"|token($|[_-])"
)
# In the address of a place.
LOG_IN = re.compile(r"://[^/\s]*@")
_LONGEST = 200
_MOST_PARAMS = 200
_MOST_ITEMS = 50
_MOST_SHOWN_NUMBERS = 8
_DEEPEST = 4
# More digits than that are data, not a parameter.
_LONGEST_INTEGER = 64
# Shorter values are found in any text by chance.
_SHORTEST_SECRET = 6


def is_secret_name(name: str) -> bool:
  """Whether a variable of this name is likely to hold a secret."""
  return bool(_SECRET_NAME.search(name))


def hide(text: str, secrets: Collection[str]) -> str:
  """The text without any of the secret values."""
  for written in sorted(_written(secrets), key=len, reverse=True):
    if len(written) >= _SHORTEST_SECRET:
      text = text.replace(written, HIDDEN)
  return text


def hide_log_in(text: str) -> str:
  """The text; of addresses in it not who logs in there, and how."""
  return LOG_IN.sub(f"://{HIDDEN}@", text)


def _written(secrets: Collection[str]) -> Iterator[str]:
  """The secrets as texts show them, and each of their lines.

  The traceback of a group, for one, begins every line with a bar.
  """
  for secret in secrets:
    yield from (secret, repr(secret)[1:-1], *secret.split("\n"))


def flat_params(
  arguments: Mapping[str, object], secrets: Collection[str] = ()
) -> dict[str, Scalar]:
  """Bound arguments as scalars: nested mappings get dotted names.

  What is no scalar is told by its type, with its shape where it has one.
  """
  flat: dict[str, Scalar] = {}
  for name, value in arguments.items():
    left = max(0, _MOST_PARAMS - len(flat))
    try:
      found = itertools.islice(_flat(name, value, secrets, _DEEPEST), left)
      flat |= {_short(key, secrets): scalar for key, scalar in found}
    except Exception:  # A user's object may raise anything.
      flat[name] = type(value).__name__
  return flat


def _flat(
  name: str, value: object, secrets: Collection[str], deeper: int
) -> Iterator[tuple[str, Scalar]]:
  if is_secret_name(name.rpartition(".")[2]):
    yield name, HIDDEN
  # Plain dictionaries only: os.environ is a mapping too.
  elif isinstance(value, dict) and deeper and 0 < len(value) <= _MOST_ITEMS:
    for key, item in value.items():
      yield from _flat(f"{name}.{key}", item, secrets, deeper - 1)
  elif isinstance(value, (str, PurePath)):
    yield name, _short(str(value), secrets)
  elif isinstance(value, (list, tuple)) and len(value) <= _MOST_SHOWN_NUMBERS:
    items = [_number(item) for item in value]
    shown = (
      str(items) if None not in items else f"{_kind(value)} of {len(items)}"
    )
    yield name, shown
  else:
    number = _number(value)
    yield name, _described(value) if number is None else number


def _number(value: object) -> bool | int | float | str | None:
  """The number as JSON has it; numpy's too; None for what is none."""
  if isinstance(value, bool):
    return value
  if isinstance(value, numbers.Integral):
    number = int(value)
    bits = number.bit_length()
    return number if bits <= _LONGEST_INTEGER else f"int of {bits} bits"
  if isinstance(value, numbers.Real):
    real = float(value)
    return real if math.isfinite(real) else str(real)
  return None


def _described(value: object) -> str | None:
  if value is None:
    return None
  shape = getattr(value, "shape", None)
  if isinstance(shape, tuple):
    return f"{_kind(value)}{tuple(shape)}"
  if isinstance(value, Sized):
    return f"{_kind(value)} of {len(value)}"
  return _kind(value)


def _kind(value: object) -> str:
  return type(value).__name__


def _short(text: str, secrets: Collection[str]) -> str:
  text = hide(text, secrets)
  return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
