"""Exactly one ending: how attempts are claimed and jobs are ended."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

from keras_remote import clock, errors
from keras_remote.job import attempts, index, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.line import one_line
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State


def claim(
  directory: JobDirectory,
  spec: JobSpec,
  key: bytes,
  *,
  allocation: str,
  coordinator: str = "",
  members: tuple[str, ...] = (),
) -> Started | Outcome:
  """The attempt that the caller may now run, or how the job has ended.

  A start that finds no attempt left ends the job without calling: so the
  truth is told even where every other process is gone. Nor does one call that
  finds an attempt of which all hosts have returned.
  """
  outcome = directory.outcome(key)
  if outcome is not None:
    return outcome
  claimed = directory.attempts(key)
  if outcome := _complete(directory, spec, key, claimed):
    return outcome
  number = max(claimed, default=0)
  while not attempts.are_spent(directory, spec, claimed):
    number += 1
    started = Started(number, allocation, coordinator, _now(), members)
    started = signing.sign(started, directory.job_id, key)
    if directory.create_started(started):
      return started
    # One that the job has not signed is none.
    if directory.started(number, key):
      claimed.append(number)
  who = f"start of {allocation}"
  return _exhausted(directory, spec, key, claimed, who, over=True)


def spent(directory: JobDirectory, spec: JobSpec) -> bool:
  """Whether the job's attempts, none with an outcome, allow no further one.

  One that runs counts as if it ended now and said nothing.
  """
  return attempts.are_spent(directory, spec, directory.attempts())


def conclude(
  directory: JobDirectory,
  spec: JobSpec,
  key: bytes,
  who: str,
  *,
  over: bool = False,
) -> Outcome | None:
  """Ends the job if it gets no further attempt; None where it does.

  Args:
    over: whether all processes of the attempts are gone.
  """
  claimed = directory.attempts(key)
  if outcome := _complete(directory, spec, key, claimed):
    return outcome
  if not attempts.are_spent(directory, spec, claimed, over=over):
    return None
  return _exhausted(directory, spec, key, claimed, who, over=over)


def _complete(
  directory: JobDirectory, spec: JobSpec, key: bytes, claimed: Sequence[int]
) -> Outcome | None:
  """Ends a job of whose last attempt all hosts have returned.

  Whoever was to say so died before; the value is stored before the reports.
  """
  if not claimed:
    return None
  report = attempts.returned(directory, spec, claimed[-1])
  if report is None:
    return None
  outcome = of_report(report, directory.started(claimed[-1]))
  return end(directory, spec, key, outcome)


def _exhausted(
  directory: JobDirectory,
  spec: JobSpec,
  key: bytes,
  claimed: Sequence[int],
  who: str,
  *,
  over: bool,
) -> Outcome:
  """Ends a job that has no attempt left, and says why each ended."""
  last = directory.started(claimed[-1], key)
  if last is not None and last.allocation == _NOBODY:
    # It comes while a client gives up, or after one died at it.
    return end(directory, spec, key, _waited(spec, "", who))
  message = (
    f"attempt {claimed[-1]} ended without an outcome, and no further one is "
    "allowed"
  )
  why = attempts.why_each(directory, spec, claimed, over=over)
  lost = Outcome(
    attempt=claimed[-1],
    state=State.LOST,
    cause=Cause.ATTEMPTS,
    message=f"{message}: {why}" if why else message,
    started=last.at if last else None,
    ended=_now(),
    writer=who,
  )
  return end(directory, spec, key, lost)


def end(
  directory: JobDirectory, spec: JobSpec | None, key: bytes, outcome: Outcome
) -> Outcome:
  """The outcome that counts: this one, unless another was there first.

  Args:
    spec: None where it cannot be trusted; the list is then left as it is.
  """
  signed = signing.sign(outcome, directory.job_id, key)
  if not directory.create_outcome(signed, key):
    signed = directory.outcome(key) or signed
  # The list follows the outcome: whoever dies between leaves it behind, and
  # a reader of the list looks at the outcome itself.
  if spec is not None:
    with contextlib.suppress(errors.StoreError):
      index.add_ending(directory.store, spec, signed.state, signed.seconds)
  return signed


def cancel(
  directory: JobDirectory, spec: JobSpec, key: bytes, who: str
) -> Outcome:
  """Ends the job as cancelled, unless it has ended."""
  cancelled = _untold(
    directory, State.CANCELLED, Cause.CANCELLED, f"by {who}", who
  )
  return end(directory, spec, key, cancelled)


def settle(
  directory: JobDirectory, spec: JobSpec, key: bytes, why: str, who: str
) -> Outcome:
  """Ends a job whose processes are gone and stored no outcome."""
  # Of reports that the job has not signed none counts.
  keyed = dataclasses.replace(directory, key=key)
  if outcome := _complete(keyed, spec, key, keyed.attempts()):
    return outcome
  lost = _untold(directory, State.LOST, Cause.LOST, why, who)
  return end(directory, spec, key, lost)


def explained(
  directory: JobDirectory,
  outcome: Outcome,
  ask: Callable[[str], str],
) -> Outcome:
  """The ending, with why the processes died where its writer cannot know.

  That is a start which found no attempt left. Whoever is first to ask the
  backend keeps the answer: its own memory is short.

  Args:
    ask: the allocation whose processes died → why, or "".
  """
  if outcome.cause is not Cause.ATTEMPTS:
    return outcome
  found = directory.death(outcome.attempt)
  if found is None:
    found = _death(directory, outcome.attempt, ask)
    if found is None:
      return outcome
    # Who may only read tells it all the same.
    with contextlib.suppress(errors.StoreError):
      directory.create_death(found)
  # A text is shown, and no more: no signature covers it.
  return dataclasses.replace(
    outcome, message=f"{outcome.message}: {one_line(found.message)}"
  )


def _death(
  directory: JobDirectory, attempt: int, ask: Callable[[str], str]
) -> HostReport | None:
  """Why processes of the attempt died; of a group each host's is asked for."""
  started = directory.started(attempt)
  if started is None:
    return None
  hosts = range(len(started.members) or 1)
  # Those of several hosts may be one allocation.
  asked = {started.allocation_of(host): host for host in reversed(hosts)}
  reports = [
    HostReport(attempt, host, Cause.LOST, why)
    for allocation, host in reversed(asked.items())
    if (why := ask(allocation))
  ]
  if not reports:
    return None
  if len(asked) == 1:
    return reports[0]
  why = "; ".join(attempts.named(report) for report in reports)
  return dataclasses.replace(reports[0], message=why)


# Who has the attempts of a job that waited in vain: no start may call then.
_NOBODY = "nobody"


def give_up(
  directory: JobDirectory, spec: JobSpec, key: bytes, why: str, who: str
) -> Outcome | None:
  """Ends a job that waited in vain; None where a start may have called.

  Every attempt is claimed first: a start that comes now finds none left. Those
  of nobody have no report, so `max_preemptions` allows none beyond them.
  """
  outcome = directory.outcome(key)
  if outcome is not None:
    return outcome
  number, left = 0, 1 + spec.limits.retries
  while left:
    number += 1
    nobody = Started(number, _NOBODY, "", _now())
    nobody = signing.sign(nobody, directory.job_id, key)
    if not directory.create_started(nobody):
      found = directory.started(number, key)
      if found is None:
        continue  # No start counts it either: the job has not signed it.
      # Another client's that gives up too, or died at it.
      if found.allocation != _NOBODY:
        return None
    left -= 1
  return end(directory, spec, key, _waited(spec, why, who))


def _waited(spec: JobSpec, why: str, who: str) -> Outcome:
  """The ending of a job that waited in vain."""
  limit = f"it waited {spec.limits.pending_timeout:g} s in vain"
  message = f"{limit} (pending_timeout)"
  return Outcome(
    attempt=0,
    state=State.TIMED_OUT,
    cause=Cause.PENDING,
    message=f"{message}: {why}" if why else message,
    ended=_now(),
    writer=who,
  )


def unsent(directory: JobDirectory, key: bytes, why: str, who: str) -> Outcome:
  """How a job ended of which not even the spec was stored whole.

  Its processes come after all of it is stored, so there were none. That is
  not stored: whoever takes a signature away must not end a job so.
  """
  lost = _untold(directory, State.LOST, Cause.LOST, why, who)
  return signing.sign(lost, directory.job_id, key)


def _untold(
  directory: JobDirectory, state: State, cause: Cause, message: str, who: str
) -> Outcome:
  """An ending without a result, with what the last attempt left to tell."""
  attempt = max(directory.attempts(), default=0)
  started = directory.started(attempt)
  report = directory.host_report(attempt, 0)
  if report and report.message:
    message = f"{message}: {one_line(report.message)}"
  return Outcome(
    attempt=attempt,
    state=state,
    cause=cause,
    message=message,
    started=started.at if started else None,
    ended=_now(),
    writer=who,
  )


def of_report(report: HostReport, started: Started | None) -> Outcome:
  """The outcome of a job that ended as this host did."""
  return Outcome(
    attempt=report.attempt,
    state=_STATES.get(report.cause, State.FAILED),
    cause=report.cause,
    message=report.message,
    started=started.at if started else None,
    ended=_now(),
    writer=f"host {report.host}",
    exit_code=report.exit_code,
    signal=report.signal,
    exception_type=report.exception_type,
    traceback=report.traceback,
    peak_memory=report.peak_memory,
    result=report.result,
    result_size=report.result_size,
    host=report.host,
  )


_STATES = {
  Cause.LOST: State.LOST,
  Cause.RETURNED: State.SUCCEEDED,
  Cause.TIMEOUT: State.TIMED_OUT,
}


def _now() -> str:
  return clock.now().isoformat(timespec="milliseconds")
