"""Every option once: its type, default, flag, variable and TOML name.

`Options` is the table: a field's metadata says how the option is read, and
`OPTIONS` is the same rows by name, for settings, the command line and docs.
"""

import contextlib
import dataclasses
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from keras_remote import errors
from keras_remote.core.kinds import (
  ACCELERATOR,
  ACCOUNT,
  ADDRESS,
  BACKEND,
  CPU,
  DEPENDENCIES,
  DISTRIBUTION,
  DURATION,
  ENVIRONMENT,
  FOLDER,
  IMAGE,
  MACHINES,
  MEMORY,
  NAME,
  STARTS,
  TEXT,
  TEXTS,
  Kind,
)
from keras_remote.job.spec import PENDING_TIMEOUT, STARTUP_TIMEOUT

VARIABLE_PREFIX = "KERAS_REMOTE_"


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
  build_service_account: str | None
  image: str | None
  base_image: str | None
  dependencies: list[str] | tuple[str, ...] | str | os.PathLike[str] | None
  hosts: int | None
  slices: int | None
  retries: int | None
  max_preemptions: int | None
  startup_timeout: float | str | None
  distribution: Literal["data_parallel"] | None


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
    timeout: seconds of running, of each start; None for 24 h on a cluster, and
      for no limit on this machine.
    pending_timeout: seconds of waiting for what cannot come, such as an image
      that does not exist; a pool that scales up is waited for without limit.
    working_dir: absolute; None for the project's root.
    store: an absolute folder, or a bucket's address.
    hosts: machines of a group of GPUs or CPUs, 1 where nobody says more; of a
      TPU slice its size says it, and this may only repeat it.
    slices: how many of the accelerator's TPU slices, joined to one group.
    retries: how often the job is started again on a cluster, all its hosts
      together, when a machine dies or is taken away; a function that raises is
      never called again. Each start begins at the beginning: what it saves in
      a bucket it can resume from.
    max_preemptions: how often beyond that for what was taken away, rather than
      died; None for 10 with a spot accelerator, and 0 with any other.
    startup_timeout: seconds that the hosts of a group wait for each other.
    distribution: what Keras is told to do with all devices of all hosts before
      the function is called: "data_parallel", or None for nothing.
  """

  accelerator: str | None = field(
    default=None,
    metadata=_row(ACCELERATOR, "What to run on, such as v5e-8, l4 or cpu."),
  )
  backend: str | None = field(
    default=None,
    metadata=_row(BACKEND, "Where to run: local, gke or pathways."),
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
    metadata=_row(
      DURATION, "How long it may run, such as 90s; 24h on a cluster."
    ),
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
  build_service_account: str | None = field(
    default=None,
    metadata=_row(
      ACCOUNT, "The service account in Google Cloud that builds images."
    ),
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
  hosts: int | None = field(
    default=None,
    metadata=_row(MACHINES, "How many machines of GPUs or CPUs run it."),
  )
  slices: int = field(
    default=1,
    metadata=_row(MACHINES, "How many TPU slices run it, joined to one."),
  )
  retries: int = field(
    default=0,
    metadata=_row(
      STARTS, "How often it starts again when a machine dies or is taken away."
    ),
  )
  max_preemptions: int | None = field(
    default=None,
    metadata=_row(
      STARTS, "How often beyond that for what was taken away; 10 with :spot."
    ),
  )
  startup_timeout: float = field(
    default=STARTUP_TIMEOUT,
    metadata=_row(DURATION, "How long the hosts of a group await each other."),
  )
  distribution: str | None = field(
    default=None,
    metadata=_row(
      DISTRIBUTION, "What Keras does with all devices, else nothing."
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
