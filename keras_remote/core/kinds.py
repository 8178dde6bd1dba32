"""How the values of options are written, and what they are."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_remote import errors
from keras_remote.job import quantity

# What `image=` may say.
IMAGES = ("auto", "build", "install")
# What `distribution=` may say.
DISTRIBUTIONS = ("data_parallel",)
# No slice has more hosts, and no job need be started more often.
_MOST_MACHINES = 10_000
_MOST_STARTS = 1_000
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
# Python's own waits overflow after three of them.
_CENTURY = 100 * 365 * _UNIT_SECONDS["d"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)

# Of an object in Kubernetes, and short enough for a label.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_LONGEST_NAME = 63
_ACCOUNT = re.compile(r"[^@\s:/]+@[^@\s:/]+\.[^@\s:/]+")


@dataclass(frozen=True)
class Kind:
  """How the values of an option are written.

  Attributes:
    takes: what is right, as the end of the sentence "timeout takes …".
    metavar: the same in a word, for the command line.
    read: an argument or TOML value and the folder that relative paths start
      from → the option's value; ValueError says what is wrong with it.
    gather: the texts of one flag → what `read` takes.
    many: the flag may be repeated; a variable separates by commas.
    check: raises where there is no such thing as the value names.
  """

  takes: str
  metavar: str
  read: Callable[[object, Path], object]
  gather: Callable[[Sequence[str]], object] = lambda texts: texts[-1]
  many: bool = False
  check: Callable[[Any], None] = lambda value: None


def _text(value: object, base: Path) -> str:
  if not isinstance(value, str) or not value.strip():
    raise ValueError(repr(value))
  return value


def _accelerator(value: Any) -> None:
  from keras_remote.accelerators.parse import parse_accelerator

  parse_accelerator(value)


def _backend(value: Any) -> None:
  from keras_remote.backend.registry import choose

  choose(value)


def _texts(value: object, base: Path) -> tuple[str, ...]:
  # A lone string is a sequence of letters, which nobody means.
  if isinstance(value, str) or not isinstance(value, Sequence):
    raise ValueError(repr(value))
  texts = tuple(_text(item, base) for item in value)
  for text in texts:
    if "," in text:  # It separates them in variables and in lists of jobs.
      raise ValueError(f"{text!r}, which holds a comma")
  return texts


def _image(value: Any) -> None:
  if value not in IMAGES:
    raise errors.ConfigError(
      f"image is {', '.join(IMAGES[:-1])} or {IMAGES[-1]}, not {value!r}: an "
      "image's name goes to container_image="
    )


def _distribution(value: Any) -> None:
  if value not in DISTRIBUTIONS:
    raise errors.ConfigError(
      f"distribution is {' or '.join(DISTRIBUTIONS)}, or left out, not "
      f"{value!r}: any other is for the function to set, by "
      "keras.distribution.set_distribution"
    )


def _dependencies(value: object, base: Path) -> tuple[str, ...] | Path:
  if isinstance(value, str) or not isinstance(value, Sequence):
    return _folder(value, base)
  return tuple(_text(item, base) for item in value)


def _environment(value: object, base: Path) -> dict[str, str]:
  """The mapping, checked; a message never shows a value: it may be secret."""
  if not isinstance(value, Mapping):
    raise ValueError(f"a value of type {type(value).__name__}")
  for name, text in value.items():
    if not isinstance(name, str) or not name or "=" in name or _odd(name):
      raise ValueError(f"{name!r} as a name")
    if not isinstance(text, str):
      raise ValueError(f"what {name!r} has, of type {type(text).__name__}")
    if _odd(text):
      raise ValueError(f"what {name!r} has: the system cannot encode it")
  return dict(value)


def _odd(text: str) -> bool:
  """Whether it cannot be in an environment."""
  try:
    return b"\0" in os.fsencode(text)
  except UnicodeEncodeError:
    return True


def _pairs(texts: Sequence[str]) -> dict[str, str]:
  pairs = [text.partition("=") for text in texts]
  for index, (_, equals, _) in enumerate(pairs, start=1):
    if not equals:
      raise ValueError(f"item {index}, which has no '='")
  return {name: text for name, _, text in pairs}


def _folder(value: object, base: Path) -> Path:
  text = os.fspath(value) if isinstance(value, os.PathLike) else value
  return base / os.path.expanduser(_text(text, base))


def _address(value: object, base: Path) -> str:
  if isinstance(value, str) and "://" in value:
    return value
  return str(_folder(value, base))


def _account(value: object, base: Path) -> str:
  text = _text(value, base)
  if not _ACCOUNT.fullmatch(text):
    raise ValueError(repr(text))
  return text


def _seconds(value: object, base: Path) -> float:
  seconds: float = math.nan
  if isinstance(value, int | float) and not isinstance(value, bool):
    seconds = value
  elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
  if not 0 < seconds < _CENTURY:
    raise ValueError(repr(value))
  return float(seconds)


def _count(least: int, most: int) -> Callable[[object, Path], int]:
  """A reader of whole numbers within these bounds, both included."""

  def read(value: object, base: Path) -> int:
    number = value
    if isinstance(value, str) and _COUNT.fullmatch(value.strip()):
      number = int(value)
    whole = isinstance(number, int) and not isinstance(number, bool)
    if not whole or not least <= number <= most:
      raise ValueError(repr(value))
    return number

  return read


def _name(value: object, base: Path) -> str:
  text = _text(value, base)
  if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
    raise ValueError(repr(value))
  return text


TEXT = Kind("a text", "TEXT", _text)
ACCELERATOR = Kind("a text", "TEXT", _text, check=_accelerator)
BACKEND = Kind("a text", "TEXT", _text, check=_backend)
IMAGE = Kind("a text", "auto|build|install", _text, check=_image)
DISTRIBUTION = Kind(
  "a text", "|".join(DISTRIBUTIONS), _text, check=_distribution
)
DEPENDENCIES = Kind(
  "a list of requirements, or the path of a requirements file",
  "FILE",
  _dependencies,
)
TEXTS = Kind("a list of texts", "TEXT", _texts, list, many=True)
ENVIRONMENT = Kind(
  "texts by name, each as NAME=VALUE on the command line",
  "NAME=VALUE",
  _environment,
  _pairs,
  many=True,
)
ACCOUNT = Kind(
  "the address of a service account: 'builds@project.iam.gserviceaccount.com'",
  "ADDRESS",
  _account,
)
FOLDER = Kind("a folder", "FOLDER", _folder)
ADDRESS = Kind("a folder or gs://bucket", "ADDRESS", _address)
DURATION = Kind(
  "a time above 0, under 100 years: 90 (seconds), '90s', '30m', '24h', '2d'",
  "TIME",
  _seconds,
)

MACHINES = Kind(
  f"a whole number from 1 to {_MOST_MACHINES}",
  "COUNT",
  _count(1, _MOST_MACHINES),
)
STARTS = Kind(
  f"a whole number from 0 to {_MOST_STARTS}", "COUNT", _count(0, _MOST_STARTS)
)
CPU = Kind(
  "a number of cores above 0: 4, 0.5, '500m'",
  "CORES",
  lambda value, base: quantity.cpu(value),
)
MEMORY = Kind(
  "an amount of at least 48Mi, as Kubernetes writes it: '16Gi', '500Mi'",
  "AMOUNT",
  lambda value, base: quantity.memory(value),
)
NAME = Kind(
  "a name as the cluster writes it: small letters, digits, '-'", "NAME", _name
)
