"""One host's way through a job: claim, fetch, call, watch, end."""

import contextlib
import dataclasses
import functools
import json
import queue
import time
from pathlib import Path
from typing import Any

from keras_remote import errors
from keras_remote.job import attempts, endings, fetch, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import ENDED_EXIT, Launch
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import EntryKind, JobSpec
from keras_remote.job.state import State
from keras_remote.runner import (
  doctor,
  group,
  heartbeat,
  logs,
  mirror,
  orders,
  process,
  release,
  rendezvous,
  results,
  scratch,
  signals,
  staying,
)
from keras_remote.runner.closing import DRAIN, GRACE, Closing
from keras_remote.runner.events import Event
from keras_remote.runner.report import Reporter

_ANSWERED = (Cause.RETURNED, Cause.EXCEPTION, Cause.EXIT)


class Host:
  """One host's way through a job.

  Args:
    events: what the worker, the heart and the system tell.
    folder: the scratch folder, made and empty.
    beats: where the heart beats, if its requests are to end soon.
  """

  def __init__(
    self,
    launch: Launch,
    directory: JobDirectory,
    key: bytes,
    worker: process.Worker,
    pump: logs.LogPump,
    events: "queue.SimpleQueue[Event]",
    folder: Path,
    beats: JobDirectory | None = None,
  ) -> None:
    self._launch = launch
    self._directory = directory
    self._beats = beats or directory
    self._key = key
    self._worker = worker
    self._pump = pump
    self._events = events
    self._scratch = folder
    self._leads = launch.host == 0
    self._grouped = launch.hosts > 1
    self._reporter = Reporter(launch.host, launch.hosts)
    self._release = (
      release.Release(Path(launch.release), launch.job_id, pump.note)
      if launch.release
      else None
    )
    self._rendezvous = rendezvous.Rendezvous(directory, launch, key)
    self._spec: JobSpec | None = None
    self._started: Started | None = None
    self._group: group.Group | None = None
    self._routines: list[heartbeat.Routine] = []
    self._output = mirror.Mirror(
      directory,
      folder / scratch.OUTPUT,
      "" if self._leads else f"host-{launch.host}/",
      pump.note,
    )
    self._closing = Closing(
      worker, pump, self._output, leads=self._leads, grouped=self._grouped
    )

  def run(self, refusal: Exception | None = None) -> int:
    """Takes the job to its end; the exit code of this process.

    Args:
      refusal: why the function cannot be called here.

    Raises:
      StoreError: the ending could not be stored.
    """
    try:
      ended: HostReport | Outcome | None = self._attempt(refusal)
      signals.ignore()
    except signals.Stopped:
      ended = self._stop()
    except Exception as error:  # Whatever it is: the job's ending tells it.
      signals.ignore()
      ended = self._reporter.failed(error)
    try:
      outcome = self._end(ended)
      if outcome and self._leads:
        words = Path(self._launch.last_words)
        results.tell(outcome, self._scratch / scratch.RESULT, words)
        if self._release:
          self._release.begin()
      self._closing.leave(outcome)
    finally:
      for routine in self._routines:
        routine.stop()
    if outcome is None:
      return signals.STOPPED_EXIT
    return 0 if outcome.state is State.SUCCEEDED else ENDED_EXIT

  def stay(self, patience: float = staying.UNTOLD) -> None:
    """Waits until it is told to stop, or, without an outcome, so long."""
    staying.stay(
      self._outcome, self._release, leads=self._leads, patience=patience
    )

  def _attempt(self, refusal: Exception | None) -> HostReport | Outcome | None:
    if self._release and self._leads:
      self._release.ask()
    spec = self._directory.spec(self._launch.spec_digest)
    self._spec = spec
    self._worker.send(orders.prepare(spec, self._launch))
    release, patience = self._release, spec.limits.startup_timeout
    ready = functools.partial(release.check, patience) if release else None
    met = self._rendezvous.meet(spec, ready)
    if isinstance(met, Outcome):
      return met
    if isinstance(met, HostReport):
      return group.lost_in_place(self._directory, met, self._launch)
    started = self._started = met
    self._reporter.claimed(started.attempt)
    self._pump.store(
      functools.partial(
        self._directory.create_log_segment, started.attempt, self._launch.host
      )
    )
    self._routines += [
      *self._heart(started),
      heartbeat.Routine("files", heartbeat.SECONDS, self._output.push),
      *self._doctor(spec, started.attempt),
    ]
    if refusal is not None:
      raise refusal
    context = self._scratch / scratch.CONTEXT
    fetch.fetch_context(self._directory, spec, context)
    if spec.entry.kind is EntryKind.CALL:
      payload = self._scratch / scratch.PAYLOAD
      fetch.fetch_payload(self._directory, spec, payload)
    self._worker.send(orders.call(spec, started, self._launch))
    return self._watch(spec)

  def _heart(self, started: Started) -> list[heartbeat.Routine]:
    if self._grouped:
      self._group = group.Group(
        self._directory, started, self._launch, self._key, self._events
      )
    counter = heartbeat.Counter(self._beats, started.attempt, self._launch.host)
    its = self._group
    self._closing.join(its, counter)
    return heartbeat.heart(
      self._directory,
      counter.beat,
      pause=its.pause if its else lambda: heartbeat.SECONDS,
      ended=self._events.put,
      watch=its.watch if its else lambda: None,
    )

  def _doctor(self, spec: JobSpec, attempt: int) -> list[heartbeat.Routine]:
    if not doctor.looks_after(spec, self._launch):
      return []
    pid, note = self._worker.pid, self._pump.note
    return [doctor.routine(self._directory, attempt, self._launch, pid, note)]

  def _watch(self, spec: JobSpec) -> HostReport | Outcome:
    """Waits for the end of the worker, of the time, or of the job."""
    while True:
      try:
        event = self._events.get(timeout=self._left(spec))
      except queue.Empty:
        # Its own time is up: a SIGTERM that comes now changes nothing.
        signals.ignore()
        return self._timed_out(spec)
      if isinstance(event, Outcome):
        return event
      if self._group and self._group.heeds(event):
        return event
      if isinstance(event, dict):
        return self._answered(event)
      ended = self._worker.poll()
      if ended is not None:
        signals.ignore()  # This is how the job ends.
        answer = self._worker.last_answer(DRAIN) or self._left_answer()
        if answer is not None:
          return self._reporter.told(answer, ended)
        return self._reporter.died(ended)

  def _left_answer(self) -> dict[str, Any] | None:
    """What a worker said whose pipe the function had closed."""
    with contextlib.suppress(OSError, TypeError, ValueError):
      return dict(json.loads((self._scratch / scratch.ANSWER).read_bytes()))
    return None

  def _answered(self, answer: dict[str, Any]) -> HostReport:
    # What the function has done must not be lost to a late SIGTERM.
    signals.ignore()
    if self._grouped:
      return self._reporter.told(answer, None)
    # Threads that the function left must not hold the job for ever.
    ended = self._worker.end(GRACE, asked=False)
    return self._reporter.told(answer, ended)

  def _left(self, spec: JobSpec) -> float | None:
    """Seconds until the timeout."""
    if spec.limits.timeout is None:
      return None
    end = self._reporter.began + spec.limits.timeout
    return max(0.0, end - time.monotonic())

  def _timed_out(self, spec: JobSpec) -> HostReport:
    ended = self._closing.part(GRACE)
    return self._reporter.timed_out(spec.limits.timeout or 0.0, ended)

  def _stop(self) -> Outcome | None:
    """SIGTERM is no ending: None, unless somebody else has stored one."""
    outcome = self._outcome()
    if outcome is None:
      with contextlib.suppress(errors.StoreError):
        self._say_stopped()
      self._closing.close(GRACE)
      outcome = self._outcome()
    return outcome

  def _say_stopped(self) -> None:
    """Stores that this host was told to stop, in the attempt of which it is."""
    if self._grouped and self._started is None:
      # It may have been claimed just now, or an earlier process was of it.
      self._started = self._rendezvous.joined()
      if self._started:
        self._reporter.claimed(self._started.attempt)
      else:
        self._rendezvous.tell_loss()
    self._store_report(self._reporter.stopped())

  def _end(self, ended: HostReport | Outcome | None) -> Outcome | None:
    """Stores how this host ended, and how the job did."""
    if isinstance(ended, HostReport) and ended.host == self._launch.host:
      ended = self._finish(ended)
    if not isinstance(ended, HostReport):
      return ended
    if ended.cause in group.BROKEN:
      return self._break(ended)
    return self._agree(ended)

  def _finish(self, report: HostReport) -> HostReport | Outcome | None:
    """Stores how this host ended; then how its group did."""
    if self._group is None:
      self._closing.close(GRACE)
      report = self._with_result(report)
      # The outcome tells nearly as much.
      with contextlib.suppress(errors.StoreError):
        self._store_report(report)
      return report
    if report.cause is Cause.RETURNED:
      # The job succeeds with the last report: its files are to be there.
      self._closing.push()
    # The others wait for the cause: it must not come after its echoes.
    self._store_report(self._with_result(report))
    # The worker stays until all are through, if it can: its end would tear the
    # others out of what they are at.
    if report.cause not in _ANSWERED:
      self._closing.close(GRACE)
    return self._verdict(self._group)

  def _verdict(self, its: group.Group) -> HostReport | Outcome | None:
    """How the group ended; None where nobody is there to say."""
    assert self._spec
    for event in its.news():
      if self._leads and self._left(self._spec) == 0:
        return self._timed_out(self._spec)
      if isinstance(event, Outcome) or its.heeds(event):
        return event
    return None

  def _break(self, cause: HostReport) -> Outcome | None:
    """Leaves an attempt that goes on nowhere; no outcome if another follows."""
    with contextlib.suppress(OSError):
      Path(self._launch.last_words).write_text(attempts.named(cause))
    with contextlib.suppress(errors.StoreError):
      if self._leads:  # It may have found that out itself.
        self._directory.create_host_report(cause)
      self._store_report(self._reporter.echo(cause))
    # Who was told to stop has time to save; who is gone leaves the others in
    # a collective.
    stopped = cause.cause is Cause.STOPPED
    self._closing.close(GRACE if stopped else 0, asked=stopped)
    if not self._leads or self._spec is None:
      return self._outcome()
    writer = f"host {self._launch.host}"
    outcome = endings.conclude(self._directory, self._spec, self._key, writer)
    if outcome or stopped or self._launch.stays:
      return outcome or self._outcome()
    # Nobody starts the group anew.
    return self._store_outcome(cause)

  def _agree(self, report: HostReport) -> Outcome | None:
    """Stores the job's outcome, or waits until host 0 has."""
    if report.cause is Cause.RETURNED:
      ended = self._closing.part_together()
      report = dataclasses.replace(report, peak_memory=ended.peak_memory)
    if self._leads or self._group is None:
      return self._store_outcome(report)
    return self._group.outcome()

  def _store_outcome(self, report: HostReport) -> Outcome:
    if self._group:
      report = self._group.named(report)
    outcome = endings.of_report(report, self._started)
    return endings.end(self._directory, self._spec, self._key, outcome)

  def _with_result(self, report: HostReport) -> HostReport:
    (self._scratch / scratch.RESERVE).unlink(missing_ok=True)
    path = self._scratch / scratch.RESULT
    return results.store(self._directory, report, path)

  def _store_report(self, report: HostReport) -> None:
    if self._started:
      signed = signing.sign(report, self._launch.job_id, self._key)
      self._directory.create_host_report(signed)

  def _outcome(self) -> Outcome | None:
    with contextlib.suppress(errors.StoreError):
      return self._directory.outcome()
    return None
