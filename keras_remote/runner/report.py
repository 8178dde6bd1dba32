"""What became of one host, in the words of its report."""

import signal
import time
from dataclasses import dataclass, field
from typing import Any

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.job import attempts
from keras_remote.job.outcome import Cause, Frame, HostReport, signal_name
from keras_remote.runner.memory import Memory, memory
from keras_remote.runner.process import Exit


@dataclass
class Reporter:
  """Makes the reports of one host of `hosts`.

  Attributes:
    attempt: 0 while none is claimed.
    began: the time from which a report counts its seconds.
    memory: what the kernel said of it then.
  """

  host: int
  hosts: int
  attempt: int = 0
  began: float = field(default_factory=time.monotonic)
  memory: Memory = field(default_factory=memory)

  def claimed(self, attempt: int) -> None:
    """An attempt begins now."""
    self.attempt = attempt
    self.began = time.monotonic()

  def stopped(self) -> HostReport:
    """Something outside told the first process to stop."""
    return self._report(
      Cause.STOPPED, "it was told to stop (SIGTERM) from outside"
    )

  def echo(self, cause: HostReport) -> HostReport:
    """This host leaves with another, at which its attempt broke."""
    return self._report(
      Cause.STOPPED, f"it left, as {attempts.named(cause)}", collective=True
    )

  def failed(self, error: Exception) -> HostReport:
    """What the function needs could not be made ready."""
    kind = type(error)
    told = isinstance(error, (errors.KerasRemoteError, OSError))
    return self._report(
      Cause.SETUP,
      str(error) if told else repr(error),
      exception_type=f"{kind.__module__}.{kind.__qualname__}",
    )

  def timed_out(self, timeout: float, ended: Exit) -> HostReport:
    """It ran for longer than `timeout` seconds."""
    return self._report(
      Cause.TIMEOUT,
      f"it ran for longer than its timeout of {timeout:g} s",
      peak_memory=ended.peak_memory,
    )

  def told(self, answer: dict[str, Any], ended: Exit | None) -> HostReport:
    """What the worker itself said; its end may be still to come."""
    fields = dict(answer)
    cause, message = self._killed(
      Cause(fields.pop("cause")), fields.pop("message"), fields.get("signal")
    )
    return self._report(
      cause,
      message,
      frames=tuple(Frame(**frame) for frame in fields.pop("frames", ())),
      peak_memory=ended.peak_memory if ended else 0,
      **fields,
    )

  def died(self, ended: Exit) -> HostReport:
    """The worker ended without an answer."""
    cause = Cause.EXIT if ended.signal is None else Cause.SIGNAL
    if ended.signal is None:
      message = f"the process ended itself with exit code {ended.code}"
    else:
      message = f"the process was ended by {signal_name(ended.signal)}"
    cause, message = self._killed(cause, message, ended.signal)
    return self._report(
      cause,
      message,
      # JAX aborts the survivors of a group with SIGABRT.
      collective=self.hosts > 1 and ended.signal == signal.SIGABRT,
      exit_code=ended.code,
      signal=ended.signal,
      peak_memory=ended.peak_memory,
    )

  def _killed(
    self, cause: Cause, message: str, number: object
  ) -> tuple[Cause, str]:
    """The same, but where the kernel has killed it for want of memory."""
    now = memory()
    if number != signal.SIGKILL or now.kills <= self.memory.kills:
      return cause, message
    took = "its machine ran out of memory"
    if now.limit is not None:
      limit = f"{now.limit / MIB:,.0f} MiB"
      took = f"it ran out of memory, of which it may take {limit}"
    return Cause.MEMORY, f"{message}: {took}"

  def _report(self, cause: Cause, message: str, **fields: Any) -> HostReport:
    return HostReport(
      attempt=self.attempt,
      host=self.host,
      cause=cause,
      message=message,
      seconds=time.monotonic() - self.began,
      **fields,
    )
