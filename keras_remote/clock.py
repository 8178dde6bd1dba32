"""Time, as values that can be stored and compared by one reader."""

import datetime
import time


def now() -> datetime.datetime:
  """The wall clock in UTC, for people and for names."""
  return datetime.datetime.now(datetime.UTC)


def monotonic() -> float:
  """Seconds on a clock of this process that never goes back."""
  return time.monotonic()
