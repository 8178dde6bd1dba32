"""Outcome: how a job ended; readable even where its result is not."""

import datetime
import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from keras_remote.job.state import State


class Cause(enum.StrEnum):
  """Why a job, or one of its hosts, ended."""

  RETURNED = "returned"
  EXCEPTION = "exception"
  EXIT = "exit"
  SIGNAL = "signal"
  MEMORY = "memory"
  TIMEOUT = "timeout"
  PENDING = "pending"
  CANCELLED = "cancelled"
  STOPPED = "stopped"
  SETUP = "setup"
  ATTEMPTS = "attempts"
  LOST = "lost"


def signal_name(number: int) -> str:
  """What people call the signal; most real-time signals have no name."""
  try:
    return signal.Signals(number).name
  except ValueError:
    return f"signal {number}"


@dataclass(frozen=True)
class Outcome:
  """How a job ended; `outcome.json`, created once.

  Attributes:
    attempt: which start ended it; 0 where none began.
    exit_code: of the worker, or of the command; None where it has none.
    signal: the number of the signal that ended the worker, or None.
    exception_type: qualified name of the exception's class, or "".
    message: one sentence for people.
    traceback: the remote traceback as text, or "".
    started: ISO 8601, UTC, of the attempt; None where none began.
    ended: ISO 8601, UTC.
    peak_memory: bytes of the largest process on this host; 0 if not known.
    result: sha256 of the result's file, or None.
    result_size: bytes.
    writer: who stored it: a host of the job, or a client.
    signature: see signing.py.
    host: the host that caused it.
  """

  attempt: int
  state: State
  cause: Cause
  message: str
  ended: str
  writer: str
  task: int | None = None
  exit_code: int | None = None
  signal: int | None = None
  exception_type: str = ""
  traceback: str = ""
  started: str | None = None
  peak_memory: int = 0
  result: str | None = None
  result_size: int = 0
  host: int = 0
  signature: str = ""

  @property
  def seconds(self) -> float | None:
    """From the attempt's start to the end; None where none began.

    Also where one of the two is no time: not all of them are signed.
    """
    if self.started is None:
      return None
    parse = datetime.datetime.fromisoformat
    try:
      between = parse(self.ended) - parse(self.started)
    except (TypeError, ValueError):  # The first: one names no time zone.
      return None
    return max(0.0, between.total_seconds())


@dataclass(frozen=True)
class Frame:
  """One of the user's frames, innermost last.

  Attributes:
    locals: each local as a short, redacted description.
  """

  file: str
  line: int
  function: str
  source: str
  locals: Mapping[str, str]


@dataclass(frozen=True)
class HostReport:
  """How one host of an attempt ended; `hosts/<host>.json`.

  Attributes:
    collective: whether the failure is that of a collective operation: an
      echo of another host's end, not a cause.
    seconds: from the attempt's start to this host's end, on its own clock.
    frames: the user's frames of the exception.
    signature: see signing.py.
  """

  attempt: int
  host: int
  cause: Cause
  message: str
  collective: bool = False
  seconds: float = 0.0
  exit_code: int | None = None
  signal: int | None = None
  exception_type: str = ""
  traceback: str = ""
  frames: tuple[Frame, ...] = ()
  peak_memory: int = 0
  result: str | None = None
  result_size: int = 0
  signature: str = ""


@dataclass(frozen=True)
class Started:
  """An attempt's claim; `started.json`, created before the call.

  Attributes:
    allocation: the processes that made the claim, by their backend's token.
    coordinator: `address:port` where the hosts meet; "" for one host.
    at: ISO 8601, UTC.
    members: the token of each host's first process, by host; none where there
      is one host only.
    signature: see signing.py.
  """

  attempt: int
  allocation: str
  coordinator: str
  at: str
  members: tuple[str, ...] = ()
  signature: str = ""

  def allocation_of(self, host: int) -> str:
    """The processes of a host, by their backend's token."""
    if host < len(self.members):
      return self.members[host].partition("/")[0]
    return self.allocation


@dataclass(frozen=True)
class Present:
  """That a host's first process is there; `present/<host>.json`.

  Attributes:
    token: of this very process; its allocation stands before the slash.
    answers: the token of the host 0 whose roll it answers; "" for host 0.
    signature: see signing.py.
  """

  host: int
  token: str
  answers: str = ""
  signature: str = ""
