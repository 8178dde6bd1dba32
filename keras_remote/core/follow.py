"""Stays with a job until it has ended: its states, and all that it prints."""

import contextlib
import signal
import threading
from collections.abc import Callable, Sequence

from keras_remote import errors
from keras_remote.core import cost, pending
from keras_remote.core.console import Console
from keras_remote.core.job import Ending, Job
from keras_remote.core.logs import HostLog
from keras_remote.core.settings import resolve
from keras_remote.job.outcome import Outcome
from keras_remote.job.state import State
from keras_remote.storage.open import same_address


def follow(job: Job, console: Console) -> Ending:
  """How the job ended, after showing all of it while it went on."""
  # Asked before the wait: what it says may be gone after it.
  elsewhere = not same_address(job.spec.target.store, resolve({}).options.store)
  console.started(job.spec)
  for sentence in cost.at_start(job.spec, job.backend):
    console.say(sentence)
  left, ended = threading.Event(), threading.Event()
  threads = _show_each(job, console, left, _host_logs(job, ended))
  try:
    quiet = pending.PATIENCE if console.is_live else pending.QUIET
    ending = pending.ending(job, console, quiet=quiet)
    ended.set()
    for thread in threads:
      thread.join()
  finally:
    left.set()
    console.end_logs()
  outcome = ending.outcome
  spent = cost.at_end(job.spec, job.backend, outcome)
  console.ended(job.spec, outcome, elsewhere=elsewhere, spent=spent)
  _annotate(job, outcome, console)
  return ending


def show_logs(
  job: Job, console: Console, *, follow: bool, tail: int | None = None
) -> None:
  """Shows what all hosts printed, host by host, or as it comes.

  Raises:
    OSError: it cannot be written, though somebody reads.
  """
  ended = threading.Event()
  logs = _host_logs(job, ended)
  for host, log in enumerate(logs):
    lines = b"".join(log.now()).splitlines(keepends=True)
    shown = lines if tail is None else lines[max(0, len(lines) - tail) :]
    console.log(host, b"".join(shown), hosts=len(logs))
  if follow:
    left = threading.Event()
    threads = _show_each(job, console, left, logs)
    try:
      for _ in job.watch():
        pass
      ended.set()
      for thread in threads:
        thread.join()
    finally:
      left.set()
  console.end_logs()
  if console.lost:
    raise console.lost


def _host_logs(job: Job, ended: threading.Event) -> list[HostLog]:
  hosts = range(job.spec.resources.hosts)
  return [HostLog(job, host, ended) for host in hosts]


def _show_each(
  job: Job, console: Console, left: threading.Event, logs: Sequence[HostLog]
) -> list[threading.Thread]:
  # Daemons: whoever leaves a job does not wait for the next thing it prints.
  threads = [
    threading.Thread(
      target=_show_log,
      args=(job, host, console, left, log),
      name=f"log {host}",
      daemon=True,
    )
    for host, log in enumerate(logs)
  ]
  for thread in threads:
    thread.start()
  return threads


def _show_log(
  job: Job, host: int, console: Console, left: threading.Event, log: HostLog
) -> None:
  # Whoever waits for the job's end tells what is wrong.
  with contextlib.suppress(errors.KerasRemoteError):
    for data in log.rest():
      if left.is_set():
        return
      console.log(host, data, hosts=job.spec.resources.hosts)


def _annotate(job: Job, outcome: Outcome, console: Console) -> None:
  if outcome.state is State.SUCCEEDED or not outcome.attempt:
    return
  report = job.directory.host_report(outcome.attempt, outcome.host)
  if report and report.frames:
    message = f"{outcome.exception_type}: {outcome.message}"
    console.annotate(message, report.frames[-1])


# No generators: these would set attributes of what is raised, and a class of
# the user's may be frozen.
def interruptible(
  cancel: Callable[[], object], leave: Callable[[], object], notebook: bool
) -> contextlib.AbstractContextManager[object]:
  """What Ctrl-C and SIGTERM do while a call blocks.

  At a terminal and in CI they cancel the job; a notebook's interrupt leaves
  it. Both then go on as they would have.
  """

  def interrupted(_: object, error: object, __: object) -> None:
    if isinstance(error, KeyboardInterrupt):
      (leave if notebook else cancel)()
    elif isinstance(error, Terminated):
      cancel()
    else:
      return
    # Where in here it came is of no use to whoever interrupted.
    error.with_traceback(None)

  stack = contextlib.ExitStack()
  stack.push(interrupted)
  stack.enter_context(terminable())
  return stack


def terminable() -> contextlib.AbstractContextManager[object]:
  """In this block SIGTERM raises Terminated, unless it has a handler."""
  stack = contextlib.ExitStack()
  in_main = threading.current_thread() is threading.main_thread()
  if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _terminate)
    stack.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
  return stack


class Terminated(SystemExit):
  """SIGTERM came while a call was blocking."""


def _terminate(number: int, frame: object) -> None:
  raise Terminated(128 + number)
