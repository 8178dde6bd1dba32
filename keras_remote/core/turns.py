"""A lock that is given in the order in which it was asked for."""

import collections
import threading


class Turns:
  """Whoever comes again at once does not come before those who wait.

  With another lock a host that prints without pause might keep it from others.
  """

  def __init__(self) -> None:
    self._lock = threading.Lock()
    # Whoever has it, and behind that those who wait.
    self._line: collections.deque[threading.Lock] = collections.deque()

  @property
  def waiting(self) -> int:
    """How many wait for it."""
    with self._lock:
      return max(0, len(self._line) - 1)

  def __enter__(self) -> None:
    turn = threading.Lock()
    turn.acquire()
    try:
      with self._lock:
        self._line.append(turn)
        if len(self._line) == 1:
          return
      turn.acquire()
    except BaseException:  # Ctrl-C, while it waits.
      self._leave(turn)
      raise

  def __exit__(self, *error: object) -> None:
    self._leave(self._line[0])

  def _leave(self, turn: threading.Lock) -> None:
    with self._lock:
      if turn not in self._line:
        return
      had_it = self._line[0] is turn
      self._line.remove(turn)
      if had_it and self._line:
        self._line[0].release()
