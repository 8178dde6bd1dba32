"""What the worker prints, written on at once to whoever looks on."""

import contextlib
import os
import time

from keras_remote.constants import KIB, MIB
from keras_remote.job.live import BREAK

# Seconds after which a line without an end is shown as it is.
LINE_SECONDS = 1.0
# Logs leave so much of a disk free.
LOW_BYTES = MIB
# The first lines may take of what is left, down to a quarter of it.
_FIRST_BYTES = 64 * KIB


class LiveView:
  """Writes to a file descriptor of whoever looks on.

  Who looks on may be gone, or its disk full: the job goes on.

  Args:
    line_seconds: after which a line that goes on is broken with a mark; None
      where also parts of lines are seen.
  """

  def __init__(self, fd: int, line_seconds: float | None = None) -> None:
    self._fd = fd
    self._line_seconds = line_seconds
    self._seen = 0  # Bytes.
    # When the line began that is not shown yet.
    self._since: float | None = None

  def write(self, data: bytes) -> None:
    before = self._seen
    self._seen += len(data)
    with contextlib.suppress(OSError):
      if low(self._fd, before):
        return
      view = memoryview(data)
      while view:
        view = view[os.write(self._fd, view) :]
    if data.endswith(b"\n"):
      self._since = None
    elif self._since is None or b"\n" in data:
      self._since = time.monotonic()
    self.show_line()

  @property
  def due(self) -> float | None:
    """Seconds until `show_line` has something to do; None for never."""
    since = self._since
    if since is None or self._line_seconds is None:
      return None
    return max(0.0, since + self._line_seconds - time.monotonic())

  def show_line(self) -> None:
    """Shows a line that goes on for too long as it is."""
    if self.due == 0:
      self._since = None
      with contextlib.suppress(OSError):
        os.write(self._fd, BREAK)


def low(place: "os.PathLike[str] | int", printed: int) -> bool:
  """Whether the disk is so full that logs must stop: an ending is to fit.

  Args:
    printed: bytes before.
  """
  least = LOW_BYTES if printed >= _FIRST_BYTES else LOW_BYTES // 4
  free = os.statvfs(place)
  return free.f_blocks > 0 and free.f_bavail * free.f_frsize < least
