"""How what runs on one host ends, and what of it is stored then."""

import contextlib
import time

from keras_remote import errors
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from keras_remote.runner import (
  group,
  heartbeat,
  logs,
  mirror,
  orders,
  process,
)

# Seconds between SIGTERM and SIGKILL: Kubernetes gives 30 for all of it.
GRACE = 10.0
# Seconds that the pipe is read after the worker's end.
DRAIN = 1.0
# The endings that leave the worker time to save what it has.
_SAVING = (Cause.CANCELLED, Cause.TIMEOUT)


class Closing:
  """Ends a host's worker and all beside it, in the order that JAX bears.

  Args:
    output: what the function leaves behind.
    leads: whether this is host 0.
    grouped: whether there are others.
  """

  def __init__(
    self,
    worker: process.Worker,
    pump: logs.LogPump,
    output: mirror.Mirror,
    *,
    leads: bool,
    grouped: bool,
  ) -> None:
    self._worker = worker
    self._pump = pump
    self._output = output
    self._leads = leads
    self._grouped = grouped
    self._group: group.Group | None = None
    self._counter: heartbeat.Counter | None = None

  def join(self, its: group.Group | None, counter: heartbeat.Counter) -> None:
    """From here on the host is of an attempt, with this heart."""
    self._group, self._counter = its, counter

  def part(self, grace: float, *, asked: bool = True) -> process.Exit:
    """Ends the worker; that of host 0 when the other hosts have saved.

    JAX ends the others when host 0 leaves.
    """
    deadline = time.monotonic() + grace
    if asked and self._worker.last_answer(0) is None:
      self._worker.ask()
    if self._grouped:
      group.wait_until(self._may_part, deadline)
      self._worker.send(orders.APART)
    return self._worker.end(deadline - time.monotonic(), asked=False)

  def part_together(self) -> process.Exit:
    """Ends the worker as those of all hosts end, which have returned."""
    self._worker.send(orders.TOGETHER)
    ended = self._worker.end(GRACE, asked=False)
    self.close(0)
    if self._group:
      self._group.await_stored(GRACE)
    return ended

  def close(self, grace: float, *, asked: bool = True) -> None:
    """Ends what runs here and stores the last of what it printed and left."""
    self.part(grace, asked=asked)
    process.end_descendants()
    self.push()
    self._pump.close(DRAIN)
    if self._counter and not self._leads:
      with contextlib.suppress(errors.StoreError):
        self._counter.end()

  def leave(self, outcome: Outcome | None) -> None:
    """Ends what still runs here, when the job has ended."""
    saving = outcome is None or outcome.cause in _SAVING
    failed = outcome is None or outcome.state is not State.SUCCEEDED
    if self._grouped and self._leads and failed and not saving:
      # The others go first: JAX floods their logs when host 0 does.
      time.sleep(heartbeat.CALM_SECONDS + heartbeat.GROUP_SECONDS)
    # The survivors of a group hang in a collective and save nothing.
    self.close(GRACE if saving else 0, asked=saving)

  def push(self) -> None:
    """Stores what the function has left by now."""
    try:
      self._output.push()
    except errors.StoreError as error:
      self._pump.note(f"not all files of the output could be stored: {error}")

  def _may_part(self) -> bool:
    if self._worker.poll() is not None:
      return True
    answered = self._worker.last_answer(0) is not None
    return answered and (self._group is None or self._group.may_part())
