"""Why the attempts of a job ended, and whether it may have another."""

from collections.abc import Sequence

from keras_remote import errors
from keras_remote.job import signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.line import joined, of_host, one_line
from keras_remote.job.outcome import Cause, HostReport
from keras_remote.job.spec import JobSpec

_SILENT = "its processes are gone and said nothing"
_KILLED = "its first process is gone and said nothing"


def are_spent(
  directory: JobDirectory,
  spec: JobSpec,
  claimed: Sequence[int],
  *,
  over: bool = True,
) -> bool:
  """Whether a job with these attempts, none with an outcome, gets no other.

  One that something outside told to stop was taken away; any other crashed.
  Those taken away count only beyond `max_preemptions`.

  Whoever is told to stop says so first of all, and the others are told so
  because of one that is gone. So where a host said nothing it crashed, though
  all others were told to stop: it was killed, for its memory perhaps, and would
  be again. A spot node is no such host: its pods are told half a minute before
  it goes. One that vanishes without notice crashed, too, as nothing tells that
  apart from a fault of the job's own: `retries` are for it.

  Args:
    over: whether all hosts of the last are gone: else some may yet report, and
      are taken to have been told.
  """
  retries, spare = spec.limits.retries, spec.limits.max_preemptions
  # Of most jobs the number alone says it, and no report need be read.
  if len(claimed) <= retries:
    return False
  if len(claimed) > retries + spare:
    return True
  hosts = spec.resources.hosts
  taken = sum(
    _was_taken(
      _reports(directory, spec, number),
      hosts if over or number != claimed[-1] else 0,
    )
    for number in claimed
  )
  return len(claimed) - taken + max(0, taken - spare) > retries


def why_each(
  directory: JobDirectory,
  spec: JobSpec,
  claimed: Sequence[int],
  *,
  over: bool = False,
) -> str:
  """Why each of the attempts ended, for people; "" where nothing is known.

  Args:
    over: whether all hosts of the last are gone: else some may yet report.
  """
  words = {
    number: _why(directory, spec, number, over=over or number != claimed[-1])
    for number in claimed
  }
  if len(words) == 1:
    return "".join(words.values())
  return "; ".join(
    f"attempt {number}: {why or _SILENT}" for number, why in words.items()
  )


def returned(
  directory: JobDirectory, spec: JobSpec, number: int
) -> HostReport | None:
  """Host 0's report, where all hosts of the attempt have returned."""
  first = directory.host_report(number, 0)
  # Of most attempts that need no further look.
  if first is None or first.cause is not Cause.RETURNED:
    return None
  reports = _reports(directory, spec, number)
  whole = len(reports) == spec.resources.hosts
  if whole and {report.cause for report in reports} == {Cause.RETURNED}:
    return reports[0]
  return None


def first_cause(reports: Sequence[HostReport]) -> HostReport | None:
  """The report of what happened first; an echo only where there is no cause."""
  failed = (r for r in reports if r.cause is not Cause.RETURNED)
  return min(failed, key=lambda r: (r.collective, r.seconds), default=None)


def named(report: HostReport) -> str:
  """The report's message as a sentence about its host."""
  return of_host(report.host, one_line(report.message))


def listed(hosts: Sequence[int]) -> str:
  """The hosts, as a sentence names them."""
  return joined([f"host {host}" for host in hosts])


def _why(
  directory: JobDirectory, spec: JobSpec, number: int, *, over: bool
) -> str:
  reports = _reports(directory, spec, number)
  causes = {report.cause for report in reports}
  ended_well = causes <= {Cause.STOPPED, Cause.RETURNED}
  if over and ended_well and Cause.STOPPED in causes:
    # The others were told so because of who said nothing.
    said = {report.host for report in reports}
    killed = [
      HostReport(number, host, Cause.LOST, _KILLED)
      for host in range(spec.resources.hosts)
      if host not in said
    ]
    reports = killed + reports
  cause = first_cause(reports)
  if cause is None or spec.resources.hosts == 1:
    return one_line(cause.message) if cause else ""
  return named(cause)


def _was_taken(reports: Sequence[HostReport], hosts: int) -> bool:
  """Whether its hosts were told to stop, of whom so many must have said it."""
  causes = {report.cause for report in reports}
  told = Cause.STOPPED in causes and Cause.LOST not in causes
  return told and len(reports) >= hosts


def _reports(
  directory: JobDirectory, spec: JobSpec, number: int
) -> list[HostReport]:
  """How the attempt's hosts ended, as far as the job itself has said so."""
  found = (
    directory.host_report(number, host) for host in range(spec.resources.hosts)
  )
  return [report for report in found if report and _ours(directory, report)]


def _ours(directory: JobDirectory, report: HostReport) -> bool:
  if directory.key is None:
    return True
  try:
    signing.verify(report, directory.job_id, directory.key)
  except errors.IntegrityError:
    return False
  return True
