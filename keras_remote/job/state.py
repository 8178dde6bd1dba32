"""The states of a job."""

import enum


class State(enum.StrEnum):
  """Where a job stands; the last five are endings."""

  PREPARING = "PREPARING"
  QUEUED = "QUEUED"
  PENDING = "PENDING"
  RUNNING = "RUNNING"
  SUCCEEDED = "SUCCEEDED"
  FAILED = "FAILED"
  CANCELLED = "CANCELLED"
  TIMED_OUT = "TIMED_OUT"
  LOST = "LOST"

  @property
  def ended(self) -> bool:
    """Whether nothing changes any more."""
    return self in _ENDINGS


_ENDINGS = frozenset(
  {
    State.SUCCEEDED,
    State.FAILED,
    State.CANCELLED,
    State.TIMED_OUT,
    State.LOST,
  }
)
