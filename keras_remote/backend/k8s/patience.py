"""For how long a job may wait for what waiting alone does not bring."""

import dataclasses
import math

from keras_remote import clock
from keras_remote.backend.base import Observation
from keras_remote.job.state import State


class Patience:
  """Counts how long a job waits for what waiting alone does not bring."""

  def __init__(self, seconds: float) -> None:
    self._seconds = seconds
    self._ends: float | None = None

  def seeing(self, now: Observation, *, hopeless: bool) -> Observation:
    """The same, or that it is overdue: once, and again after as long."""
    if now.state is not State.PENDING or not hopeless:
      self._ends = None
      return now
    if self._ends is None:
      self._ends = clock.monotonic() + self._seconds
    if clock.monotonic() < self._ends:
      return now
    self._ends = None
    return dataclasses.replace(now, overdue=True)

  @property
  def left(self) -> float:
    """Seconds until it is overdue, if nothing changes."""
    if self._ends is None:
      return math.inf
    return max(0.0, self._ends - clock.monotonic())
