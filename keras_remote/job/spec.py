"""JobSpec: what to run and where, fixed before anything starts."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

# Seconds that a job may run on a cluster where nobody says it: what hangs, or is
# forgotten, is paid for no longer.
TIMEOUT = 24 * 60 * 60.0
# Seconds. A permission that was given takes some minutes to be known everywhere.
PENDING_TIMEOUT = 600.0
# Seconds. A pool that makes a slice's machines makes them within minutes of each
# other.
STARTUP_TIMEOUT = 600.0

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Origin:
  """Who asked for the job, when, and from which state of the project.

  Attributes:
    name: what people call it; the function's name unless they chose one.
    parent: the id of the job that this one runs again, or None.
    who: "user@host".
    submitted: ISO 8601, UTC.
    git_commit: the commit's hex digits, or None outside a repository.
    git_dirty: whether the working tree differed from that commit.
  """

  job_id: str
  name: str
  tags: tuple[str, ...]
  parent: str | None
  who: str
  submitted: str
  git_commit: str | None = None
  git_dirty: bool = False


class EntryKind(enum.StrEnum):
  """What is run: a pickled function, or a command."""

  CALL = "call"
  COMMAND = "command"


@dataclass(frozen=True)
class Entry:
  """What is run.

  Attributes:
    qualname: `module:qualname` of the function; empty for a command.
    argv: the command; empty for a function.
    params: bound arguments as flat, redacted scalars, for people to read.
  """

  kind: EntryKind
  qualname: str = ""
  argv: tuple[str, ...] = ()
  params: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
  """What the function finds around it there.

  Attributes:
    python: the client's version, such as "3.11.7".
    packages: versions of the distributions that matter, by name.
    keras_backend: jax, torch or tensorflow.
    cwd: the current directory, relative to the context's root.
    sys_path: entries of sys.path within the context, relative to its root.
    imports: modules outside the context that the function uses.
    variables: names of environment variables that are set; never values.
    root: the context's root on the submitting machine, for reading paths.
    distribution: what Keras is told to spread over all devices before the
      function is called: "data_parallel", or "" for nothing.
  """

  python: str
  packages: Mapping[str, str]
  keras_backend: str
  cwd: str
  sys_path: tuple[str, ...]
  imports: tuple[str, ...]
  variables: tuple[str, ...]
  root: str
  distribution: str = ""


@dataclass(frozen=True)
class Resources:
  """What it runs on.

  Attributes:
    accelerator: the canonical name, such as "v5e-8".
    hosts: how many machines, or on the local backend pairs of processes; of
      all slices together.
    slices: how many TPU slices of the accelerator; the hosts of one slice come
      after those of another.
    emulated: whether CPU devices stand in for the accelerator.
    cpu_devices: how many CPU devices JAX shows on a host; None where it
      shows the accelerator itself.
    cpu: cores a host, as in quantity.py; None for a backend's own choice.
    memory: bytes a host has at most, as in quantity.py; the same.
    queue: what admits it, where several share a cluster; None for nothing.
    priority_class: what may take whose place there; None for the default.
    service_account: whom it is to a cluster; None for the default.
  """

  accelerator: str
  hosts: int = 1
  emulated: bool = False
  cpu_devices: int | None = None
  cpu: str | None = None
  memory: str | None = None
  queue: str | None = None
  priority_class: str | None = None
  service_account: str | None = None
  slices: int = 1


@dataclass(frozen=True)
class Limits:
  """How long and how often.

  Attributes:
    timeout: seconds of running, not of waiting; None for no limit.
    pending_timeout: seconds of waiting for what waiting alone does not bring,
      such as an image that does not exist.
    startup_timeout: seconds that the hosts of a group wait for each other.
    retries: attempts beyond the first.
    max_preemptions: attempts beyond those, for what took a machine away.
  """

  timeout: float | None = None
  startup_timeout: float = STARTUP_TIMEOUT
  retries: int = 0
  pending_timeout: float = PENDING_TIMEOUT
  max_preemptions: int = 0


@dataclass(frozen=True)
class Target:
  """All that `attach` elsewhere needs to find the job's processes.

  Attributes:
    store: the address of the store that holds the job's directory.
    place: where the backend keeps its processes, in its own words.
  """

  backend: str
  store: str
  place: str


@dataclass(frozen=True)
class Image:
  """What the job's container is made of.

  Attributes:
    reference: of the image; "" where there is no container.
    requirements: PEP 508 lines that are installed in it at the start; none
      where the image has all.
    category: of the accelerators that it is for; "" where it is an image of
      the user's own.
    dependencies: the lines that the user asked for, of which it is made.
    sources: by what the places that packages come from are told apart, where
      they are not the usual ones: see environments.py.
  """

  reference: str = ""
  requirements: tuple[str, ...] = ()
  category: str = ""
  dependencies: tuple[str, ...] = ()
  sources: str = ""


@dataclass(frozen=True)
class JobSpec:
  """What to run and where; `spec.json` in the job's directory.

  Attributes:
    payload: sha256 of payload.pkl; None for a command.
    context: sha256 of the context's zip.
  """

  origin: Origin
  entry: Entry
  environment: Environment
  resources: Resources
  limits: Limits
  target: Target
  payload: str | None
  context: str
  image: Image = Image()

  @property
  def job_id(self) -> str:
    """The job's id."""
    return self.origin.job_id
