"""What goes on beside the call: the heart of a host, and other routines."""

import functools
import itertools
import threading
import traceback
from collections.abc import Callable

from keras_remote import clock, errors
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Outcome

SECONDS = 5.0
# A group ends all its hosts at once, so its hosts look more often.
GROUP_SECONDS = 0.25
# Unless nothing that ends soon hangs on it: a bucket counts its looks.
CALM_SECONDS = 1.0
# What a host's counter is when it has stored all that it ever will.
LAST = 0
# A heartbeat that has not changed for so long is stale.
SILENCE = 30.0
# A store that cannot be read for so long is not waited for.
OUTAGE = 600.0


class Routine:
  """Work that is done again and again, on a thread of its own.

  A store that is away for a while ends neither it nor the job; nor does a
  mistake of ours, which stderr tells once.

  Args:
    seconds: between two times; a function is asked after each.
    work: called at once, and then again and again.
  """

  def __init__(
    self,
    name: str,
    seconds: float | Callable[[], float],
    work: Callable[[], object],
  ) -> None:
    self._pause = seconds if callable(seconds) else lambda: seconds
    self._work = work
    self._stopping = threading.Event()
    self._thread = threading.Thread(target=self._run, name=name, daemon=True)
    self._thread.start()

  def stop(self, patience: float = SECONDS) -> None:
    """Ends the thread; one that a store holds up is left after `patience`."""
    self._stopping.set()
    self._thread.join(patience)

  def _run(self) -> None:
    told = False
    while not self._stopping.is_set():
      try:
        self._work()
      except (errors.KerasRemoteError, OSError):
        pass
      except Exception:  # Whatever it is: without a heart the job is lost.
        if not told:
          traceback.print_exc()
        told = True
      self._stopping.wait(self._pause())


class Counter:
  """A host's heartbeat in the directory of its job.

  It counts from 1, until nothing of the host will follow.
  """

  def __init__(self, directory: JobDirectory, attempt: int, host: int) -> None:
    self._write = functools.partial(directory.write_heartbeat, attempt, host)
    self._counts = itertools.count(1)
    self._over = False
    self._writing = threading.Lock()

  def beat(self) -> None:
    """Says that the host lives."""
    with self._writing:
      if not self._over:
        self._write(next(self._counts))

  def end(self) -> None:
    """Says that it has stored all that it ever will."""
    with self._writing:
      if not self._over:
        self._write(LAST)
      self._over = True


def heart(
  directory: JobDirectory,
  beat: Callable[[], None],
  *,
  pause: Callable[[], float],
  ended: Callable[[Outcome], None],
  watch: Callable[[], None],
) -> list[Routine]:
  """Says that the host lives, and looks whether it still may.

  Each on its own: whoever is silent for long is taken for lost, however long a
  look takes.

  Args:
    beat: called every `SECONDS`.
    pause: seconds between two looks, asked for after each.
    ended: called once, with an outcome that somebody else stored.
    watch: called at every look.
  """
  told = threading.Event()

  def work() -> None:
    if told.is_set():
      return
    try:
      watch()
    finally:
      # Whatever fails there: a cancel is heard all the same.
      outcome = directory.outcome()
      if outcome is not None:
        told.set()
        ended(outcome)

  return [Routine("heart", SECONDS, beat), Routine("look-out", pause, work)]


class Pulse:
  """A host's heartbeat, as another process feels it.

  Args:
    beat: reads the counter.
    now: seconds on this process's own clock.
  """

  def __init__(
    self,
    beat: Callable[[], int | None],
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._beat = beat
    self._now = now
    self._heard: int | None = None
    self._since = self._read = now()

  def silent(self) -> bool:
    """Whether the counter has not changed for `SILENCE` seconds.

    A store that fails says nothing about the host.

    Raises:
      StoreError: it has failed for `OUTAGE` seconds.
    """
    now = self._now()
    try:
      beat = self._beat()
    except errors.StoreError:
      if now - self._read > OUTAGE:
        raise
      self._since = now
      return False
    self._read = now
    if beat != self._heard:
      self._heard, self._since = beat, now
    return now - self._since > SILENCE
