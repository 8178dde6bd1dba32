"""The group of an attempt, as one of its hosts takes part in it."""

import dataclasses
import functools
import math
import queue
import time
from collections.abc import Callable, Iterator
from typing import TypeGuard

from keras_remote import clock
from keras_remote.job import attempts
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.runner import heartbeat, verdict
from keras_remote.runner.events import Event

# Stores cannot push: these are the seconds between two looks.
_LOOK = 0.05
# For so many seconds a group looks often.
_LIVELY = 600.0
# What all the hosts of a group do together; other endings host 0 tells them.
_TOGETHER = (Cause.RETURNED, Cause.STOPPED)
# What says nothing by itself of where it was.
_OF_HOST = (Cause.EXIT, Cause.SIGNAL, Cause.MEMORY, Cause.SETUP, Cause.LOST)
# How an attempt ends that may be followed by another.
BROKEN = (Cause.STOPPED, Cause.LOST)


class Group:
  """A host's part in agreeing with the others.

  Args:
    events: what the heart finds is put there, and read from there.
    now: seconds on this process's own clock.
  """

  def __init__(
    self,
    directory: JobDirectory,
    started: Started,
    launch: Launch,
    key: bytes,
    events: "queue.SimpleQueue[Event]",
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._attempt = started.attempt
    self._leads = launch.host == 0
    self._events = events
    self._now = now
    # Where whatever started them starts the group anew, all leave it at once.
    self._heeded = (*_TOGETHER, *(BROKEN if launch.stays else ()))
    self._reports = verdict.Reports(
      directory, started.attempt, launch.hosts, key, judges=self._leads
    )
    self._told: HostReport | None = None
    # Since when something may end soon that this host is to hear of at once.
    self._lively = now() if self._leads else -math.inf

  def pause(self) -> float:
    """Seconds until the next look.

    Host 0 alone acts upon most of what it sees; the others wait for it when
    they are through. What takes long may end a second later.
    """
    lively = self._now() - self._lively < _LIVELY
    return heartbeat.GROUP_SECONDS if lively else heartbeat.CALM_SECONDS

  def watch(self) -> None:
    """Puts the verdict among the events, when there is one."""
    verdict = self._reports.verdict()
    if verdict and verdict != self._told:
      self._told = verdict
      self._events.put(verdict)

  def heeds(self, event: object) -> TypeGuard[HostReport]:
    """Whether the event is a verdict that this host acts upon."""
    return isinstance(event, HostReport) and (
      self._leads or event.cause in self._heeded
    )

  def news(self) -> Iterator[Event | None]:
    """Events, or None every second, until host 0 has fallen silent.

    Host 0 itself goes on: its own heart stands still where the store holds it
    up, and nobody else would end the job.

    Raises:
      StoreError: the store has failed for long.
    """
    self._lively = self._now()
    pulse = heartbeat.Pulse(
      functools.partial(self._directory.heartbeat, self._attempt, 0),
      self._now,
    )
    while not pulse.silent() or self._leads:
      try:
        yield self._events.get(timeout=1.0)
      except queue.Empty:
        yield None

  def outcome(self) -> Outcome | None:
    """The outcome that host 0 stores; None where it falls silent."""
    for event in self.news():
      if isinstance(event, Outcome):
        return event
    return None

  def may_part(self) -> bool:
    """Whether the worker's end tears no other host out of what it is at."""
    return not self._leads or self._reports.have_saved()

  def await_stored(self, seconds: float) -> None:
    """Host 0 waits until the others have stored all that they ever will."""
    if self._leads:
      wait_until(self._reports.have_stored, time.monotonic() + seconds)

  def named(self, report: HostReport) -> HostReport:
    """The report of whoever ended the group, with what was of it elsewhere.

    An exception is told in its own words; what else happened is said of its
    host.
    """
    message = report.message
    if report.cause in _OF_HOST:
      message = attempts.named(report)
    echoes = self._reports.echoes(report)
    if echoes:
      message += (
        f" ({attempts.listed(echoes)} then lost the connection to the others)"
      )
    return dataclasses.replace(report, message=message)


def lost_in_place(
  directory: JobDirectory, report: HostReport, launch: Launch
) -> Outcome | None:
  """How the job ends of which this host's part is lost; None where unknown.

  Where whatever started it starts the whole group anew nothing is waited for.
  """
  if launch.stays:
    return None
  pulse = heartbeat.Pulse(
    functools.partial(directory.heartbeat, report.attempt, 0)
  )
  while not pulse.silent():
    if outcome := directory.outcome():
      return outcome
    time.sleep(heartbeat.GROUP_SECONDS)
  return None


def wait_until(holds: Callable[[], bool], deadline: float) -> None:
  """Returns once it holds, or at the deadline."""
  while not holds() and time.monotonic() < deadline:
    time.sleep(_LOOK)
