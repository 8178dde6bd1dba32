"""From a job's outcome to its value, or to the exception it stands for."""

import contextlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from typing import TYPE_CHECKING, BinaryIO, cast

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.core.job import Ending
from keras_remote.job import fetch, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.line import printable
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import EntryKind, JobSpec
from keras_remote.job.state import State

if TYPE_CHECKING:
  from keras_remote.pickling.result import Result

_IN_MEMORY = 64 * MIB


def collect(
  directory: JobDirectory, spec: JobSpec, ending: Ending, cluster_key: bytes
) -> "Result":
  """What the function returned, or the exception that stands for the ending.

  Raises:
    IntegrityError: the ending or the result is not what the job wrote;
      nothing was unpickled.
    PackagingError: the result cannot be unpickled here.
  """
  from keras_remote.pickling.result import Result

  outcome = ending.outcome
  key = signing.job_key(cluster_key, spec.job_id)
  signing.verify(outcome, spec.job_id, key)
  if outcome.result is not None:
    with _backend(spec.environment.keras_backend):
      return _unpickled(directory, outcome.result, ending.result)
  if outcome.state is State.SUCCEEDED:
    return Result(True, None, None, "")
  return Result(False, None, error_of(spec, outcome), outcome.traceback)


@contextlib.contextmanager
def _backend(name: str) -> Generator[None]:
  """What the result imports of Keras would else look for tensorflow."""
  if "keras" in sys.modules or "KERAS_BACKEND" in os.environ:
    yield
    return
  os.environ["KERAS_BACKEND"] = name
  try:
    yield
  finally:
    # A keras that was loaded meanwhile goes on with it.
    if "keras" not in sys.modules:
      del os.environ["KERAS_BACKEND"]


def error_of(spec: JobSpec, outcome: Outcome) -> Exception:
  """The error that stands for an ending without a result."""
  # Python shows it on the user's terminal as it is.
  job_id, said = spec.job_id, printable(outcome.message)
  message = f"job {job_id}: {said}"
  cure = f"; its logs: keras-remote jobs logs {job_id}"
  if outcome.state is State.TIMED_OUT:
    return errors.JobTimeoutError(message, job_id=job_id)
  if outcome.state is State.CANCELLED:
    return errors.JobCancelledError(
      f"job {job_id} was cancelled {said}", job_id=job_id
    )
  if outcome.state is State.LOST:
    return errors.JobLostError(message + cure, job_id=job_id)
  if spec.entry.kind is EntryKind.COMMAND and outcome.exit_code is not None:
    return errors.RemoteError(
      message, job_id=job_id, exit_code=outcome.exit_code
    )
  if outcome.cause in (Cause.EXIT, Cause.SIGNAL, Cause.MEMORY):
    return errors.WorkerDiedError(
      message + _hint(outcome) + cure,
      job_id=job_id,
      exit_code=outcome.exit_code,
      signal=outcome.signal,
    )
  module, _, name = outcome.exception_type.rpartition(".")
  cls = getattr(errors, name, None) if module == errors.__name__ else None
  if cls is not None and not issubclass(cls, errors.JobError):
    return cls(message)
  return errors.RemoteError(
    message,
    job_id=job_id,
    type_name=outcome.exception_type,
    traceback=outcome.traceback,
  )


def _hint(outcome: Outcome) -> str:
  if outcome.cause is Cause.MEMORY:
    return " (on a cluster, memory= asks for more)"
  if outcome.signal == signal.SIGKILL:
    return " (often the machine ran out of memory)"
  if outcome.signal in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
    return " (a fault in native code: the log has its stack)"
  return ""


def _unpickled(
  directory: JobDirectory, digest: str, given: bytes | None
) -> "Result":
  from keras_remote.pickling.result import load_result

  # Checked whole before anything is unpickled: what is read twice could
  # change in between.
  with (
    _opened(directory, digest, given) as source,
    tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy,
  ):
    stream = cast(BinaryIO, copy)
    fetch.copy_checked(
      source, stream, digest, f"the result of {directory.job_id}"
    )
    copy.seek(0)
    return load_result(stream)


def _opened(
  directory: JobDirectory, digest: str, given: bytes | None
) -> BinaryIO:
  """The result: what came along, if it is that."""
  if given is not None and layout.digest(given) == digest:
    return io.BytesIO(given)
  return directory.open_result(digest)
