"""What is noted of one cluster while it is changed, by nobody else meanwhile."""

from collections.abc import Collection, Mapping

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Program
from keras_remote.cli.infra.state import Phase, Record, State


class Ledger:
  """The record of a cluster that one process changes.

  Args:
    planned: the record by which was decided what to do; None where there was
      none.

  Attributes:
    refused: why a program that was to be noted did not run.
  """

  def __init__(
    self, state: State, config: InfraConfig, planned: Record | None
  ) -> None:
    self._state, self._config, self._record = state, config, planned
    self.refused: errors.KerasRemoteError | None = None

  def check(self) -> None:
    """Passes where the record is the one that was planned by.

    Raises:
      ConfigError: somebody has changed the cluster since.
    """
    found = self._state.record(self._config)
    if found != self._record:
      raise _changed(self._config, found)

  @property
  def adopted(self) -> Mapping[str, str]:
    """What is somebody else's, as it is noted."""
    return self._record.adopted if self._record else {}

  @property
  def kept(self) -> Collection[str]:
    """Keys of what a `--keep-data` left, or is to leave, as it is noted."""
    return self._record.kept if self._record else ()

  def note(
    self,
    phase: Phase,
    *,
    adopted: Mapping[str, str] | None = None,
    kept: Collection[str] | None = None,
  ) -> None:
    """Notes how far the cluster is, unless somebody else has.

    Args:
      adopted: in place of what is noted of it.
      kept: the same.

    Raises:
      ConfigError: somebody has.
    """
    if not self.end(phase, adopted=adopted, kept=kept):
      raise _changed(self._config, self._state.record(self._config))

  def end(
    self,
    phase: Phase,
    *,
    adopted: Mapping[str, str] | None = None,
    kept: Collection[str] | None = None,
  ) -> bool:
    """The same; False where somebody else has, who then knows better."""
    new = self._state.written(
      self._config,
      phase,
      self.adopted if adopted is None else adopted,
      self.kept if kept is None else kept,
    )
    return self._exchange(new)

  def restore(self, before: Record) -> None:
    """Takes back what was noted, unless somebody else has noted more."""
    self._exchange(before)

  def remove(self) -> None:
    """Knows the cluster no longer, unless somebody else has noted more."""
    if self._state.record(self._config) == self._record:
      self._state.remove(self._config)

  def noting(self, program: Program) -> Program:
    """The same program, which notes first that the cluster is being changed.

    It runs while its engine has the lock: two never note in turn what only
    one of them makes. Engines keep of an error no more than its text, so it
    is in `refused` too.
    """

    def noted() -> None:
      try:
        self.note(Phase.UPDATING)
      except errors.KerasRemoteError as error:
        self.refused = error
        raise
      program()

    return noted

  def _exchange(self, new: Record) -> bool:
    if not self._state.exchange(self._record, new):
      return False
    self._record = new
    return True


def _changed(config: InfraConfig, found: Record | None) -> errors.ConfigError:
  by = f"{found.who} has" if found else "somebody has"
  return errors.ConfigError(
    f"{by} changed {config.cluster} since this was planned, and nothing was "
    "done: type it again to see what it does now"
  )
