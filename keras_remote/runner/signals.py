"""SIGTERM as an exception, once and never late."""

import os
import signal
import sys
import threading
from collections.abc import Callable

# What a shell would say of a process that SIGTERM ended.
STOPPED_EXIT = 128 + signal.SIGTERM
# Seconds after which SIGTERM comes again where Python swallowed it.
_AGAIN = 0.1


class Stopped(BaseException):
  """Something outside told this process to stop."""


def install() -> None:
  """From here on SIGTERM raises Stopped in the main thread."""
  signal.signal(signal.SIGTERM, _stop)
  sys.unraisablehook = _swallowed


def forget_inherited() -> None:
  """Takes back what whoever started this process does not want to hear.

  Both go on to child processes: SIGTERM would not end them, and of a child
  whose SIGCHLD is ignored nobody learns how it ended.
  """
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  signal.pthread_sigmask(signal.SIG_SETMASK, ())


def ignore() -> None:
  """From here on SIGTERM disturbs nothing: an ending is being stored.

  Whoever waits for it is told all the same, see `wait`.
  """
  signal.signal(signal.SIGTERM, lambda *_: None)


def wait(seconds: float | None = None) -> bool:
  """Whether SIGTERM has ever come; waits for it for so many seconds.

  It is told by what `tell` begins.
  """
  return _TOLD.wait(seconds)


# Set by the thread that reads which signals came: a handler must not set what
# the main thread may be waiting for.
_TOLD = threading.Event()


def tell(number: int, happened: Callable[[], None]) -> None:
  """From here on `happened` is called at every signal, from a thread.

  A handler alone may run late or never: the system may hand the signal to
  another thread, or just before the main thread begins to wait. What this
  puts into a queue wakes it, and then its handlers run too.
  """
  signal.signal(number, lambda *_: None)
  received, wake = os.pipe()
  os.set_blocking(wake, False)
  signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

  def read() -> None:
    while numbers := os.read(received, 4096):
      if signal.SIGTERM in numbers:
        _TOLD.set()
      happened()

  threading.Thread(target=read, name="signals", daemon=True).start()


def _stop(number: int, frame: object) -> None:
  ignore()
  raise Stopped


def _swallowed(ignored: "sys.UnraisableHookArgs") -> None:
  """Python ignores what callbacks of its own raise: then SIGTERM comes again.

  Such as those of weak references, of which imports have many.
  """
  if ignored.exc_type is not Stopped:
    sys.__unraisablehook__(ignored)
    return
  signal.signal(signal.SIGTERM, _stop)
  # Not at once: that would be within the callback, too.
  again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGTERM))
  again.daemon = True
  again.start()
