"""What the worker prints: live at once, and into the job's directory.

Reading the worker's pipe never waits for the store: a spool on the local disk
takes up the slack, and says so where it must drop.
"""

import collections
import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

from keras_remote import errors
from keras_remote.constants import KIB, MIB
from keras_remote.runner.live import LiveView, low

SEGMENT_BYTES = MIB
SEGMENT_SECONDS = 5.0
SPOOL_BYTES = 64 * MIB
# Seconds that a store may take for one segment, once the job has ended.
PATIENCE = 15.0
# As much as a pipe holds.
_READ = 64 * KIB
# Seconds before each further try, once the job has ended.
_LAST_PAUSES = (0.1, 0.3, 1.0)

Create = Callable[[int, bytes], None]


class LogPump:
  """Reads the pipe to its end, on a thread of its own.

  Offsets are those of what was printed. Where something is dropped a segment
  that says so stands in its place.

  Args:
    pipe: the file descriptor to read.
    live: what everything is written to at once.
    spool: an empty folder for segments that the store does not have yet.
    spool_bytes: how much it may hold.
    segment_bytes: how much a segment holds, about.
    segment_seconds: after which a segment goes to the store as it is.
  """

  def __init__(
    self,
    pipe: int,
    live: LiveView,
    spool: Path,
    *,
    spool_bytes: int = SPOOL_BYTES,
    segment_bytes: int = SEGMENT_BYTES,
    segment_seconds: float = SEGMENT_SECONDS,
  ) -> None:
    self._pipe = pipe
    self._live = live
    self._spool = spool
    self._spool_bytes = spool_bytes
    self._segment_bytes = segment_bytes
    self._segment_seconds = segment_seconds
    self._offset = 0  # Of the next byte to be read.
    self._start = 0  # Of the segment that is being filled.
    self._segment: int | None = None
    self._opened = 0.0
    self._ready: collections.deque[int] = collections.deque()
    self._notices: dict[int, bytes] = {}
    self._waiting = 0  # Bytes in the spool.
    self._stored = 0  # Segments.
    self._dropped = 0
    self._deadline: float | None = None
    self._changed = threading.Condition()
    self._finished = threading.Event()
    self._wake, self._waker = os.pipe()
    # Daemons, here and in the heart: SIGTERM may strike before their owner
    # has them, and then nobody could end them.
    self._reader = threading.Thread(
      target=self._read, name="log reader", daemon=True
    )
    self._writer: threading.Thread | None = None
    self._reader.start()

  def store(self, create: Create) -> None:
    """Starts to store segments: `create(offset, data)` is called for each.

    A StoreError of `create` is survived: the segment is tried again.
    """
    self._writer = threading.Thread(
      target=self._write, args=(create,), name="log writer", daemon=True
    )
    self._writer.start()

  def note(self, text: str) -> None:
    """Says something of ours, live and in the log while it is read."""
    line = f"[keras_remote: {text}]\n".encode(errors="replace")
    self._live.write(line)
    with self._changed:
      if not self._finished.is_set():
        self._keep(line)

  def close(self, drain: float, patience: float = PATIENCE) -> None:
    """Ends the reading and stores what is left; nothing the second time.

    Args:
      drain: seconds to wait for the pipe's end: a process that the worker
        left behind may hold it open.
      patience: seconds without any progress after which whoever reads live,
        or the store, is not waited for any longer.
    """
    if self._finished.is_set():
      return
    self._deadline = time.monotonic() + drain
    os.write(self._waker, b"x")
    self._reader.join(drain + patience)
    with self._changed:
      self._roll()
      self._note_dropped()
      self._finished.set()
      self._changed.notify()
    if not self._reader.is_alive():
      for fd in (self._pipe, self._wake, self._waker):
        os.close(fd)
    self._flush(patience)
    with contextlib.suppress(OSError):
      for name in os.listdir(self._spool):  # What the store did not take.
        (self._spool / name).unlink()

  def _flush(self, patience: float) -> None:
    before = -1
    while self._writer and self._writer.is_alive() and self._stored != before:
      before = self._stored
      self._writer.join(patience)

  def _read(self) -> None:
    watched = [self._pipe, self._wake]
    while self._deadline is None:
      ready, _, _ = select.select(watched, (), (), self._live.due)
      self._live.show_line()
      if self._pipe in ready and not self._read_once():
        return
    while self._pipe in select.select([self._pipe], (), (), self._left())[0]:
      # Once more where the time is up: for what was there before.
      if not self._left():
        self._read_once()
        return
      if not self._read_once():
        return

  def _left(self) -> float:
    return max(0.0, (self._deadline or 0.0) - time.monotonic())

  def _read_once(self) -> bool:
    """Whether the pipe goes on."""
    data = os.read(self._pipe, _READ)
    if data:
      self._live.write(data)
      with self._changed:
        if not self._finished.is_set():
          self._keep(data)
    return bool(data)

  def _keep(self, data: bytes) -> None:
    start = self._offset
    # A few long gaps are better than many short ones.
    room = self._spool_bytes // 2 if self._dropped else self._spool_bytes
    if self._waiting + len(data) <= room and not low(self._spool, start):
      self._note_dropped()
      # A full disk: logs stop, the job goes on.
      with contextlib.suppress(OSError):
        self._append(data)
    dropped = start + len(data) - self._offset
    if dropped:
      self._roll()
      self._offset += dropped
      self._dropped += dropped

  def _append(self, data: bytes) -> None:
    if self._segment is None:
      self._start = self._offset
      self._segment = os.open(
        self._spool / str(self._start), os.O_WRONLY | os.O_CREAT, 0o600
      )
      self._opened = time.monotonic()
      self._changed.notify()
    view = memoryview(data)
    while view:
      written = os.write(self._segment, view)
      self._offset += written
      self._waiting += written
      view = view[written:]
    if self._offset - self._start >= self._segment_bytes:
      self._roll()

  def _roll(self) -> None:
    """Hands the segment over to the writer; the lock is held."""
    if self._segment is not None:
      os.close(self._segment)
      self._segment = None
      if self._offset > self._start:
        self._ready.append(self._start)
        self._changed.notify()

  def _note_dropped(self) -> None:
    """Puts a notice where something was dropped; the lock is held."""
    if self._dropped:
      notice = (
        f"\n[keras_remote: {self._dropped} bytes of the log dropped: no room "
        "to keep them]\n"
      ).encode()
      start = self._offset - self._dropped
      self._notices[start] = notice[: self._dropped]
      self._ready.append(start)
      self._dropped = 0
      self._changed.notify()

  def _write(self, create: Create) -> None:
    failures, last = 0, iter(_LAST_PAUSES)
    while (offset := self._next()) is not None:
      try:
        self._create(create, offset)
        failures = 0
      except (errors.StoreError, OSError):
        failures = min(failures + 1, 6)
        if self._finished.wait(min(0.1 * 2**failures, 5.0)):
          pause = next(last, None)
          if pause is None:
            return  # What is left stays in the live view only.
          time.sleep(pause)

  def _next(self) -> int | None:
    """The segment to be stored next, when there is one; None at the end."""
    with self._changed:
      while not self._ready:
        if self._finished.is_set():
          return None
        due = self._opened + self._segment_seconds - time.monotonic()
        if self._segment is None:
          self._changed.wait()
        elif due > 0:
          self._changed.wait(due)
        else:
          self._roll()
      return self._ready[0]

  def _create(self, create: Create, offset: int) -> None:
    notice = self._notices.get(offset)
    path = self._spool / str(offset)
    data = path.read_bytes() if notice is None else notice
    create(offset, data)
    with self._changed:
      self._ready.popleft()
      self._stored += 1
      if self._notices.pop(offset, None) is None:
        self._waiting -= len(data)
    path.unlink(missing_ok=True)
