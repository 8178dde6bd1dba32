"""Times for people."""

import datetime

from keras_remote import clock
from keras_remote.job.outcome import Outcome

_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60


def age(at: datetime.datetime) -> str:
  """How long ago that was, such as `5 min`."""
  seconds = max(0, int((clock.now() - at).total_seconds()))
  for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
    if seconds >= unit:
      return f"{seconds // unit} {name}"
  return f"{seconds} s"


def ran(outcome: Outcome | None) -> float | None:
  """Seconds from the attempt's start to the end; None where none began."""
  if outcome is None or outcome.started is None:
    return None
  parse = datetime.datetime.fromisoformat
  between = parse(outcome.ended) - parse(outcome.started)
  return max(0.0, between.total_seconds())


def stamp(text: str) -> str:
  """A stored time such as `2026-11-22 12:54:05 UTC (5 min ago)`."""
  at = datetime.datetime.fromisoformat(text)
  return f"{at:%Y-%m-%d %H:%M:%S} UTC ({age(at)} ago)"
