"""What the hosts of a group are at, and which of them holds up the others."""

import enum
from dataclasses import dataclass

_MINUTE, _HOUR = 60, 3600
_STEPS = (
  *(10, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
  *(_HOUR, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 24 * _HOUR, 48 * _HOUR),
)


class At(enum.StrEnum):
  """What a host's main thread is at."""

  # Anything but what follows.
  RUNS = "runs"
  # It sleeps in JAX: in a collective, or until a device is through.
  WAITS = "waits"
  # It waits for the other hosts to join the group's JAX runtime.
  JOINS = "joins"
  COMPILES = "compiles"
  # No other Python thread of its process gets its turn.
  HELD = "held"
  RETURNED = "returned"


@dataclass(frozen=True)
class Doing:
  """What a host is at; `doing/<host>.json`.

  Its times are those of the host's own clock, before it was written: who reads
  it counts on from when it first saw it.

  Attributes:
    place: file and line of the user's code, such as `train.py:12`; the file
      alone where it has been in the same function, and not at one line of it.
    function: the function there.
    seconds: for how long it has been at this.
    still: for how long it has been at this place.
    count: of the samples, so that one that stays is seen to.
  """

  at: At
  place: str = ""
  function: str = ""
  seconds: float = 0.0
  still: float = 0.0
  count: int = 0


@dataclass(frozen=True)
class Hang:
  """What holds up a group; `hang.json`, of which the last one holds.

  Attributes:
    sentence: for people; "" where nothing holds it up any more. It stays true
      for as long as the hang lasts.
    hosts: those that it names as the cause.
  """

  sentence: str
  hosts: tuple[int, ...] = ()


_SAID = {
  At.RUNS: "it runs",
  At.WAITS: "it waits in a collective",
  At.JOINS: "it waits for the group to join",
  At.COMPILES: "it compiles",
  At.HELD: "it runs code that keeps Python's lock, or was stopped",
  At.RETURNED: "it has returned",
}


def said(doing: Doing) -> str:
  """What the host is at, such as `it runs at train.py:12 in step`."""
  place = f" at {doing.place} in {doing.function}" if doing.place else ""
  return f"{_SAID[doing.at]}{place}"


def lasted(seconds: float) -> str:
  """The time, rounded down to one of few, of which the least is 10 s.

  So what is said of it stays true for a while, and is said anew when that
  tells something.
  """
  step = max((step for step in _STEPS if step <= seconds), default=_STEPS[0])
  if step < _MINUTE:
    return f"{step} s"
  return f"{step // _MINUTE} min" if step < _HOUR else f"{step // _HOUR} h"
