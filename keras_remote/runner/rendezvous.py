"""How the hosts of a group find each other, and agree on how they ended."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from keras_remote import errors
from keras_remote.job import endings, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import JobSpec
from keras_remote.runner import heartbeat

T = TypeVar("T")

# Stores cannot push: these are the seconds between two looks.
_LOOK = 0.05
# A failing collective is the echo of a failure whose report is on its way.
_ECHO_SECONDS = 1.0


def meet(
  directory: JobDirectory, spec: JobSpec, launch: Launch, key: bytes
) -> Started | Outcome:
  """The attempt that this host takes part in, or how the job has ended.

  Host 0 claims it and says where the hosts meet; the others wait for that.

  Raises:
    StoreError: host 0 did not come within the start-up time-out.
  """
  if launch.host == 0:
    coordinator = address(launch.leader) if launch.hosts > 1 else ""
    return endings.claim(
      directory,
      spec,
      key,
      allocation=launch.allocation,
      coordinator=coordinator,
    )
  deadline = time.monotonic() + spec.limits.startup_timeout
  failed: errors.StoreError | None = None
  while time.monotonic() < deadline:
    try:
      found = _claimed(directory, launch.allocation) or directory.outcome()
      if found:
        return found
      failed = None
    except errors.StoreError as error:
      failed = error  # The next look may go better.
    time.sleep(_LOOK)
  raise failed or errors.StoreError(
    f"host 0 did not start within {spec.limits.startup_timeout:g} s"
  )


def _claimed(directory: JobDirectory, allocation: str) -> Started | None:
  for attempt in reversed(directory.attempts()):
    started = directory.started(attempt)
    if started and started.allocation == allocation:
      return started
  return None


class Group:
  """The reports of an attempt's hosts, as each of them reads them.

  Args:
    patience: seconds that a cause has to be reported after its echo.
  """

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    hosts: int,
    key: bytes,
    patience: float = _ECHO_SECONDS,
  ) -> None:
    self._directory = directory
    self._attempt = attempt
    self._hosts = hosts
    self._key = key
    self._patience = patience
    self._reports: dict[int, HostReport] = {}

  def verdict(self) -> HostReport | None:
    """The report that says how the group ended; None while it has not.

    One failure is enough, the cause before its echoes; an echo alone is told
    only once the cause had its time to be reported. The value is host 0's,
    when all have returned. A report that the job did not write is a failure,
    and nothing of it is used.
    """
    failure = self._failure()
    if failure and failure.collective:
      time.sleep(self._patience)
      failure = self._failure()
    if failure:
      return failure
    return self._reports[0] if len(self._reports) == self._hosts else None

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

  def _has_stored(self, host: int) -> bool:
    return self._look(JobDirectory.heartbeat, host) == heartbeat.LAST

  def _look(
    self, read: Callable[[JobDirectory, int, int], T | None], host: int
  ) -> T | None:
    # The next look may go better.
    with contextlib.suppress(errors.StoreError):
      return read(self._directory, self._attempt, host)
    return None

  def _failure(self) -> HostReport | None:
    for host in set(range(self._hosts)) - self._reports.keys():
      report = self._directory.host_report(self._attempt, host)
      if report:
        self._reports[host] = self._checked(report, host)
    failed = (
      r for r in self._reports.values() if r.cause is not Cause.RETURNED
    )
    return min(failed, key=lambda r: (r.collective, r.seconds), default=None)

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


def address(host: str) -> str:
  """The host with a port that is free there: here."""
  with socket.socket() as listener:
    listener.bind(("", 0))
    return f"{host}:{listener.getsockname()[1]}"
