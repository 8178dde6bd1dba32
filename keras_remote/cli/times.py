"""Times for people."""

import datetime

from keras_remote import clock

_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60


def age(at: datetime.datetime) -> str:
  """How long ago that was, such as `5 min`."""
  return span((clock.now() - at).total_seconds())


def span(time: float) -> str:
  """So many seconds in the largest unit of which they are one, as `5 min`."""
  seconds = max(0, int(time))
  for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
    if seconds >= unit:
      return f"{seconds // unit} {name}"
  return f"{seconds} s"


def stamp(text: str) -> str:
  """A stored time such as `2026-11-22 12:54:05 UTC (5 min ago)`."""
  at = datetime.datetime.fromisoformat(text)
  return f"{at:%Y-%m-%d %H:%M:%S} UTC ({age(at)} ago)"
