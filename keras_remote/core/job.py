"""A submitted job, as everything in this room sees it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from keras_remote import errors
from keras_remote.backend.base import Backend, Observation
from keras_remote.job import endings, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Outcome
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.packaging.provenance import who


@dataclass(frozen=True)
class Ending:
  """How a job ended.

  Attributes:
    result: what its result's file holds, where that came along; not yet
      checked.
  """

  outcome: Outcome
  result: bytes | None = field(default=None, repr=False)


def ending_of(seen: Observation) -> Ending | None:
  """The ending that was seen, if one was."""
  return Ending(seen.outcome, seen.result) if seen.outcome else None


@dataclass(frozen=True)
class Job:
  """A submitted job, with all that is needed to see and to end it."""

  spec: JobSpec
  directory: JobDirectory
  backend: Backend

  def observe(self) -> Observation:
    """How it stands now."""
    return next(iter(self.watch(timeout=0)))

  def watch(self, timeout: float | None = None) -> Iterator[Observation]:
    """How it stands now, then every change, until it ends.

    Processes that are gone and said nothing are an ending too: it is stored
    here, and what they left behind is removed.

    Raises:
      IntegrityError: they are gone, and the spec is not the one that was sent.
    """
    first = True
    for seen in self.backend.watch_job(self.spec, timeout=timeout):
      if seen.state is State.LOST and seen.outcome is None:
        # Who may only look leaves it to others to end it.
        with contextlib.suppress(errors.ClusterAccessError):
          settled = self._ended() or self._settle(seen.sentence)
          seen = Observation(settled.state, settled.message, settled)
      elif seen.overdue:
        # As above.
        with contextlib.suppress(errors.ClusterAccessError):
          if ended := self._give_up(seen.sentence):
            seen = Observation(ended.state, ended.message, ended)
      elif seen.outcome:
        explained = self._explained(seen.outcome)
        if explained != seen.outcome:
          seen = Observation(explained.state, explained.message, explained)
      if first and seen.state.ended:
        with contextlib.suppress(errors.ClusterAccessError):
          self._clean_up()
      first = False
      yield seen
      if seen.state.ended:
        return

  def outcome(self, timeout: float | None = None) -> Outcome:
    """How it ended, when it has; its signature is left to who uses it.

    Raises:
      TimeoutError: it has not, within `timeout` seconds; it goes on.
    """
    return self.ending(timeout).outcome

  def ending(
    self,
    timeout: float | None = None,
    told: Callable[[Observation], object] = lambda _: None,
  ) -> Ending:
    """The same, with its result where that came along with it.

    Args:
      told: called with all that is seen meanwhile.
    """
    ending, ended = None, False
    for seen in self.watch(timeout):
      told(seen)
      ending, ended = ending_of(seen), seen.state.ended
    if ending is None and ended:
      self.key()  # It says what is needed to know more.
    if ending is None:
      raise TimeoutError(
        f"job {self.spec.job_id} has not ended within {timeout:g} s: it goes on"
      )
    return ending

  def _ended(self) -> Outcome | None:
    """How it ended, as far as is known.

    What the job's key did not sign is no ending, unless that key is not known
    here: then all there is can be shown, though nothing of it be used.
    """
    found = self.directory.outcome(self.key())
    if found is None and (told := self.directory.outcome()):
      try:
        self.directory.spec(key=self.key())
      except errors.IntegrityError:
        return told
    return found and self._explained(found)

  def _explained(self, outcome: Outcome) -> Outcome:
    def ask(allocation: str) -> str:
      # It has ended, whether or not the backend can still be asked.
      with contextlib.suppress(errors.KerasRemoteError):
        return self.backend.death(self.spec, allocation)
      return ""

    return endings.explained(self.directory, outcome, ask)

  def _settle(self, why: str) -> Outcome:
    # A forged spec must not end a job that runs elsewhere.
    try:
      self.directory.spec(key=self.key())
    except errors.IntegrityError:
      if self.directory.signed():
        raise
      # It is stored side by side, and its submitter died at it.
      return endings.unsent(self.directory, self.key(), why, who())
    settled = endings.settle(self.directory, self.spec, self.key(), why, who())
    settled = self._explained(settled)
    # It has ended, whatever more its reader may do.
    with contextlib.suppress(errors.ClusterAccessError):
      self._keep_logs()
    with contextlib.suppress(errors.ClusterAccessError):
      self.backend.cleanup_job(self.spec)
    return settled

  def _give_up(self, why: str) -> Outcome | None:
    """Ends a job that waits in vain; None where it may have begun."""
    self.directory.spec(key=self.key())
    ended = endings.give_up(self.directory, self.spec, self.key(), why, who())
    if ended is not None:
      with contextlib.suppress(errors.ClusterAccessError):
        self.backend.cleanup_job(self.spec)
    return ended

  def _clean_up(self) -> None:
    """Removes what a killed first process left, after the job's end."""
    if self.backend.abandoned(self.spec):
      self._keep_logs()
      self.backend.cleanup_job(self.spec)

  def key(self) -> bytes:
    """The key with which the job's endings are signed."""
    return signing.job_key(self.backend.signing_key(), self.spec.job_id)

  def _keep_logs(self) -> None:
    """Stores what the processes printed and did not store themselves."""
    for attempt in self.directory.attempts()[-1:]:
      started = self.directory.started(attempt)
      for host in range(self.spec.resources.hosts):
        offset = self.directory.log_end(attempt, host)
        for data in self.backend.job_logs(
          self.spec,
          host,
          allocation=started.allocation_of(host) if started else None,
          offset=offset,
          follow=False,
        ):
          self.directory.create_log_segment(attempt, host, offset, data)
          offset += len(data)

  def cancel(self) -> bool:
    """Ends it as cancelled; False where it had ended before.

    Raises:
      IntegrityError: it was sent with another key: only who has that can end
        it, as the job heeds no other.
    """
    outcome = self._ended()
    if outcome is None:
      self.directory.spec(key=self.key())
      outcome = endings.cancel(self.directory, self.spec, self.key(), who())
    # What restarts a group may have stayed after its end.
    if outcome.state is State.CANCELLED or self.backend.restarts_groups:
      self.backend.cancel_job(self.spec)
    self._clean_up()
    return outcome.state is State.CANCELLED
