"""The first process: the order of things on one host, from start to ending."""

import contextlib
import os
import queue
import signal
import sys
from pathlib import Path

from keras_remote import errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.runner import live, logs, process, scratch, signals
from keras_remote.runner.events import ChildEnded, Event
from keras_remote.runner.host import Host
from keras_remote.storage.open import open_store

# Where this process's own output goes, and so the live view of the worker's.
_LIVE = 1
_FAILED_EXIT = 1
# Seconds for which a beat of the heart is tried: the next one says more.
_BEAT_SECONDS = 10.0


def main(worker: process.Worker) -> int:
  """Runs this host's part of the job that the environment names.

  One that stays returns only where the store fails: whoever starts it again
  then has it tried again. Else it exits from here, when it is told to stop.

  Returns:
    0 where the outcome is stored and says success, ENDED_EXIT where it says
    another thing; 143 where this process was told to stop and no outcome is
    stored; 1 where it could not be stored.
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
    except (errors.KerasRemoteError, OSError) as error:
      # The store itself fails: only whoever started this process can be told.
      with contextlib.suppress(OSError):
        Path(launch.last_words).write_text(str(error))
      sys.stderr.write(f"keras_remote: {error}\n")
      return _FAILED_EXIT
  if launch.stays:
    host.stay()
    # It is told to stop: no thread is waited for.
    os._exit(code)
  return code
