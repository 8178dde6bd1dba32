"""What a job does when it is told to stop."""

import os
import signal


def exit_on_sigterm() -> None:
  """From here on SIGTERM ends the main thread as `sys.exit` would.

  So `finally` blocks and exit handlers run, and a checkpoint can be saved.
  A function that wants something else installs a handler of its own.

  Children that are forked end at once, as they do elsewhere: one that waits
  for a lock of multiprocessing may never get to run a handler.
  """
  signal.signal(signal.SIGTERM, _exit)
  os.register_at_fork(after_in_child=_default_in_child)


def _default_in_child() -> None:
  if signal.getsignal(signal.SIGTERM) is _exit:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: object) -> None:
  raise SystemExit(128 + number)
