"""Waits for a job's ending, and says meanwhile why it does not run yet."""

import contextlib
import math

from keras_remote import clock
from keras_remote.backend.base import Observation
from keras_remote.core.console import Console
from keras_remote.core.job import Ending, Job, ending_of
from keras_remote.job.state import State

# Seconds for which a job may wait and nothing is said of it: where somebody
# looks, and in what is kept, such as the log of a CI.
PATIENCE, QUIET = 0.5, 5.0
_WAITING = (State.PREPARING, State.QUEUED, State.PENDING)


def ending(
  job: Job,
  console: Console,
  timeout: float | None = None,
  *,
  prefix: str = "",
  quiet: float = QUIET,
) -> Ending:
  """How the job ended, when it has.

  Args:
    prefix: of each line that is said.
    quiet: seconds for which nothing is said.

  Raises:
    TimeoutError: it has not, within `timeout` seconds; it goes on.
  """
  deadline = math.inf if timeout is None else clock.monotonic() + timeout
  if timeout is not None and timeout <= quiet:
    return job.ending(timeout)
  seen = Observation(State.PREPARING, "")
  for seen in job.watch(quiet):
    if seen.state not in _WAITING:
      break
  found = ending_of(seen)
  if found:
    return found
  with contextlib.ExitStack() as shown:
    if seen.state in _WAITING:
      shown.enter_context(console.busy(seen.sentence))

    def told(seen: Observation) -> None:
      if seen.state not in _WAITING:
        shown.close()
      if seen.held_up:
        console.held_up(seen.sentence, prefix)
      elif seen.state in _WAITING:
        # Also where it ran, and is started again.
        console.waits(seen.sentence, prefix)

    try:
      return job.ending(_left(deadline), told)
    except TimeoutError:
      raise TimeoutError(
        f"job {job.spec.job_id} has not ended within {timeout:g} s: it goes on"
      ) from None


def _left(deadline: float) -> float | None:
  return (
    None if math.isinf(deadline) else max(0.0, deadline - clock.monotonic())
  )
