"""What commands know, as JSON documents."""

import dataclasses
import datetime
import enum
import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

# The lines of a list that holds nothing else: no text has a line's end in it.
_NUMBERS = re.compile(r"(?<=\[)\n[^][{}\"]+(?=\])")


def encode(value: object) -> str:
  """The value as one JSON document; what JSON cannot hold as its repr."""
  text = json.dumps(_plain(value), indent=2)
  return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)


def _plain(value: Any) -> Any:
  if isinstance(value, enum.Enum):
    return _plain(value.value)
  if value is None or isinstance(value, str | bool | int):
    return value
  if isinstance(value, float):
    # JSON has neither NaN nor infinity.
    return value if math.isfinite(value) else str(value)
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = dataclasses.fields(value)
    return {f.name: _plain(getattr(value, f.name)) for f in fields}
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple, set, frozenset)):
    return [_plain(item) for item in value]
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  if isinstance(value, datetime.datetime):
    return value.isoformat(timespec="milliseconds")
  if hasattr(value, "tolist"):  # Arrays and scalars of numpy and jax.
    return _plain(value.tolist())
  return repr(value)
