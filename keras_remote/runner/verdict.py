"""How the hosts of a group agree on how they ended."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

from keras_remote import clock, errors
from keras_remote.job import attempts, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, HostReport
from keras_remote.runner import heartbeat

T = TypeVar("T")

# A failing collective is the echo of a failure whose report is on its way.
_ECHO_SECONDS = 1.0


class Reports:
  """The reports of an attempt's hosts, as each of them reads them.

  Args:
    judges: whether a host that is silent after an echo is taken for lost: one
      host says that for all.
    patience: seconds that a cause has to be reported after its echo.
    now: seconds on this process's own clock.
  """

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    hosts: int,
    key: bytes,
    *,
    judges: bool = False,
    patience: float = _ECHO_SECONDS,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._attempt = attempt
    self._hosts = hosts
    self._key = key
    self._judges = judges
    self._patience = patience
    self._now = now
    self._reports: dict[int, HostReport] = {}
    self._echoed: float | None = None
    # Of hosts that have said nothing when there is an echo: their counters.
    self._counters: dict[int, int | None] = {}

  def verdict(self) -> HostReport | None:
    """The report that says how the group ended; None while it has not.

    One failure is enough, the cause before its echoes. The value is host 0's,
    when all have returned. A report that the job did not write is a failure,
    and nothing of it is used.
    """
    # What is there is asked for at once: a group may have many hosts.
    for host in self._new():
      report = self._directory.host_report(self._attempt, host)
      if report:
        self._reports[host] = self._checked(report, host)
    failure = attempts.first_cause(list(self._reports.values()))
    if failure and failure.collective:
      return self._behind(failure)
    if failure:
      return failure
    return None if self._missing() else self._reports[0]

  def echoes(self, cause: HostReport) -> list[int]:
    """The hosts that failed as that one did; not those that only left."""
    return sorted(
      host
      for host, report in self._reports.items()
      if report.collective
      and report.cause is not Cause.STOPPED
      and host != cause.host
    )

  def have_saved(self) -> bool:
    """Whether the functions of all hosts but host 0 have ended."""
    for host in range(1, self._hosts):
      report = self._look(JobDirectory.host_report, host)
      # Who is told to stop says so first, and then saves.
      ended = report is not None and report.cause is not Cause.STOPPED
      if not ended and not self._has_stored(host):
        return False
    return True

  def have_stored(self) -> bool:
    """Whether all hosts but host 0 have stored all that they ever will."""
    return all(self._has_stored(host) for host in range(1, self._hosts))

  def _missing(self) -> list[int]:
    return [host for host in range(self._hosts) if host not in self._reports]

  def _new(self) -> list[int]:
    """The hosts that may have reported since the last look."""
    missing = self._missing()
    try:
      reported = self._directory.reported(self._attempt)
    except errors.StoreAccessError:
      return missing  # Who may not list may yet read.
    return [host for host in missing if host in reported]

  def _behind(self, echo: HostReport) -> HostReport | None:
    """What an echo came from, when that is known; in the end itself.

    A host that said nothing, or that it has returned, may be gone with its
    machine. So an echo is told only once every such host was heard since it
    came, or had nothing more to say.
    """
    now = self._now()
    if self._echoed is None:
      self._echoed = now
    waited = now - self._echoed
    if waited < self._patience:
      return None
    for host in self._mute():
      counter = self._directory.heartbeat(self._attempt, host)
      said_all = counter == heartbeat.LAST and host in self._reports
      if said_all or counter != self._counters.setdefault(host, counter):
        continue
      if waited > heartbeat.SILENCE and self._judges:
        return self._silent(host)
      return None
    return echo

  def _mute(self) -> list[int]:
    """The hosts that have told no failure; none judges itself."""
    told = self._reports
    return [
      host
      for host in range(self._hosts)
      if (host not in told or told[host].cause is Cause.RETURNED)
      and not (host == 0 and self._judges)
    ]

  def _silent(self, host: int) -> HostReport:
    report = HostReport(
      attempt=self._attempt,
      host=host,
      cause=Cause.LOST,
      message=f"nothing has been heard of it for {heartbeat.SILENCE:g} s",
    )
    return signing.sign(report, self._directory.job_id, self._key)

  def _has_stored(self, host: int) -> bool:
    return self._look(JobDirectory.heartbeat, host) == heartbeat.LAST

  def _look(
    self, read: Callable[[JobDirectory, int, int], T | None], host: int
  ) -> T | None:
    # The next look may go better.
    with contextlib.suppress(errors.StoreError):
      return read(self._directory, self._attempt, host)
    return None

  def _checked(self, report: HostReport, host: int) -> HostReport:
    try:
      signing.verify(report, self._directory.job_id, self._key)
      if (report.attempt, report.host) == (self._attempt, host):
        return report
      why = f"the report of host {host} is another one's"
    except errors.IntegrityError as error:
      why = str(error)
    return HostReport(
      attempt=self._attempt,
      host=host,
      cause=Cause.SETUP,
      message=why,
      exception_type="keras_remote.errors.IntegrityError",
    )
