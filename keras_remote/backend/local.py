"""The local backend: a job is a group of processes on this machine."""

import contextlib
import math
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from keras_remote import clock, errors
from keras_remote.backend.allocation import (
  LOOK,
  Allocation,
  appear,
  appending,
  link,
)
from keras_remote.backend.base import Cloud, Observation, Shown, Submission
from keras_remote.backend.hang import GroupLook
from keras_remote.checks import Check, Link
from keras_remote.constants import HOME_VARIABLE
from keras_remote.home import (
  Home,
  cluster_key,
  ensure,
  machine_id,
  unlock,
  write_private,
)
from keras_remote.home import lock as take_lock
from keras_remote.job import signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import HOST_VARIABLE, Launch
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.storage.open import is_folder, open_store

# A bucket counts requests, and processes that end are seen without it.
_BUCKET_LOOK = 1.0
_READ = 64 * 1024
_RUNNER = "runner.pyz"
# In an allocation: the address of the store that holds the job.
_STORE = "store"
# Seconds for which an ended job's folder stays for those who still look.
_FRESH = 600
# Seconds that the start of Python may take.
_START_SECONDS = 10.0
# 16 processes of JAX took 11.5 s to start on two cores.
_MANY_HOSTS, _MOST_HOSTS = 8, 16


class LocalBackend:
  """Runs jobs on this machine, with CPU devices for accelerators.

  Raises:
    ConfigError: commands would not find their modules in this home.
  """

  name = "local"
  emulates = True
  contains = False
  restarts_groups = True  # Nobody takes a machine away here.
  usual_timeout: float | None = None
  in_google_cloud = False
  cloud: Cloud | None = None

  def __init__(self, home: Home) -> None:
    if os.pathsep in str(home.path):
      raise errors.ConfigError(
        f"the home folder {home.path} holds '{os.pathsep}', which parts the "
        "folders of PYTHONPATH: commands would not find their modules; set "
        f"{HOME_VARIABLE} to another folder"
      )
    self._home = home

  @property
  def place(self) -> str:
    here = f"{self._home.local}:{machine_id(self._home)}"
    return f"{platform.node()}:{here}"

  def check_hosts(self, hosts: int, *, named: bool, slices: int = 1) -> None:
    if hosts > _MOST_HOSTS:
      raise errors.ConfigError(
        f"{hosts} hosts are too many to emulate on one machine: the most is "
        f"{_MOST_HOSTS}; choose a smaller slice"
      )
    if hosts > _MANY_HOSTS and not named:
      raise errors.ConfigError(
        f"{hosts} hosts are many to emulate on one machine, with a process of "
        'JAX each: if that is meant, say backend="local"'
      )

  def check_call(self, store: str, environ: Mapping[str, str]) -> None:
    pass  # What this process can have, its children can.

  def submit_job(
    self,
    submission: Submission,
    stored: Callable[[], object] = lambda: None,
  ) -> None:
    stored()
    spec = submission.spec
    allocation = self._allocation(spec)
    if allocation.path.exists():
      return
    ensure(self._home.local)
    # It appears whole, with every lock taken: nobody takes it for dead.
    hidden = self._home.local / f".{secrets.token_hex(8)}"
    locks: list[int] = []
    try:
      for host in range(spec.resources.hosts):
        folder = ensure(hidden / f"host-{host}")
        locks.append(take_lock(folder / "alive"))
        write_private(folder / "key", submission.key)
      write_private(hidden / _STORE, os.fsencode(spec.target.store))
      # A cache may be cleaned while the job runs.
      link(submission.runner, hidden / _RUNNER)
      if not appear(hidden, allocation.path):
        return
      try:
        for host, lock in enumerate(locks):
          self._start(submission, host, lock)
      except OSError:
        self.cleanup_job(spec)  # Some of the hosts may have started.
        raise
    except OSError as error:
      raise errors.SubmitError(
        f"cannot start processes on this machine: {error.strerror}"
      ) from error
    finally:
      for lock in locks:
        unlock(lock)
      shutil.rmtree(hidden, ignore_errors=True)
    self._sweep()

  def watch_job(
    self, spec: JobSpec, *, timeout: float | None = None
  ) -> Iterator[Observation]:
    deadline = math.inf if timeout is None else clock.monotonic() + timeout
    last = None
    away = self._away(spec)
    directory = self._directory(spec.target.store, spec.job_id, away=away)
    group = GroupLook(directory, spec.resources.hosts)
    while True:
      seen = self._observe(spec, directory, group, away=away)
      if seen != last:
        yield seen
        last = seen
      left = deadline - clock.monotonic()
      if seen.state.ended or left <= 0:
        return
      self._pause(spec, left)

  def job_logs(
    self,
    spec: JobSpec,
    host: int,
    *,
    allocation: str | None = None,
    offset: int = 0,
    follow: bool = True,
  ) -> Generator[bytes, None, Shown]:
    if allocation not in (None, spec.job_id):
      return Shown()
    place = self._allocation(spec)
    alone = spec.resources.hosts == 1
    near = is_folder(spec.target.store)
    try:
      log = place.host(host, "log").open("rb")
    except OSError:
      return Shown()
    directory = self._directory(spec.target.store, spec.job_id)
    with log:
      log.seek(offset)
      while True:
        # Asked before reading: what was printed before the end is then read.
        # A single host's log is complete when its outcome is there.
        ended = not place.lives(host) or (
          alone and near and directory.outcome() is not None
        )
        while data := log.read(_READ):
          yield data
        if ended or not follow:
          return Shown(spec.job_id)  # The store is near: it is asked.
        time.sleep(LOOK)

  def cancel_job(self, spec: JobSpec) -> None:
    for process in self._allocation(spec).processes():
      with contextlib.suppress(psutil.Error):
        if HOST_VARIABLE in process.environ():
          process.send_signal(signal.SIGTERM)

  def abandoned(self, spec: JobSpec) -> bool:
    allocation = self._allocation(spec)
    # Of a home that machines share, locks of others may not be seen.
    return (
      not self._away(spec) and not allocation.held() and allocation.untidy()
    )

  def death(self, spec: JobSpec, allocation: str) -> str:
    return ""  # Nobody starts a second time here, and so tells too little.

  def cleanup_job(self, spec: JobSpec) -> None:
    self._allocation(spec).remove()

  def checks(self) -> Sequence[Link]:
    return [Link("processes", _check_processes)]

  def signing_key(self) -> bytes:
    return cluster_key(self._home)

  def command(self, runner: Path, store: str) -> list[str]:
    """How a first process is started: a bucket alone needs installed packages.

    Those of the user too, which -I would leave out.
    """
    flags = ["-I", "-S"] if is_folder(store) else ["-E", "-P"]
    return [sys.executable, *flags, str(runner)]

  def _start(self, submission: Submission, host: int, lock: int) -> None:
    spec = submission.spec
    folder = self._allocation(spec).host(host)
    launch = Launch(
      store=spec.target.store,
      job_id=spec.job_id,
      spec_digest=submission.digest,
      host=host,
      hosts=spec.resources.hosts,
      key_file=str(folder / "key"),
      scratch=str(folder / "scratch"),
      allocation=spec.job_id,
      leader="127.0.0.1",
      last_words=str(folder / "last-words"),
    )
    with appending(folder / "log") as log:
      process = subprocess.Popen(
        self.command(folder.parent / _RUNNER, spec.target.store),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **submission.environ, **launch.environ()},
        pass_fds=(lock,),
        start_new_session=True,
        cwd=folder,
      )
    # A daemon: nobody waits for it, and the job outlives this process.
    threading.Thread(
      target=process.wait, name=f"reap {spec.job_id}", daemon=True
    ).start()

  def _observe(
    self,
    spec: JobSpec,
    directory: JobDirectory,
    group: GroupLook,
    *,
    away: bool,
  ) -> Observation:
    allocation = self._allocation(spec)
    # Asked in the order in which they happen, and before the outcome: what is
    # seen to be over has then left its traces.
    preparing = self._home.prepares(spec.job_id)
    present = allocation.path.exists()
    hosts = spec.resources.hosts
    dead = allocation.dead(hosts)
    outcome = directory.outcome()
    if outcome is not None:
      return Observation(outcome.state, outcome.message, outcome)
    if away:
      return Observation(
        State.RUNNING,
        f"its processes are at {spec.target.place}: only what they store "
        "is seen from here",
      )
    if not present:
      if preparing:
        return Observation(State.PREPARING, "it is being packed and sent")
      return Observation(
        State.LOST, "never started: the submitting process ended before"
      )
    attempts = directory.attempts()
    attempt = max(attempts, default=0)
    for host in dead:
      if host == 0 or directory.host_report(attempt, host) is None:
        return Observation(State.LOST, allocation.last_words(host, hosts))
    seen = Observation(State.PENDING, "its processes are starting")
    if attempt:
      seen = Observation(State.RUNNING, f"attempt {attempt} is running")
    return group.add(seen, attempt)

  def _away(self, spec: JobSpec) -> bool:
    """Whether its processes are at another place."""
    return _apart_from_name(spec.target.place) != _apart_from_name(self.place)

  def _pause(self, spec: JobSpec, most: float) -> None:
    """Waits until it may be worth to look at the job again."""
    if is_folder(spec.target.store):
      time.sleep(min(LOOK, most))
      return
    end = clock.monotonic() + min(_BUCKET_LOOK, most)
    allocation, hosts = self._allocation(spec), spec.resources.hosts
    dead = allocation.dead(hosts)
    while (left := end - clock.monotonic()) > 0 and (
      allocation.dead(hosts) == dead
    ):
      time.sleep(min(LOOK, left))

  def _sweep(self) -> None:
    """Removes what ended jobs left: their logs are in the store."""
    for folder in self._home.local.iterdir():
      # Another process may be sweeping too.
      with contextlib.suppress(OSError, errors.KerasRemoteError):
        recent = time.time() - folder.stat().st_mtime < _FRESH
        # A store may have been put here, and what is in it is no allocation.
        ours = (folder / "host-0" / "alive").exists()
        old = ours and not recent
        allocation = Allocation(folder)
        if old and not allocation.held() and self._settled(allocation):
          shutil.rmtree(folder, ignore_errors=True)

  def _settled(self, allocation: Allocation) -> bool:
    """Whether nobody needs the folder of an ended job any more.

    Of a first process that was killed the log is needed until somebody has
    stored how the job ended.
    """
    name = allocation.path.name
    if name.startswith(".") or not allocation.untidy():
      return True
    store = os.fsdecode((allocation.path / _STORE).read_bytes())
    return self._directory(store, name).outcome() is not None

  def _directory(
    self, store: str, job_id: str, *, away: bool = False
  ) -> JobDirectory:
    # What ran with another home is signed with a key that is not known here.
    key = None if away else signing.job_key(self.signing_key(), job_id)
    return JobDirectory(open_store(store), job_id, key)

  def _allocation(self, spec: JobSpec) -> Allocation:
    return Allocation(self._home.local / spec.job_id)


def _apart_from_name(place: str) -> str:
  """A place without the host's name, which may change."""
  return place.partition(":")[2]


def _check_processes() -> Check:
  """Whether Python can be started here, as each job does twice a host."""
  what, begun = "processes", clock.monotonic()
  try:
    subprocess.run(
      [sys.executable, "-c", ""],
      stdin=subprocess.DEVNULL,
      capture_output=True,
      check=True,
      timeout=_START_SECONDS,
    )
  except (OSError, subprocess.SubprocessError) as error:
    cure = "look at the limits of this machine (`ulimit -u`) and its Python"
    return Check(what, False, f"Python cannot be started: {error}", cure)
  took = clock.monotonic() - begun
  return Check(what, True, f"Python starts in {1000 * took:.0f} ms")
