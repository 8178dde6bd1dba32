"""A job that is being sent, and perhaps cancelled meanwhile.

Its future says which of the two it was: who settles that first decides.
"""

import functools
import threading
from concurrent.futures import Future, InvalidStateError

from keras_remote import errors
from keras_remote.job.spec import JobSpec


class Withdrawn(BaseException):
  """Ends the sending of a job that nobody wants any more.

  As a Ctrl-C it is this call's own: no error that others should see.
  """


def withdraw(job_id: str, submitted: "Future[JobSpec]") -> bool:
  """Cancels a job that is not sent yet; False where that has ended."""
  cancelled = errors.JobCancelledError(
    f"job {job_id} was cancelled before it was sent", job_id=job_id
  )
  try:
    submitted.set_exception(cancelled)
  except InvalidStateError:
    return False
  return True


def is_withdrawn(submitted: "Future[JobSpec]") -> bool:
  """Whether it was cancelled before it was sent."""
  return submitted.done() and isinstance(
    submitted.exception(), errors.JobCancelledError
  )


class Sending(threading.Thread):
  """Sends a job; the interpreter's exit waits until it has."""

  def start(self) -> None:
    _wait_at_exit()
    super().start()


@functools.cache
def _wait_at_exit() -> None:
  # Threads are joined at exit in any case, but only after concurrent.futures
  # is closed, which sending needs. No public call comes before that.
  threading._register_atexit(_join)  # type: ignore


def _join() -> None:
  for thread in threading.enumerate():
    if isinstance(thread, Sending):
      thread.join()
