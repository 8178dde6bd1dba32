"""Why a job stands as it does, or ended as it did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_remote.backend.base import Observation
from keras_remote.core.job import Job
from keras_remote.job.doing import said
from keras_remote.job.line import one_line, printable
from keras_remote.job.outcome import HostReport, Outcome, Started
from keras_remote.job.state import State


@dataclass(frozen=True)
class Attempt:
  """One start of the job, and how its hosts ended."""

  started: Started
  hosts: tuple[HostReport, ...]


@dataclass(frozen=True)
class Explanation:
  """How a job stands, and all that is known of the way there.

  Attributes:
    sentence: the reason, for people.
    outcome: None while it has not ended.
    hosts: what each host does or how it ended, where there are several and
      that is known.
  """

  job_id: str
  state: State
  sentence: str
  outcome: Outcome | None
  attempts: tuple[Attempt, ...]
  hosts: tuple[str, ...] = ()

  def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
    """What IPython shows."""
    printer.text(str(self))

  def __str__(self) -> str:
    lines = [f"{self.job_id} {self.state}: {self.sentence}".rstrip(": ")]
    for attempt in self.attempts:
      for report in attempt.hosts:
        lines.append(
          f"attempt {attempt.started.attempt}, host {report.host}: "
          f"{_end(report)}"
        )
        for frame in report.frames:
          lines.append(f"  {frame.file}:{frame.line} in {frame.function}")
          if frame.source:
            lines.append(f"    {frame.source.strip()}")
          lines += [f"      {k} = {v}" for k, v in frame.locals.items()]
    return printable("\n".join(lines))


def explain(job: Job) -> Explanation:
  """Why the job stands as it does."""
  seen = job.observe()
  attempts = []
  for number in job.directory.attempts():
    started = job.directory.started(number)
    if started:
      reports = (
        job.directory.host_report(number, host)
        for host in range(job.spec.resources.hosts)
      )
      attempts.append(Attempt(started, tuple(r for r in reports if r)))
  return Explanation(
    job_id=job.spec.job_id,
    state=seen.state,
    sentence=seen.sentence,
    outcome=seen.outcome,
    attempts=tuple(attempts),
    hosts=_ends(job, attempts) if seen.outcome else _now(job, seen, attempts),
  )


def _now(
  job: Job, seen: Observation, attempts: Sequence[Attempt]
) -> tuple[str, ...]:
  """What each host does: where it runs, as its backend sees it, and at what."""
  hosts = job.spec.resources.hosts
  if hosts == 1 or seen.state is not State.RUNNING or not attempts:
    return seen.hosts
  last = attempts[-1]
  told = {host: "it runs" for host in range(hosts)}
  for host in told:
    if doing := job.directory.doing(last.started.attempt, host):
      told[host] = one_line(said(doing))
  told |= {report.host: _end(report) for report in last.hosts}
  if not seen.hosts:
    return tuple(told.values())
  return tuple(
    where if told[host] == "it runs" else f"{where}; {told[host]}"
    for host, where in enumerate(seen.hosts)
  )


def _end(report: HostReport) -> str:
  return f"{report.cause} {one_line(report.message)}".rstrip()


def _ends(job: Job, attempts: Sequence[Attempt]) -> tuple[str, ...]:
  """How each host of the last attempt ended."""
  hosts = job.spec.resources.hosts
  if hosts == 1 or not attempts:
    return ()
  told = {report.host: _end(report) for report in attempts[-1].hosts}
  return tuple(told.get(host, "it did not say") for host in range(hosts))
