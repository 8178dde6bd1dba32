"""What the hosts of a group are at, and which of them holds up the others."""

import enum
from dataclasses import dataclass


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
