"""Tells of a group that hangs which host holds it up, and where."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from keras_remote import clock, errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import At, Doing, Hang
from keras_remote.job.launch import Launch
from keras_remote.job.spec import JobSpec
from keras_remote.runner import heartbeat, judging, sampling, scratch, stacks

# Between two looks: a host is named within 30 s, of which this is a part.
SECONDS = 3.0
# A store is told of one host no more often.
_TELL_SECONDS = 5.0
# What goes by sooner is not told.
_LASTS = 4.0
# A sampler that says nothing for so long is held up itself.
_HELD = 10.0
_WAITS = (At.WAITS, At.JOINS)


def looks_after(spec: JobSpec, launch: Launch) -> bool:
  """Whether there are hosts that can wait for each other, in a function."""
  return launch.hosts > 1 and not spec.entry.argv


def routine(
  directory: JobDirectory,
  attempt: int,
  launch: Launch,
  pid: int,
  note: Callable[[str], None],
) -> heartbeat.Routine:
  """Looks after a host of a group, and on host 0 after all of them.

  Args:
    pid: of the worker, whose stacks are wanted when its host is named.
    note: says something in this host's log.
  """
  path = Path(launch.scratch) / scratch.DOING
  mirror = Mirror(directory, attempt, launch.host, path)
  patient = Patient(directory, attempt, launch.host, lambda: stacks.ask(pid))
  judge = (
    Deputy(directory, attempt, launch.host)
    if launch.host
    else Judge(directory, attempt, launch.hosts, note)
  )

  def work() -> None:
    mirror.look()
    judge.look()
    patient.look()

  return heartbeat.Routine("doctor", SECONDS, work)


class Mirror:
  """Tells the store what this host is at, when that lasts."""

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    host: int,
    path: Path,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._write = functools.partial(directory.write_doing, attempt, host)
    self._path = path
    self._now = now
    self._said: Doing | None = None
    self._heard = now()
    self._told: Doing | None = None
    # By the clock here: since when it was at what was told, and when it was.
    self._began = self._told_at = -_TELL_SECONDS

  def look(self) -> None:
    """Tells what is new."""
    doing, now = self._doing(), self._now()
    if doing is None or now - self._told_at < _TELL_SECONDS:
      return
    began, told = now - doing.seconds, self._told
    ended = told is not None and told.at in _WAITS and doing.at is not told.at
    again = began - self._began > SECONDS
    if doing.seconds < _LASTS and not ended:
      return
    if told and not again and _what(doing) == _what(told):
      return
    self._told_at = now
    self._write(doing)
    self._told, self._began = doing, began

  def _doing(self) -> Doing | None:
    """What the worker says, or that it should have said something by now."""
    said, now = sampling.read(self._path), self._now()
    if said is None:
      return None
    if said != self._said:
      self._said, self._heard = said, now
    silent = now - self._heard
    if said.at is not At.RETURNED and silent >= _HELD:
      return dataclasses.replace(said, at=At.HELD, seconds=silent, still=silent)
    return dataclasses.replace(
      said, seconds=said.seconds + silent, still=said.still + silent
    )


def _what(doing: Doing) -> tuple[object, ...]:
  return doing.at, doing.place, doing.function


class Patient:
  """Has this host's stacks written, once a hang that it is named in.

  Args:
    dump: has them written.
  """

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    host: int,
    dump: Callable[[], object],
  ) -> None:
    self._hang = lambda: directory.hang(attempt)
    self._host = host
    self._dump = dump
    self._named = False

  def look(self) -> None:
    """Looks whether it is named."""
    hang = self._hang()
    named = hang is not None and self._host in hang.hosts
    if named and not self._named:
      self._dump()
    self._named = named


class Judge:
  """Says what holds up the group, as host 0 sees it."""

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    hosts: int,
    note: Callable[[str], None],
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._attempt = attempt
    self._hosts = hosts
    self._note = note
    self._now = now
    # When each was first seen, which is what its times count on from.
    self._seen: dict[int, tuple[Doing, float]] = {}
    self._hearts = {
      host: _Heart(directory, attempt, host, now) for host in range(1, hosts)
    }
    self._hang = Hang("")

  def look(self) -> None:
    """Looks at all hosts, and tells what is new."""
    silent = [host for host, heart in self._hearts.items() if heart.silent()]
    doings = {}
    for host in range(self._hosts):
      # A store that fails says nothing new.
      with contextlib.suppress(errors.StoreError):
        self._see(host, self._directory.doing(self._attempt, host))
      if host in self._seen:
        doing, since = self._seen[host]
        more = self._now() - since
        doings[host] = dataclasses.replace(
          doing, seconds=doing.seconds + more, still=doing.still + more
        )
    hang = judging.judge(doings, silent) or Hang("")
    # A deputy may have said something meanwhile.
    if hang != (self._directory.hang(self._attempt) or Hang("")):
      self._directory.write_hang(self._attempt, hang)
    if hang != self._hang:
      self._hang = hang
      self._note(hang.sentence or "no host holds up the others any more")

  def _see(self, host: int, doing: Doing | None) -> None:
    if doing and (host not in self._seen or self._seen[host][0] != doing):
      self._seen[host] = doing, self._now()


class Deputy:
  """Says of host 0, which judges, that it is silent; each other host has one.

  Host 0 itself says what is true again.
  """

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    host: int,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._attempt = attempt
    self._host = host
    self._heart = _Heart(directory, attempt, 0, now)
    self._looks = 0

  def look(self) -> None:
    """Looks at its heart; one host is enough to tell, and the first does."""
    self._looks = self._looks + 1 if self._heart.silent() else 0
    if self._looks < self._host:
      return
    hang = Hang(judging.silence(0), (0,))
    if hang != self._directory.hang(self._attempt):
      self._directory.write_hang(self._attempt, hang)


class _Heart:
  """A host's heart; one that has stored all that it ever will is not silent."""

  def __init__(
    self,
    directory: JobDirectory,
    attempt: int,
    host: int,
    now: Callable[[], float],
  ) -> None:
    self._last: int | None = None

    def beat() -> int | None:
      self._last = directory.heartbeat(attempt, host)
      return self._last

    self._pulse = heartbeat.Pulse(beat, now)

  def silent(self) -> bool:
    return self._pulse.silent() and self._last != heartbeat.LAST
