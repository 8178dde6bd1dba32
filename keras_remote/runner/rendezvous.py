"""How the hosts of a group find each other."""

import math
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from keras_remote import errors
from keras_remote.job import attempts, endings, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import (
  Cause,
  HostReport,
  Outcome,
  Present,
  Started,
)
from keras_remote.job.spec import JobSpec
from keras_remote.runner import heartbeat

# Stores cannot push: these are the seconds between two looks, at first and
# later. A bucket counts them.
_QUICK, _SLOW = 0.05, 0.25
# What is asked for at every look beside what is waited for, every so often.
_BESIDE = 4
# So many files are read at a time.
_ASIDE = 16


class Rendezvous:
  """One first process's way into an attempt of its group.

  Each has a token of its own. Host 0 shows its token, the others answer it,
  and the attempt's claim names all of them: so nobody joins an attempt that
  began without it, however the processes of a host are started again.
  """

  def __init__(
    self, directory: JobDirectory, launch: Launch, key: bytes
  ) -> None:
    self._directory = directory
    self._launch = launch
    self._key = key
    self._token = f"{launch.allocation}/{secrets.token_hex(8)}"
    # Whoever is the only process that there will be calls no roll.
    self._alone = launch.hosts == 1 and not launch.stays

  def meet(
    self, spec: JobSpec, ready: Callable[[], object] | None = None
  ) -> Started | Outcome | HostReport:
    """The attempt that this process takes part in, or why there is none.

    That is how the job has ended, or the report that this host's part in an
    attempt is lost, as an earlier process took it.

    Args:
      ready: called by host 0 before it claims; it raises what is in the way.

    Raises:
      StartupError: hosts did not come within the start-up time-out.
      StoreError: the store failed.
    """
    ready = ready or (lambda: None)
    if self._alone:
      return self._claim(spec, "", ready)
    looks = _Looks(spec.job_id, spec.limits.startup_timeout)
    before: Outcome | HostReport | None = None
    while not looks.went_well:
      with looks.next("the store did not answer"):
        before = self._before(spec)
    if before:
      return before
    return self._follow(spec) if self._launch.host else self._lead(spec, ready)

  def _before(self, spec: JobSpec) -> Outcome | HostReport | None:
    """What keeps this process from taking part in an attempt that may come."""
    outcome = self._directory.outcome(self._key)
    if outcome:
      return outcome
    lost = self.tell_loss()
    if self._launch.host:
      return lost
    outcome = endings.conclude(
      self._directory,
      spec,
      self._key,
      f"start of {self._launch.allocation}",
      # The others of an earlier process of this very host may still run.
      over=lost is None,
    )
    return outcome or (lost if self._launch.stays else None)

  def joined(self) -> Started | None:
    """The attempt that this process takes part in, if it was claimed."""
    last = self._last()
    return last if last and self._token in last.members else None

  def tell_loss(self) -> HostReport | None:
    """The report that an earlier process of this host is gone, now stored.

    It took part in the last attempt; None where none did.
    """
    last = self._last()
    if last is None or self._member(last) in ("", self._token):
      return None
    allocation = self._member(last).rpartition("/")[0]
    return self._loss(last) if allocation == self._launch.allocation else None

  def _loss(self, started: Started) -> HostReport:
    report = HostReport(
      attempt=started.attempt,
      host=self._launch.host,
      cause=Cause.LOST,
      message="its first process is gone, and another came in its place",
    )
    signed = signing.sign(report, self._launch.job_id, self._key)
    # What the earlier one has said itself stands.
    self._directory.create_host_report(signed)
    return signed

  def _last(self) -> Started | None:
    claimed = self._directory.attempts(self._key)
    return self._after(claimed[-1] - 1) if claimed else None

  def _after(self, attempt: int) -> Started | None:
    """The next claim, by the job itself: another's names any address."""
    return next(self._directory.claims(attempt, self._key), None)

  def _present(self, host: int) -> Present | None:
    return self._directory.present(host, self._key)

  def _say(self, present: Present) -> None:
    signed = signing.sign(present, self._launch.job_id, self._key)
    self._directory.write_present(signed)

  def _patience(self, spec: JobSpec, last: Started | None) -> float:
    """Seconds for which other hosts are waited for, each time.

    A group that is started anew waits for machines as its first start did.
    Whoever starts it anew sees to what ends meanwhile.
    """
    anew = self._launch.stays and last is not None
    return math.inf if anew else spec.limits.startup_timeout

  def _member(self, started: Started) -> str:
    """The token of this host in the attempt; "" where it has none."""
    host = self._launch.host
    return started.members[host] if host < len(started.members) else ""

  def _claim(
    self,
    spec: JobSpec,
    coordinator: str,
    ready: Callable[[], object],
    members: tuple[str, ...] = (),
  ) -> Started | Outcome:
    ready()
    return endings.claim(
      self._directory,
      spec,
      self._key,
      allocation=self._launch.allocation,
      coordinator=coordinator,
      members=members,
    )

  def _lead(
    self, spec: JobSpec, ready: Callable[[], object]
  ) -> Started | Outcome:
    """Calls the roll, and claims the attempt when all have answered."""
    hosts = self._launch.hosts
    members = {0: self._token}
    looks = _Looks(spec.job_id, self._patience(spec, self._last()))
    self._say(Present(0, self._token))
    while len(members) < hosts:
      missing = [host for host in range(hosts) if host not in members]
      with looks.next(f"{attempts.listed(missing)} did not come"):
        members |= self._answers(missing)
        if len(members) == hosts:
          # One that was started again since has another token now.
          members = {0: self._token, **self._answers(range(1, hosts))}
        if looks.beside and (outcome := self._directory.outcome(self._key)):
          return outcome
    coordinator = address(self._launch.leader) if hosts > 1 else ""
    tokens = tuple(members[host] for host in range(hosts))
    return self._claim(spec, coordinator, ready, tokens)

  def _answers(self, hosts: Sequence[int]) -> dict[int, str]:
    """The tokens of those of the hosts that have answered this process."""
    with ThreadPoolExecutor(_ASIDE) as pool:
      found = list(pool.map(self._present, hosts))
    return {
      each.host: each.token
      for host, each in zip(hosts, found, strict=True)
      if each and each.host == host and each.answers == self._token
    }

  def _follow(self, spec: JobSpec) -> Started | Outcome | HostReport:
    """Answers host 0, and waits for its claim."""
    directory, host = self._directory, self._launch.host
    last = self._last()
    patience = self._patience(spec, last)
    number = last.attempt if last else 0
    old, answered = _leader(last), ""
    pulse = self._pulse(last)
    looks = _Looks(spec.job_id, patience)
    while True:
      waits_for = "did not begin" if answered else "did not come"
      with looks.next(f"host 0 {waits_for}"):
        if looks.beside or not answered:
          leader = self._present(0)
          if leader and leader.token not in (old, answered):
            self._say(Present(host, self._token, leader.token))
            answered = leader.token
            # Host 0 names who is missing: it is to be the first to give up.
            looks.again(patience + heartbeat.SILENCE)
        if looks.beside:
          if outcome := directory.outcome(self._key):
            return outcome
          if last and pulse and pulse.beats():
            return self._loss(last)
        started = self._after(number) if answered else None
        # An attempt of an earlier host 0, which is gone, may have it, too.
        of_it = started and _leader(started) == answered
        if started and of_it and self._token in started.members:
          return started
        if started:
          if lost := self.tell_loss():
            return lost
          last, number = started, started.attempt
          old, pulse = _leader(last), self._pulse(last)

  def _pulse(self, last: Started | None) -> "_Beats | None":
    """By which it is felt that the last attempt goes on without this host.

    Where nobody starts the whole group anew it must be told.
    """
    if last is None or not last.members or self._launch.stays:
      return None
    return _Beats(self._directory, last.attempt)


class _Looks:
  """Looks at a store, again and again, quickly at first.

  Args:
    seconds: after which nothing more is waited for.
  """

  def __init__(self, job_id: str, seconds: float) -> None:
    self._job_id = job_id
    self._count = -1
    self._failed: errors.StoreError | None = None
    # Whether the last look did not fail.
    self.went_well = False
    self.again(seconds)

  def again(self, seconds: float) -> None:
    """The time begins anew."""
    self._pause = _QUICK
    self._seconds = seconds
    self._deadline = time.monotonic() + seconds

  @property
  def beside(self) -> bool:
    """Whether this look is one at all that may have changed."""
    return self._count % _BESIDE == 0

  def next(self, absent: str) -> "_Looks":
    """The next look, as a block in which the store may fail once.

    Raises:
      StartupError: the time is over; it says who is absent.
      StoreError: the time is over, and the store fails.
    """
    if self._count >= 0:
      if time.monotonic() >= self._deadline:
        raise self._failed or errors.StartupError(
          f"{absent} within {self._seconds:g} s (startup_timeout): "
          f"`keras-remote jobs logs {self._job_id}` has what it printed, if it "
          "ever ran; a larger startup_timeout= waits longer"
        )
      time.sleep(self._pause)
      self._pause = min(_SLOW, 1.1 * self._pause)
    self._count += 1
    return self

  def __enter__(self) -> None:
    pass

  def __exit__(self, kind: object, error: object, trace: object) -> bool:
    self._failed = error if isinstance(error, errors.StoreError) else None
    self.went_well = error is None
    return self._failed is not None  # The next look may go better.


class _Beats:
  """Whether host 0 of an attempt is heard."""

  def __init__(self, directory: JobDirectory, attempt: int) -> None:
    self._directory = directory
    self._attempt = attempt
    self._first = directory.heartbeat(attempt, 0)

  def beats(self) -> bool:
    """Whether it was heard since this began."""
    return self._directory.heartbeat(self._attempt, 0) != self._first


def _leader(started: Started | None) -> str:
  """The token of an attempt's host 0, or ""."""
  return started.members[0] if started and started.members else ""


def address(host: str) -> str:
  """The host with a port that is free there: here."""
  with socket.socket() as listener:
    listener.bind(("", 0))
    port = listener.getsockname()[1]
  return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
