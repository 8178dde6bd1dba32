"""What a backend is: it starts processes, and says what became of them."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from keras_remote.checks import Link
from keras_remote.job.outcome import Outcome
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State


@dataclass(frozen=True)
class Submission:
  """All that a backend is given of a job.

  Attributes:
    digest: sha256 of spec.json as it is stored.
    runner: the runner's archive on this machine.
    environ: environment values for the job: secrets may be among them.
    key: the job's own key.
    recipe: what its first process installs, with another key, as it is to be
      read there; empty where that is nothing.
  """

  spec: JobSpec
  digest: str
  runner: Path
  environ: Mapping[str, str]
  key: bytes
  recipe: bytes = b""


@dataclass(frozen=True)
class Wanted:
  """What the settings in force say of a cluster; the local backend has none.

  Attributes:
    context: of the kubeconfig.
    namespace: None for the context's own.
    queue: what admits a job to the cluster.
    service_account: whom a job's pods are.
    project: of Google Cloud, which has the cluster.
    zone: the cluster's zone or region; None: it is looked for.
    cluster: a GKE cluster's name.
    service_account: whom a job is to a cluster; None for the default.
  """

  context: str | None = None
  namespace: str | None = None
  queue: str | None = None
  project: str | None = None
  zone: str | None = None
  cluster: str | None = None
  service_account: str | None = None


@dataclass(frozen=True)
class Cloud:
  """A place in Google Cloud.

  Attributes:
    zone: a zone or region.
  """

  project: str
  zone: str


@dataclass(frozen=True)
class Observation:
  """What a backend sees of a job.

  Attributes:
    sentence: what a person can act on.
    outcome: how it ended, where that was read.
    result: the result, where it came along; not yet checked.
    overdue: whether it has waited for its `pending_timeout` for what waiting
      alone does not bring.
    hosts: what each host does, where it has several and that is known; it
      makes no other observation of it.
    held_up: whether the sentence says what holds up a job that runs.
  """

  state: State
  sentence: str
  outcome: Outcome | None = None
  result: bytes | None = field(default=None, repr=False)
  overdue: bool = False
  hosts: tuple[str, ...] = field(default=(), compare=False)
  held_up: bool = False


@dataclass(frozen=True)
class Shown:
  """What of a log a live view has shown.

  Attributes:
    allocation: the processes that printed it, by the backend's token; "" where
      none were found.
    whole: whether this was all: they have stored how the job ended, and
      nothing that they printed can be missing.
  """

  allocation: str = ""
  whole: bool = False


class Backend(Protocol):
  """A place where jobs run; it knows nothing of payloads or results."""

  @property
  def name(self) -> str:
    """What `backend=` calls it."""
    ...

  @property
  def place(self) -> str:
    """Where its processes are, for `attach` from elsewhere.

    Raises:
      KerasRemoteError: a cluster had to be asked for, and was not found.
    """
    ...

  @property
  def emulates(self) -> bool:
    """Whether CPU devices stand in for accelerators here."""
    ...

  @property
  def restarts_groups(self) -> bool:
    """Whether the hosts of a job are started again together, if one is lost.

    True also where none is ever lost but with all others.
    """
    ...

  @property
  def contains(self) -> bool:
    """Whether its jobs run in containers, which are made of images."""
    ...

  @property
  def usual_timeout(self) -> float | None:
    """Seconds that a job may run where nobody says it; None: without limit.

    A place has one where a job goes on, and is paid for, with nobody there.
    """
    ...

  @property
  def in_google_cloud(self) -> bool:
    """Whether its machines are Google Cloud's, as far as names tell."""
    ...

  @property
  def cloud(self) -> Cloud | None:
    """Where the images of its jobs are made; None where nobody makes any."""
    ...

  def check_hosts(self, hosts: int, *, named: bool, slices: int = 1) -> None:
    """Passes for a number of hosts that can run here.

    Args:
      named: whether the user chose this backend by name.
      slices: of how many TPU slices they are.

    Raises:
      ConfigError: they are too many, or of too many slices.
    """
    ...

  def check_call(self, store: str, environ: Mapping[str, str]) -> None:
    """Passes for a store and environment values that its jobs can have.

    Raises:
      ConfigError: they cannot, or a setting is missing that a job needs.
    """
    ...

  def submit_job(
    self,
    submission: Submission,
    stored: Callable[[], object] = lambda: None,
  ) -> None:
    """Starts the job's processes; a second time it does nothing.

    Args:
      stored: waits until the job's directory is there, and raises where it
        could not be stored; then nothing is started, and nothing left.

    Raises:
      SubmitError: they cannot be started.
    """
    ...

  def watch_job(
    self, spec: JobSpec, *, timeout: float | None = None
  ) -> Iterator[Observation]:
    """What is seen now, then every change; ends after a state that ends.

    Every such state has an outcome but LOST: it means that the processes are
    gone and stored none.

    Args:
      timeout: seconds after which it ends in any case.
    """
    ...

  def job_logs(
    self,
    spec: JobSpec,
    host: int,
    *,
    allocation: str | None = None,
    offset: int = 0,
    follow: bool = True,
  ) -> Generator[bytes, None, Shown]:
    """A live view of what a host prints, from byte `offset` on.

    Args:
      allocation: of these processes alone, as far as they are here; None for
        those of the last start.
      follow: go on until they end, rather than to what is there now.
    """
    ...

  def cancel_job(self, spec: JobSpec) -> None:
    """Tells the job's processes to stop; their ending is stored already."""
    ...

  def abandoned(self, spec: JobSpec) -> bool:
    """Whether its first processes were killed, and left something here.

    As far as is known here: nobody is asked for it. What nobody knows of is
    the cluster's to remove.
    """
    ...

  def death(self, spec: JobSpec, allocation: str) -> str:
    """Why the processes of this allocation died; "" where nothing is known.

    It is asked where they could not say so themselves.
    """
    ...

  def cleanup_job(self, spec: JobSpec) -> None:
    """Removes all that is left of a job that has ended."""
    ...

  def signing_key(self) -> bytes:
    """The key from which the keys of jobs are made.

    Raises:
      CredentialsError: this user may not have it.
    """
    ...

  def checks(self) -> Sequence[Link]:
    """What its calls take, link by link; nothing is asked before a look."""
    ...
