"""A job that is being sent, and is cancelled meanwhile.

Its future says which of the two it was: who settles that first decides.
"""

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
