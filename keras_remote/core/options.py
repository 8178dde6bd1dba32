"""Every option once: its type, default, flag, variable and TOML name.

`Options` is the table: a field's metadata says how the option is read, and
`OPTIONS` is the same rows by name, for settings, the command line and docs.
"""

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from keras_remote import errors
from keras_remote.job import quantity
from keras_remote.job.spec import PENDING_TIMEOUT

# What `image=` may say.
IMAGES = ("auto", "build", "install")
VARIABLE_PREFIX = "KERAS_REMOTE_"
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
# Python's own waits overflow after three of them.
_CENTURY = 100 * 365 * _UNIT_SECONDS["d"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)

# Of an object in Kubernetes, and short enough for a label.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_LONGEST_NAME = 63


class OptionArguments(TypedDict, total=False):
  """The options as `run`, `options` and `settings` take them.

  One that is given wins, None included: it says the default.
  """

  accelerator: str | None
  backend: str | None
  name: str | None
  tags: list[str] | tuple[str, ...] | None
  env: Mapping[str, str] | None
  capture_env_vars: list[str] | tuple[str, ...] | None
  working_dir: str | os.PathLike[str] | None
  timeout: float | str | None
  pending_timeout: float | str | None
  store: str | os.PathLike[str] | None
  context: str | None
  project: str | None
  zone: str | None
  cluster: str | None
  namespace: str | None
  container_image: str | None
  cpu: float | str | None
  memory: str | None
  queue: str | None
  priority_class: str | None
  service_account: str | None
  image: str | None
  base_image: str | None
  dependencies: list[str] | tuple[str, ...] | str | os.PathLike[str] | None


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


@dataclass(frozen=True)
class Option:
  """One row: an option with its names and its reader.

  Attributes:
    name: the argument's name, and the key in TOML.
    flag: the command line's spelling.
    variable: the environment's spelling; None where there is none.
    default: the value where nobody says one; None for `store`: the home.
  """

  name: str
  doc: str
  kind: Kind
  flag: str
  variable: str | None
  default: object

  def read(self, value: object, *, base: Path, where: str) -> object:
    """The typed value; relative paths start from `base`.

    Raises:
      ConfigError: the value is of a wrong type or form; `where` begins the
        sentence.
    """
    with self._told(where):
      return self.kind.read(value, base)

  def check(self, value: object, *, where: str) -> None:
    """Passes for a value that a call can use.

    Raises:
      ConfigError: there is no such thing; `where` begins the sentence.
      AcceleratorError: there is no such accelerator; the same.
    """
    try:
      self.kind.check(value)
    except (errors.ConfigError, errors.AcceleratorError) as error:
      raise type(error)(f"{where}: {error}") from None

  def parse(self, texts: Sequence[str], *, where: str) -> object:
    """What `read` takes, from the texts of a flag in their order.

    Raises:
      ConfigError: a text is malformed; `where` begins the sentence.
    """
    with self._told(where):
      return self.kind.gather(texts)

  def split(self, text: str) -> list[str]:
    """The texts that `parse` takes, from one text such as a variable's."""
    return [t.strip() for t in text.split(",")] if self.kind.many else [text]

  @contextlib.contextmanager
  def _told(self, where: str) -> Generator[None]:
    try:
      yield
    except ValueError as error:
      raise errors.ConfigError(
        f"{where}: {self.name} takes {self.kind.takes}, not {error}"
      ) from None


def find(name: str, *, where: str) -> Option:
  """The option of this name.

  Raises:
    ConfigError: there is none; the sentence begins with `where` and names
      the nearest.
  """
  if name in OPTIONS:
    return OPTIONS[name]
  raise errors.ConfigError(
    f"{where}: no option is called {name!r}: {nearest(name, OPTIONS)}"
  )


def nearest(name: str, names: Iterable[str]) -> str:
  """Which of `names` was meant, as the end of a sentence."""
  import difflib  # Only for mistakes.

  known = list(names)
  near = difflib.get_close_matches(name, known, n=1)
  return f"did you mean {near[0]!r}?" if near else f"use {', '.join(known)}"


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


def _seconds(value: object, base: Path) -> float:
  seconds: float = math.nan
  if isinstance(value, int | float) and not isinstance(value, bool):
    seconds = value
  elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
  if not 0 < seconds < _CENTURY:
    raise ValueError(repr(value))
  return float(seconds)


def _name(value: object, base: Path) -> str:
  text = _text(value, base)
  if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
    raise ValueError(repr(value))
  return text


TEXT = Kind("a text", "TEXT", _text)
ACCELERATOR = Kind("a text", "TEXT", _text, check=_accelerator)
BACKEND = Kind("a text", "TEXT", _text, check=_backend)
IMAGE = Kind("a text", "auto|build|install", _text, check=_image)
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
FOLDER = Kind("a folder", "FOLDER", _folder)
ADDRESS = Kind("a folder or gs://bucket", "ADDRESS", _address)
DURATION = Kind(
  "a time above 0, under 100 years: 90 (seconds), '90s', '30m', '24h', '2d'",
  "TIME",
  _seconds,
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


def _row(
  kind: Kind, doc: str, *, flag: str = "", in_environment: bool = True
) -> dict[str, Any]:
  return {
    "kind": kind,
    "doc": doc,
    "flag": flag,
    "in_environment": in_environment,
  }


@dataclass(frozen=True, kw_only=True)
class Options:
  """The options of one call, resolved; each field is a row of the table.

  Attributes:
    timeout: seconds of running; None for no limit.
    pending_timeout: seconds of waiting for what cannot come, such as an image
      that does not exist; a pool that scales up is waited for without limit.
    working_dir: absolute; None for the project's root.
    store: an absolute folder, or a bucket's address.
  """

  accelerator: str | None = field(
    default=None,
    metadata=_row(ACCELERATOR, "What to run on, such as v5e-8, l4 or cpu."),
  )
  backend: str | None = field(
    default=None,
    metadata=_row(BACKEND, "Where to run: local or gke."),
  )
  name: str | None = field(
    default=None,
    metadata=_row(TEXT, "The job's name, in place of the function's."),
  )
  tags: tuple[str, ...] = field(
    default=(),
    metadata=_row(TEXTS, "A word to find the job by.", flag="--tag"),
  )
  env: Mapping[str, str] = field(
    default_factory=dict,
    metadata=_row(
      ENVIRONMENT, "A variable that the job gets.", in_environment=False
    ),
  )
  capture_env_vars: tuple[str, ...] = field(
    default=(),
    metadata=_row(
      TEXTS,
      "Variables that the job gets from here, such as 'WANDB_*'.",
      flag="--capture-env",
    ),
  )
  working_dir: Path | None = field(
    default=None,
    metadata=_row(FOLDER, "The folder that goes along; else the project's."),
  )
  timeout: float | None = field(
    default=None,
    metadata=_row(DURATION, "How long the job may run, such as 90s or 24h."),
  )
  pending_timeout: float = field(
    default=PENDING_TIMEOUT,
    metadata=_row(
      DURATION, "How long it waits for what waiting alone does not bring."
    ),
  )
  store: str = field(
    metadata=_row(ADDRESS, "A folder or gs://bucket for jobs; else the home."),
  )
  context: str | None = field(
    default=None,
    metadata=_row(TEXT, "The cluster, by its context in the kubeconfig."),
  )
  project: str | None = field(
    default=None,
    metadata=_row(TEXT, "The Google Cloud project that has the cluster."),
  )
  zone: str | None = field(
    default=None,
    metadata=_row(TEXT, "The cluster's zone or region; else it is looked for."),
  )
  cluster: str | None = field(
    default=None,
    metadata=_row(TEXT, "A GKE cluster's name; it needs no kubeconfig."),
  )
  namespace: str | None = field(
    default=None,
    metadata=_row(TEXT, "The cluster's namespace; else the context's."),
  )
  container_image: str | None = field(
    default=None,
    metadata=_row(TEXT, "The image that a job's container is made of."),
  )
  cpu: str | None = field(
    default=None,
    metadata=_row(CPU, "The cores that it asks a cluster for."),
  )
  memory: str | None = field(
    default=None,
    metadata=_row(MEMORY, "The memory that it gets of a cluster, no more."),
  )
  queue: str | None = field(
    default=None,
    metadata=_row(NAME, "The queue of Kueue that admits it to a cluster."),
  )
  priority_class: str | None = field(
    default=None,
    metadata=_row(NAME, "The cluster's priority class for it."),
  )
  service_account: str | None = field(
    default=None,
    metadata=_row(NAME, "The service account that its pods are."),
  )
  image: str = field(
    default="auto",
    metadata=_row(
      IMAGE, "Whether an image is built, or packages are installed at a start."
    ),
  )
  base_image: str | None = field(
    default=None,
    metadata=_row(TEXT, "The image with Python that packages go into."),
  )
  dependencies: tuple[str, ...] | Path | None = field(
    default=None,
    metadata=_row(
      DEPENDENCIES,
      "What a job imports: requirements; else requirements.txt's.",
    ),
  )


def _option(row: dataclasses.Field[Any]) -> Option:
  default = None if row.default is dataclasses.MISSING else row.default
  if row.default_factory is not dataclasses.MISSING:
    default = row.default_factory()
  in_environment = row.metadata["in_environment"]
  return Option(
    name=row.name,
    doc=row.metadata["doc"],
    kind=row.metadata["kind"],
    flag=row.metadata["flag"] or "--" + row.name.replace("_", "-"),
    variable=VARIABLE_PREFIX + row.name.upper() if in_environment else None,
    default=default,
  )


OPTIONS: Mapping[str, Option] = {
  row.name: _option(row) for row in dataclasses.fields(Options)
}
