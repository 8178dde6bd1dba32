"""How a first process stays that would be started again if it ended."""

import time
from collections.abc import Callable

from keras_remote.job.outcome import Outcome
from keras_remote.runner import heartbeat, signals
from keras_remote.runner.release import Release

# Seconds after which whoever stays without an outcome ends nevertheless, to be
# started again: that is noticed late, too.
UNTOLD = 60.0
# Seconds that host 0 has to free the machines before the others do.
_BEFORE = 15.0
# Seconds that a deletion still has when this process is told to stop: it often
# is what tells it, by the first of what it deletes. Kubernetes gives 30.
_FINISHING = 20.0


def stay(
  outcome: Callable[[], Outcome | None],
  release: Release | None,
  *,
  leads: bool,
  patience: float = UNTOLD,
  before: float = _BEFORE,
) -> None:
  """Waits until this process is told to stop, and has the machines freed.

  Whichever host does that: host 0 may never have come.

  Args:
    outcome: how the job ended, as far as that is known.
    leads: whether this is host 0, which is the first to free them.
    patience: seconds for which the job may go on without an outcome: who is
      to start the group anew has then not noticed that it must.
    before: seconds that host 0 has for it.
  """
  deadline, ended = time.monotonic() + patience, None
  while not signals.wait(min(heartbeat.SECONDS, patience)):
    now = time.monotonic()
    if not outcome():  # Somebody else may end the job meanwhile.
      if now > deadline:
        return
      continue
    ended = now if ended is None else ended
    if release and (leads or now - ended >= before):
      release.begin()
  if release:
    release.finish(_FINISHING)


def hold(
  release: Release,
  patience: float,
  works: Callable[[], bool] = lambda: False,
  *,
  pause: float = heartbeat.SECONDS,
  told: Callable[[float | None], bool] = signals.wait,
) -> None:
  """Waits until what this process needs works, or has the machines freed.

  It returns then, or when it is told to stop. Whoever exits at once is started
  again, and knows nothing of how long that has gone on: so the time is counted
  here.

  Args:
    patience: seconds after which the machines are freed.
    works: whether another start may do better.
    pause: seconds between two looks.
    told: whether it is told to stop; waits for that so long.
  """
  deadline = time.monotonic() + patience
  while (left := deadline - time.monotonic()) > 0:
    if told(min(pause, left)) or works():
      return
  release.begin()
  # By what it deletes it is told to stop.
  told(None)
  release.finish(_FINISHING)
