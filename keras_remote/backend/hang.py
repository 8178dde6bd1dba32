"""What holds up a group, for whoever looks at its job."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from keras_remote import clock, errors
from keras_remote.backend.base import Observation
from keras_remote.job import attempts
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import lasted
from keras_remote.job.line import one_line
from keras_remote.job.outcome import Present
from keras_remote.job.state import State

# Between two looks: stores cannot push.
SECONDS = 5.0
# Seconds after which a host that does not come holds up the others.
_PATIENCE = 10.0


class GroupLook:
  """Looks at what the hosts of a job say, at most every `SECONDS`.

  A look that fails has seen nothing.

  Args:
    now: seconds on this process's own clock, as no two are compared.
  """

  def __init__(
    self,
    directory: JobDirectory,
    hosts: int,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._hosts = hosts
    self._now = now
    self._looked: float | None = None
    self._attempt: int | None = None
    # Whose roll it is, and since when it is seen that nobody more has come.
    self._roll: tuple[str, Sequence[int]] | None = None
    self._since = 0.0
    self._hang = ""

  def add(self, seen: Observation, attempt: int | None = None) -> Observation:
    """The same, with what holds up the group.

    Args:
      attempt: the newest, 0 for none; None where that is to be looked for.
    """
    if self._hosts == 1:
      return seen
    now = self._now()
    if (
      self._looked is None
      or now - self._looked >= SECONDS
      or attempt != self._attempt
    ):
      self._looked, self._attempt = now, attempt
      with contextlib.suppress(errors.KerasRemoteError):
        self._look(attempt)
    if self._roll:
      waits = now - self._since
      sentence = f"{seen.sentence}: {self._called(self._roll[1], waits)}"
      held_up = waits >= _PATIENCE
    elif self._hang:
      sentence, held_up = f"{seen.sentence}, but {self._hang}", True
    else:
      return seen
    held_up = held_up and seen.state is State.RUNNING
    return dataclasses.replace(seen, sentence=sentence, held_up=held_up)

  def _look(self, attempt: int | None) -> None:
    self._hang, roll, self._roll = "", self._roll, None
    directory = self._directory
    if attempt is None:
      attempt = max(directory.attempts(), default=0)
    started = directory.started(attempt) if attempt else None
    leader = directory.present(0)
    formed = started and (not leader or leader.token in started.members)
    if leader and not formed:
      self._roll = leader.token, self._missing(leader)
      if self._roll != roll:
        self._since = self._now()
    elif started and (hang := directory.hang(attempt)):
      # Nobody signed it, and a file may have any name.
      self._hang = one_line(hang.sentence)

  def _missing(self, leader: Present) -> Sequence[int]:
    present = map(self._directory.present, range(1, self._hosts))
    return [
      host
      for host, each in enumerate(present, 1)
      if each is None or each.answers != leader.token
    ]

  def _called(self, missing: Sequence[int], waits: float) -> str:
    came = self._hosts - len(missing)
    have = "has" if came == 1 else "have"
    told = f"{came} of {self._hosts} hosts {have} come"
    if not missing:
      return told
    have = "has" if len(missing) == 1 else "have"
    told += f"; {attempts.listed(missing)} {have} not"
    if waits < _PATIENCE:
      return told
    return f"{told}, for more than {lasted(waits)}"
