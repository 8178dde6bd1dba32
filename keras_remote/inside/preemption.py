"""What a job does when it is told to stop."""

import os
import signal
import threading

# Of a thread that forks: what it has blocked anyway.
_forking = threading.local()


def exit_on_sigterm() -> None:
  """From here on SIGTERM ends the main thread as `sys.exit` would.

  So `finally` blocks and exit handlers run, and a checkpoint can be saved.
  A function that wants something else installs a handler of its own.

  Children that are forked end at once, as they do elsewhere: one that waits
  for a lock of multiprocessing may never get to run a handler.
  """
  signal.signal(signal.SIGTERM, _exit)
  os.register_at_fork(
    before=_hold, after_in_parent=_let_go, after_in_child=_default_in_child
  )


def _hold() -> None:
  """Python forgets what comes to a child before it is one: it has to wait."""
  _forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_go() -> None:
  signal.pthread_sigmask(signal.SIG_SETMASK, _forking.blocked)


def _default_in_child() -> None:
  if signal.getsignal(signal.SIGTERM) is _exit:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
  _let_go()


def _exit(number: int, frame: object) -> None:
  raise SystemExit(128 + number)
