"""Work that an interrupt does not break off in its middle."""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from keras_remote.cli.infra.engine import StoppedError
from keras_remote.progress import Step


def interruptible(
  work: Callable[[], object],
  report: Callable[[Step], object],
  stop: Callable[[], object],
) -> None:
  """Works; an interrupt lets that come to its end first.

  Args:
    stop: ends the work at once; what the second interrupt does.

  Raises:
    StoppedError: there was one, however the work ended.
    KeyboardInterrupt: there was another.
  """
  # Python's own handler would raise in here, and an exception between two
  # steps of a future leaves its lock taken: nobody then learns of its end.
  news: SimpleQueue[int] = SimpleQueue()
  interrupts = 0

  def interrupted(*_: object) -> None:
    nonlocal interrupts
    interrupts += 1
    news.put(interrupts)

  with _at_interrupts(interrupted), ThreadPoolExecutor(1, "pulumi") as pool:
    working = pool.submit(work)
    working.add_done_callback(lambda _: news.put(0))
    while number := news.get():
      if number == 1:
        report(
          Step(
            "interrupted: what has begun is brought to its end first; Ctrl-C "
            "again leaves it as it is",
            warning=True,
          )
        )
      else:
        stop()
  if interrupts > 1:
    raise KeyboardInterrupt
  if interrupts:
    raise StoppedError("error: update canceled")
  working.result()


@contextlib.contextmanager
def _at_interrupts(call: Callable[..., object]) -> Generator[None]:
  """Calls it at SIGINT instead of raising; only the main thread gets any."""
  usual = signal.default_int_handler
  in_main = threading.current_thread() is threading.main_thread()
  if not in_main or signal.getsignal(signal.SIGINT) is not usual:
    yield
    return
  signal.signal(signal.SIGINT, call)
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, usual)
