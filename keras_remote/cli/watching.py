"""A job that a command waits for, to its end and its value."""

import contextlib
from collections.abc import Generator
from typing import Any

from keras_remote import errors
from keras_remote.cli.failure import JOB_FAILED, CommandError, users_traceback
from keras_remote.cli.output import Output
from keras_remote.core.console import Console
from keras_remote.core.handle import JobHandle
from keras_remote.job.outcome import Outcome
from keras_remote.job.spec import EntryKind, JobSpec
from keras_remote.job.state import State

_SIGNALLED = 128  # What shells add to the number of a signal.


def watch(out: Output, job: JobHandle[Any], *, detach: bool) -> None:
  """Shows a job until it ends and prints its value; detached only its id.

  Raises:
    CommandError: the job failed.
    KerasRemoteError: it could not be submitted, or its result not be read.
    OSError: what it printed cannot be written, though somebody reads.
  """
  if detach:
    out.show({"id": job.spec.job_id}, job.id)
    return
  with failing(out, job), out.live():
    shown = Console()
    value = job.follow(shown)
  content = {"id": job.id, "state": State.SUCCEEDED, "result": value}
  out.show(content, *([] if value is None else [repr(value)]))
  if shown.lost:
    raise shown.lost


def call_here(out: Output, spec: JobSpec, *, debug: bool) -> None:
  """Calls what a job called in this process, and prints its value.

  Raises:
    CommandError: it failed.
    KerasRemoteError: it could not be called.
  """
  from keras_remote.core.rerun import rerun_local

  try:
    with out.live():
      value = rerun_local(spec, debug=debug)
  except errors.RemoteError as error:
    raise CommandError(str(error), error.exit_code or JOB_FAILED) from error
  except errors.WorkerDiedError as error:
    code = _SIGNALLED + (error.signal or 0)
    raise CommandError(str(error), code) from error
  except errors.KerasRemoteError:
    raise
  # A user's function may raise anything.
  except (Exception, SystemExit) as error:
    raise CommandError("", JOB_FAILED, text=users_traceback(error)) from error
  content = {"id": spec.job_id, "result": value}
  out.show(content, *([] if value is None else [repr(value)]))


@contextlib.contextmanager
def failing(out: Output, job: JobHandle[Any]) -> Generator[None]:
  """Turns what a failed job raises into a CommandError with its traceback.

  Where a document is asked for, how the job ended is printed too.
  """
  try:
    yield
  except errors.IntegrityError:
    raise
  except Exception as error:  # A user's function may raise anything.
    outcome = job.why().outcome
    if outcome is None or outcome.state is State.SUCCEEDED:
      raise
    if out.as_json:
      out.show({"id": job.id, "state": outcome.state, "outcome": outcome})
    notes = [
      str(note).removeprefix("keras_remote: ")
      for note in getattr(error, "__notes__", ())
      if note not in outcome.traceback
    ]
    message = "" if outcome.traceback else str(error)
    raise CommandError(
      "\n".join([message] * bool(message) + notes),
      exit_code(job.spec, outcome),
      text=outcome.traceback,
    ) from error


def exit_code(spec: JobSpec, outcome: Outcome) -> int:
  """What a command that waits for the job ends with."""
  if outcome.state is State.SUCCEEDED:
    return 0
  if spec.entry.kind is EntryKind.COMMAND and outcome.state is State.FAILED:
    if outcome.signal is not None:
      return _SIGNALLED + outcome.signal
    return outcome.exit_code or JOB_FAILED
  return JOB_FAILED
