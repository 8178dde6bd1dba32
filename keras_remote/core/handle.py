"""JobHandle: a job, as the one who submitted it or attached to it holds it."""

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, Unpack, cast, overload

from keras_remote import errors
from keras_remote.backend.base import Backend
from keras_remote.constants import MIB
from keras_remote.core import collect, console, explain, hints, pending
from keras_remote.core import follow as following
from keras_remote.core.job import Ending, Job
from keras_remote.core.logs import HostLog, text
from keras_remote.core.options import OptionArguments
from keras_remote.core.sending import is_withdrawn, withdraw
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Outcome
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.storage.store import Store

R = TypeVar("R")


@dataclass(frozen=True)
class JobFile:
  """A file that the function left in its output folder.

  Attributes:
    path: relative to that folder, with forward slashes.
    size: bytes.
  """

  path: str
  size: int
  _directory: JobDirectory = field(repr=False)

  def open(self) -> BinaryIO:
    """The file's content as a stream."""
    return self._directory.open_file(self.path)

  def read_bytes(self) -> bytes:
    """The file's content."""
    with self.open() as file:
      return file.read()


def say_left(view: console.Console, job_id: str) -> None:
  """Says of a job that is waited for no longer how to come back to it."""
  view.say(
    f'{job_id} goes on; to come back: keras_remote.attach("{job_id}").follow()'
  )


class JobFiles(Sequence[JobFile]):
  """The files that a function left behind."""

  def __init__(self, files: Sequence[JobFile]) -> None:
    self._files = tuple(files)

  @overload
  def __getitem__(self, index: int) -> JobFile: ...
  @overload
  def __getitem__(self, index: slice) -> Sequence[JobFile]: ...
  def __getitem__(self, index: int | slice) -> JobFile | Sequence[JobFile]:
    return self._files[index]

  def __len__(self) -> int:
    return len(self._files)

  def __repr__(self) -> str:
    return f"JobFiles({[file.path for file in self._files]})"

  def copy_to(self, folder: str | Path) -> list[Path]:
    """Copies all of them below `folder`; the paths of the copies.

    Raises:
      IntegrityError: a path would leave the folder; nothing was copied.
    """
    target = Path(folder)
    copies = [target / file.path for file in self._files]
    for copy in copies:
      # By its name, or by a link that is there.
      if not copy.resolve().is_relative_to(target.resolve()):
        raise errors.IntegrityError(f"{copy} would leave {target}")
    for file, copy in zip(self._files, copies, strict=True):
      copy.parent.mkdir(parents=True, exist_ok=True)
      with file.open() as source, copy.open("wb") as to:
        while chunk := source.read(MIB):
          to.write(chunk)
    return copies


class JobHandle(Generic[R]):
  """A job: ask how it stands, wait for it, read its logs, cancel it.

  It holds nothing of the job's own: `keras_remote.attach(job.id)` gives
  another one, anywhere.
  """

  def __init__(
    self,
    job_id: str,
    store: Store,
    backend: Backend,
    submitted: "Future[JobSpec]",
  ) -> None:
    self._id = job_id
    self._directory = JobDirectory(store, job_id)
    self._backend = backend
    self._submitted = submitted

  @property
  def id(self) -> str:
    """The job's id; any unique part of it will do for `attach`."""
    return self._id

  @property
  def spec(self) -> JobSpec:
    """What runs and where; waits until the job is submitted.

    Raises:
      KerasRemoteError: it could not be.
    """
    return self._submitted.result()

  @property
  def emulated(self) -> bool:
    """Whether CPU devices stand in for the accelerator."""
    return self.spec.resources.emulated

  def status(self) -> State:
    """How the job stands now."""
    if not self._submitted.done():
      return State.PREPARING
    if is_withdrawn(self._submitted):
      return State.CANCELLED
    return self._job().observe().state

  def done(self) -> bool:
    """Whether the job has ended."""
    return self.status().ended

  def result(self, timeout: float | None = None) -> R:
    """What the function returned, when it has.

    Args:
      timeout: seconds to wait at most.

    Raises:
      BaseException: what the function raised, as itself, with the remote
        traceback as its cause.
      JobError: the job ended in another way.
      TimeoutError: the job has not ended within `timeout`; it goes on.
    """
    return cast(R, self._collect(self._ending(timeout)))

  def exception(self, timeout: float | None = None) -> BaseException | None:
    """What `result` would raise, or None.

    Raises:
      TimeoutError: the job has not ended within `timeout`; it goes on.
    """
    try:
      ending = self._ending(timeout)
    except errors.KerasRemoteError as error:
      return error
    try:
      self._collect(ending)
    except (KeyboardInterrupt, SystemExit):
      raise  # Of this process: those of the job come as RemoteError.
    except BaseException as error:
      return error
    return None

  def outcome(self, timeout: float | None = None) -> Outcome:
    """How the job ended; readable even where its result is not.

    Raises:
      TimeoutError: the job has not ended within `timeout`; it goes on.
    """
    return self._ending(timeout).outcome

  def _ending(self, timeout: float | None) -> Ending:
    try:
      spec = self._submitted.result(timeout)
    except TimeoutError:
      raise TimeoutError(f"job {self._id} is not submitted yet") from None
    job = Job(spec, self._directory, self._backend)
    return pending.ending(
      job, console.Console(), timeout, prefix=f"{self._id}: "
    )

  def logs(
    self, follow: bool = False, host: int = 0, tail: int | None = None
  ) -> Iterator[str]:
    """What a host printed, in pieces as they came.

    Where the job was started again this is what the last attempt printed.

    Args:
      follow: go on until the job ends; a line says when another attempt begins.
      tail: of what is there now only so many lines.

    Raises:
      ConfigError: the job has no such host.
    """
    hosts = self.spec.resources.hosts
    if not 0 <= host < hosts:
      raise errors.ConfigError(
        f"{self._id} has no host {host}: its hosts are 0 to {hosts - 1}"
      )
    return text(HostLog(self._job(), host), follow=follow, tail=tail)

  def tail(self, lines: int = 20, host: int = 0) -> str:
    """The last lines that a host printed.

    Raises:
      ConfigError: `lines` is no number from 0 on.
    """
    if not isinstance(lines, int) or lines < 0:
      raise errors.ConfigError(
        f"tail takes a number of lines from 0 on, not {lines!r}"
      )
    return "".join(self.logs(host=host, tail=lines)).rstrip("\n")

  def show_logs(self, *, follow: bool = False, tail: int | None = None) -> None:
    """Prints what all hosts printed, each line with its host.

    Args:
      follow: go on until the job ends.
      tail: of each host only so many lines of what is there now.
    """
    job, shown = self._job(), console.Console()
    following.show_logs(job, shown, follow=follow, tail=tail)

  def cancel(self) -> bool:
    """Cancels the job; False where it had ended before.

    One that is still being built or sent is not waited for: it is not sent.

    Raises:
      IntegrityError: it was sent from a home with another key.
    """
    if is_withdrawn(self._submitted):
      return False
    return withdraw(self._id, self._submitted) or self._job().cancel()

  def files(self) -> JobFiles:
    """What the function left in `current_job().output_dir`."""
    return JobFiles(
      [
        JobFile(entry.key, entry.size, self._directory)
        for entry in self._directory.files()
      ]
    )

  def why(self) -> explain.Explanation:
    """How the job stands, or why it ended as it did."""
    return explain.explain(self._job())

  def rerun(self, **changed: Unpack[OptionArguments]) -> "JobHandle[R]":
    """The same call as a new job, with some options changed."""
    from keras_remote.core import rerun

    job = rerun.rerun(self._job(), changed)
    submitted: Future[JobSpec] = Future()
    submitted.set_result(job.spec)
    return JobHandle(
      job.spec.job_id, job.directory.store, job.backend, submitted
    )

  def follow(self, view: console.Console | None = None) -> R:
    """Shows the job while it goes on; then what `result` gives or raises.

    Ctrl-C at a terminal cancels the job; in a notebook it leaves it.

    Args:
      view: what has shown the job so far.
    """
    shown = view or console.Console()

    def cancel() -> None:
      self.cancel()
      shown.say(f"cancelled {self._id}")

    notebook = "ipykernel" in sys.modules
    leave = functools.partial(say_left, shown, self._id)
    with following.interruptible(cancel, leave, notebook):
      if not self._submitted.done():
        with shown.busy("preparing"):
          wait([self._submitted])
      ending = following.follow(self._job(), shown)
    return cast(R, self._collect(ending))

  def future(self) -> "Future[R]":
    """The job as a future of concurrent.futures.

    Cancelling the future before the job ends cancels the job.
    """
    future = self._future()
    future.add_done_callback(
      lambda done: self.cancel() if done.cancelled() else None
    )
    return future

  def following(self, view: console.Console) -> "Future[R]":
    """What `follow` gives, as a future: this thread need not wait."""
    return self._future(lambda: self.follow(view))

  def _future(self, get: Callable[[], R] | None = None) -> "Future[R]":
    future: Future[R] = Future()

    def settle() -> None:
      # Somebody may have cancelled the future meanwhile.
      with contextlib.suppress(InvalidStateError):
        try:
          value = get() if get else self.result()
        except StopIteration as error:  # A coroutine cannot be given one.
          told = errors.RemoteError(f"StopIteration: {error}", job_id=self._id)
          told.__cause__ = error
          future.set_exception(told)
        except BaseException as error:
          future.set_exception(error)
        else:
          future.set_result(value)

    # A daemon: the interpreter's exit does not wait for the job.
    threading.Thread(
      target=settle, name=f"wait {self._id}", daemon=True
    ).start()
    return future

  def __await__(self) -> Generator[Any, None, R]:
    import asyncio

    # Whoever gives up waiting leaves the job, as with `result(timeout)`.
    return asyncio.wrap_future(self._future()).__await__()

  def __repr__(self) -> str:
    return f"<JobHandle {self._id} {self._shown_state()}>"

  def _repr_html_(self) -> str:
    import html

    command = f"keras-remote jobs logs {self._id}"
    return (
      f"<b>{html.escape(self._id)}</b> {html.escape(self._shown_state())}"
      f"<br><code>{html.escape(command)}</code>"
    )

  def _shown_state(self) -> str:
    try:
      return str(self.status())
    except errors.KerasRemoteError as error:
      return f"not submitted: {error}"

  def _job(self) -> Job:
    return Job(self.spec, self._directory, self._backend)

  def _collect(self, ending: Ending) -> Any:
    from keras_remote.pickling.exceptions import add_note
    from keras_remote.pickling.result import raise_here

    key = self._backend.signing_key()
    found = collect.collect(self._directory, self.spec, ending, key)
    if found.success:
      return found.value
    raised = found.exception
    if raised is not None:
      where = hints.host(ending.outcome, self.spec)
      for told in filter(None, [where, hints.hint(raised, self.spec)]):
        add_note(raised, f"keras_remote: {told}")
    raise_here(found, self._id)
