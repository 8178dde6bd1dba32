"""The first process: the order of things on one host, from start to ending."""

import contextlib
import os
import queue
import signal
import sys
import traceback
from pathlib import Path

from keras_remote import errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import FAILED_EXIT, SHOWN, Launch
from keras_remote.runner import (
  heartbeat,
  live,
  logs,
  process,
  scratch,
  signals,
  staying,
)
from keras_remote.runner.events import ChildEnded, Event
from keras_remote.runner.host import Host
from keras_remote.runner.release import Release
from keras_remote.storage.open import open_store

# Where this process's own output goes, and so the live view of the worker's.
_LIVE = 1
# Seconds for which a beat of the heart is tried: the next one says more.
_BEAT_SECONDS = 10.0


def main(worker: process.Worker) -> int:
  """Runs this host's part of the job that the environment names.

  One that stays returns only where that fails: whoever starts it again then has
  it tried again. Else it exits from here, when it is told to stop.

  Returns:
    0 where the outcome is stored and says success, ENDED_EXIT where it says
    another thing; 143 where this process was told to stop and no outcome is
    stored; 1 where it could not be stored, or nothing could begin.
  """
  launch = Launch.from_environ(os.environ)
  process.become_subreaper()
  events: queue.SimpleQueue[Event] = queue.SimpleQueue()
  signals.tell(signal.SIGCHLD, lambda: events.put(ChildEnded()))
  events.put(ChildEnded())  # It may have ended before anybody listened.
  worker.listen(events.put)
  folder = Path(launch.scratch)
  with contextlib.ExitStack() as stack:
    stack.callback(scratch.remove, folder)
    try:
      scratch.make(folder)
      view = live.LiveView(_LIVE, live.LINE_SECONDS if launch.by_line else None)
      pump = logs.LogPump(worker.log_fd, view, folder / scratch.SPOOL)
      stack.callback(pump.close, 0)
      stack.callback(process.end_descendants)
      stack.callback(worker.end, 0)
      installed = None
      if launch.recipe:
        from keras_remote.runner.installed import Installed

        installed = Installed(launch, worker, events)
      key = Path(launch.key_file).read_bytes()
      directory = JobDirectory(open_store(launch.store), launch.job_id, key)
      hasty = open_store(launch.store, patience=_BEAT_SECONDS)
      beats = JobDirectory(hasty, launch.job_id, key)
      host = Host(launch, directory, key, worker, pump, events, folder, beats)
      code = installed.run(host, pump.note) if installed else host.run()
      failed = None
    except Exception as error:
      if launch.release:
        signals.ignore()  # It is heeded below.
      # The store itself fails: only whoever started this process can be told.
      _tell(launch, error)
      code, host, failed = FAILED_EXIT, None, error
  if failed and launch.release:
    _free(launch, failed)
  if launch.stays and host:
    host.stay()
    # It is told to stop: no thread is waited for.
    os._exit(code)
  return code


def _tell(launch: Launch, error: Exception) -> None:
  """Says why nothing could be stored, in what every machine has."""
  with contextlib.suppress(OSError):
    Path(launch.last_words).write_text(str(error))
  if isinstance(error, (errors.KerasRemoteError, OSError)):
    sys.stderr.write(f"keras_remote: {error}\n")
  else:
    traceback.print_exception(error)


def _free(launch: Launch, failed: Exception) -> None:
  """Returns when another start may do better; else it frees the machines.

  Nobody else may be there to do that, and whoever starts this process again
  would do so for ever.
  """
  release = Release(Path(launch.release), launch.job_id, _note)
  store = isinstance(failed, (errors.StoreError, errors.CredentialsError))
  if not store:
    _note(f"in {SHOWN:.0f} s its machines are freed")
    staying.hold(release, SHOWN)
    return
  seconds = heartbeat.OUTAGE
  _note(f"its machines are freed if the store fails for {seconds:.0f} s")

  def works() -> bool:
    try:
      opened = open_store(launch.store, patience=_BEAT_SECONDS)
      JobDirectory(opened, launch.job_id).try_to_write()
    except (errors.KerasRemoteError, OSError):
      return False
    return True

  staying.hold(release, seconds, works)


def _note(text: str) -> None:
  sys.stderr.write(f"keras_remote: {text}\n")
