import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.constants import KIB, MIB
from keras_remote.runner import logs
from keras_remote.runner.live import LiveView


class _Shelf:
  """Keeps what it is given; fails, or waits, as often as it is told to."""

  def __init__(self, failures: int = 0) -> None:
    self.segments: dict[int, bytes] = {}
    self.failures = failures
    self.failed = threading.Event()
    self.open = threading.Event()
    self.open.set()

  def create(self, offset: int, data: bytes) -> None:
    self.open.wait(10)
    if self.failures:
      self.failures -= 1
      self.failed.set()
      raise errors.StoreError("away")
    assert offset not in self.segments, "stored twice"
    self.segments[offset] = data

  @property
  def text(self) -> bytes:
    return b"".join(data for _, data in sorted(self.segments.items()))


class LogPumpTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.spool = Path(self.create_tempdir("spool").full_path)
    self.live = Path(self.create_tempfile("live").full_path)
    self.shelf = _Shelf()

  def pump(
    self,
    *,
    spool_bytes: int = MIB,
    segment_bytes: int = MIB,
    segment_seconds: float = 60.0,
  ) -> tuple[logs.LogPump, int]:
    pipe, end = os.pipe()
    live = os.open(self.live, os.O_WRONLY)
    self.addCleanup(os.close, live)
    pump = logs.LogPump(
      pipe,
      LiveView(live),
      self.spool,
      spool_bytes=spool_bytes,
      segment_bytes=segment_bytes,
      segment_seconds=segment_seconds,
    )
    self.addCleanup(pump.close, 0, 0.1)
    return pump, end

  def wait_until(self, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
      self.assertLess(time.monotonic(), deadline, "it never came to hold")
      time.sleep(0.002)

  def test_a_note_of_ours(self) -> None:
    """It stands where it was made, live and kept; after the end only live."""
    pump, end = self.pump(segment_seconds=0.01)
    pump.store(self.shelf.create)
    os.write(end, b"before\n")
    self.wait_until(lambda: self.shelf.text == b"before\n")
    pump.note("left out")
    os.write(end, b"after\n")
    os.close(end)
    pump.close(10)
    kept = b"before\n[keras_remote: left out]\nafter\n"
    self.assertEqual(self.shelf.text, kept)
    pump.note("late")
    self.assertEqual(self.shelf.text, kept)
    self.assertEqual(self.live.read_bytes(), kept + b"[keras_remote: late]\n")

  def test_everything_arrives_once_and_in_order(self) -> None:
    """Live and in segments, byte for byte, each segment by its offset."""
    text = b"".join(b"line %d\n" % n for n in range(50_000))
    pump, end = self.pump(segment_bytes=64 * KIB)
    pump.store(self.shelf.create)
    with open(end, "wb") as out:
      out.write(text)
    pump.close(10)
    self.assertEqual(self.live.read_bytes(), text)
    self.assertEqual(self.shelf.text, text)
    self.assertGreater(len(self.shelf.segments), 3)
    for offset, data in self.shelf.segments.items():
      self.assertEqual(text[offset : offset + len(data)], data)
      self.assertLess(len(data), 128 * KIB)
    self.assertEmpty(os.listdir(self.spool))

  def test_what_comes_before_there_is_a_store(self) -> None:
    """It waits in the spool: an import's output comes before the attempt."""
    pump, end = self.pump()
    os.write(end, b"early ")
    self.wait_until(lambda: self.live.read_bytes() == b"early ")
    pump.store(self.shelf.create)
    os.write(end, b"late")
    os.close(end)
    pump.close(10)
    self.assertEqual(self.shelf.segments, {0: b"early late"})

  def test_a_segment_goes_when_it_is_due(self) -> None:
    """A job that prints little is seen from elsewhere all the same."""
    pump, end = self.pump(segment_seconds=0.02)
    pump.store(self.shelf.create)
    os.write(end, b"step 1")
    self.wait_until(lambda: self.shelf.text == b"step 1")
    os.write(end, b", step 2")
    self.wait_until(lambda: self.shelf.text == b"step 1, step 2")
    os.close(end)

  def test_a_store_that_is_away_for_a_while_loses_nothing(self) -> None:
    """What it did not take is tried again, in order."""
    self.shelf.failures = 2
    pump, end = self.pump(segment_bytes=10)
    pump.store(self.shelf.create)
    for _ in range(5):
      os.write(end, b"0123456789")
    self.assertTrue(self.shelf.failed.wait(10))
    os.close(end)
    pump.close(10)
    self.assertEqual(self.shelf.text, b"0123456789" * 5)

  def test_a_store_that_stays_away_does_not_hold_the_ending_up(self) -> None:
    """After the last tries the rest is in the live view only."""
    self.shelf.failures = 1_000_000
    pump, end = self.pump()
    pump.store(self.shelf.create)
    os.write(end, b"text")
    os.close(end)
    began = time.monotonic()
    pump.close(10)
    self.assertLess(time.monotonic() - began, 5)
    self.assertEqual(self.live.read_bytes(), b"text")
    self.assertEmpty(os.listdir(self.spool))

  def test_a_store_that_hangs_does_not_hold_the_ending_up(self) -> None:
    """Nobody waits for longer than the patience without any progress."""
    self.shelf.open.clear()
    self.addCleanup(self.shelf.open.set)
    pump, end = self.pump()
    pump.store(self.shelf.create)
    os.write(end, b"text")
    os.close(end)
    began = time.monotonic()
    pump.close(10, patience=0.1)
    self.assertLess(time.monotonic() - began, 5)

  def test_a_store_that_is_slow_is_waited_for_while_it_gets_on(self) -> None:
    """The patience is for one segment, not for all."""

    def create(offset: int, data: bytes) -> None:
      time.sleep(0.05)
      self.shelf.create(offset, data)

    pump, end = self.pump(segment_bytes=1)
    pump.store(create)
    for n in range(6):
      os.write(end, b"%d" % n)
      self.wait_until(lambda n=n: self.live.stat().st_size == n + 1)
    os.close(end)
    pump.close(10, patience=0.15)
    self.assertEqual(self.shelf.text, b"012345")

  def test_a_full_spool_drops_and_says_how_much(self) -> None:
    """The reader never waits; a notice stands where bytes are missing."""
    self.shelf.open.clear()
    pump, end = self.pump(spool_bytes=256 * KIB, segment_seconds=0.02)
    pump.store(self.shelf.create)
    os.write(end, b"first\n")
    with open(end, "wb", buffering=0) as out:
      for _ in range(64):  # Would block for ever if nobody read.
        out.write(b"x" * 16 * KIB)
      self.wait_until(lambda: self.live.stat().st_size == MIB + 6)
      self.shelf.open.set()
      self.wait_until(lambda: len(self.shelf.text) > 128 * KIB)
      self.wait_until(lambda: not os.listdir(self.spool))
      for n in range(8):
        out.write(b"y" * 16 * KIB)
        seen = MIB + 6 + (n + 1) * 16 * KIB
        self.wait_until(lambda seen=seen: self.live.stat().st_size == seen)
      out.write(b"last\n")
    pump.close(10)
    text = self.shelf.text
    self.assertTrue(text.startswith(b"first\nxxx"))
    self.assertTrue(text.endswith(b"y" * 128 * KIB + b"last\n"))
    self.assertEqual(text.count(b"bytes of the log dropped"), 1)
    dropped = int(text.split(b"keras_remote: ")[1].split()[0])
    self.assertEqual(dropped, MIB + 6 - text.count(b"x") - len(b"first\n"))
    whole = b"first\n" + b"x" * MIB + b"y" * 128 * KIB + b"last\n"
    for offset, data in self.shelf.segments.items():
      if b"dropped" not in data:
        self.assertEqual(whole[offset : offset + len(data)], data)

  def test_what_is_dropped_at_the_very_end_is_said_too(self) -> None:
    """Even where nothing is kept after it."""
    pump, end = self.pump(spool_bytes=10)
    with open(end, "wb", buffering=0) as out:
      out.write(b"0123456789")
      self.wait_until(lambda: self.live.stat().st_size == 10)
      out.write(b"x" * 100)
    self.wait_until(lambda: self.live.stat().st_size == 110)
    pump.store(self.shelf.create)
    pump.close(10)
    self.assertEqual(self.shelf.segments[0], b"0123456789")
    self.assertIn(b"100 bytes", self.shelf.segments[10])

  def test_a_notice_is_no_longer_than_what_it_stands_for(self) -> None:
    """Else the next segment would begin before its end."""
    pump, end = self.pump(spool_bytes=10)
    os.write(end, b"0123456789x")
    self.wait_until(lambda: self.live.stat().st_size == 11)
    pump.store(self.shelf.create)
    os.close(end)
    pump.close(10)
    self.assertEqual([*map(len, self.shelf.segments.values())], [11])

  def test_a_grandchild_that_holds_the_pipe_is_not_waited_for(self) -> None:
    """What was printed is read, then the pipe is closed."""
    pump, end = self.pump()
    pump.store(self.shelf.create)
    script = "import sys, time; print('here', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=end) as child:
      self.addCleanup(child.wait)
      self.addCleanup(child.kill)
      os.close(end)
      self.wait_until(lambda: self.live.read_bytes() == b"here\n")
      began = time.monotonic()
      pump.close(0.1)
      self.assertLess(time.monotonic() - began, 5)
      self.assertEqual(self.shelf.text, b"here\n")
      child.kill()

  def test_a_grandchild_that_never_stops_printing(self) -> None:
    """The reading ends although there is always more to read."""
    pipe, end = os.pipe()
    shown, live = os.pipe()
    pump = logs.LogPump(pipe, LiveView(live), self.spool)

    def show() -> None:
      while os.read(shown, 4 * KIB):
        time.sleep(0.0005)  # So that it prints faster than is read.

    viewer = threading.Thread(target=show)
    viewer.start()
    with subprocess.Popen(["yes"], stdout=end) as child:
      os.close(end)
      began = time.monotonic()
      pump.close(0.05)
      self.assertLess(time.monotonic() - began, 5)
      child.kill()
    os.close(live)
    viewer.join()
    os.close(shown)

  def test_what_is_in_the_pipe_is_read_with_no_time_left(self) -> None:
    """A worker that printed just before its end is heard."""
    pipe, end = os.pipe()
    shown, live = os.pipe()
    os.write(live, bytes(64 * KIB))  # Full: the reader has to wait.
    pump = logs.LogPump(pipe, LiveView(live), self.spool)
    pump.store(self.shelf.create)
    os.write(end, b"first words, ")
    time.sleep(0.01)
    os.write(end, b"last words")
    late = threading.Timer(0.05, os.read, (shown, 64 * KIB))
    late.start()
    pump.close(0)  # The pipe is still open.
    late.join()
    self.assertEqual(self.shelf.text, b"first words, last words")
    for fd in (end, live, shown):
      os.close(fd)

  def test_a_live_view_that_is_gone(self) -> None:
    """Segments are stored although nobody looks on."""
    pipe, end = os.pipe()
    reader, live = os.pipe()
    os.close(reader)
    self.addCleanup(os.close, live)
    pump = logs.LogPump(pipe, LiveView(live), self.spool)
    pump.store(self.shelf.create)
    os.write(end, b"text")
    os.close(end)
    pump.close(10)
    self.assertEqual(self.shelf.text, b"text")

  def test_a_live_view_that_is_stuck(self) -> None:
    """It holds the ending up no longer than the patience."""
    pipe, end = os.pipe()
    shown, live = os.pipe()
    os.write(live, bytes(64 * KIB))
    self.addCleanup(os.close, shown)
    self.addCleanup(os.close, live)
    pump = logs.LogPump(pipe, LiveView(live), self.spool)
    pump.store(self.shelf.create)
    os.write(end, b"text")
    os.close(end)
    began = time.monotonic()
    pump.close(0.05, patience=0.1)
    self.assertLess(time.monotonic() - began, 5)
    os.read(shown, 64 * KIB)  # Lets the reader go on, and end.

  def mount(self, size: str) -> None:
    """The spool is a disk of its own."""
    if os.geteuid() or sys.platform != "linux":
      self.skipTest("mounting a small disk takes root on Linux")
    options = ["-t", "tmpfs", "-o", f"size={size}", "none"]
    subprocess.run(["mount", *options, self.spool], check=True)
    self.addCleanup(
      subprocess.run, ["umount", "-l", str(self.spool)], check=True
    )

  def test_a_disk_that_was_nearly_full_before(self) -> None:
    """The first lines are kept, and seen, all the same."""
    self.mount("900k")
    self.live = self.spool / "live"
    self.live.touch()
    self.spool = self.spool / "spool"
    self.spool.mkdir()
    pump, end = self.pump()
    with open(end, "wb") as out:
      out.write(b"first\n" + b"x" * 4 * MIB)
    pump.store(self.shelf.create)
    pump.close(10)
    self.assertStartsWith(self.shelf.text, b"first\n")
    self.assertIn(b"bytes of the log dropped", self.shelf.text)
    self.assertStartsWith(self.live.read_bytes(), b"first\n")

  def test_a_full_disk(self) -> None:
    """Logs stop before the disk is full, and the pipe is read on."""
    self.mount("2m")
    pump, end = self.pump(spool_bytes=64 * MIB)
    with open(end, "wb") as out:
      out.write(b"x" * 4 * MIB)
    self.wait_until(lambda: self.live.stat().st_size == 4 * MIB)
    free = os.statvfs(self.spool)
    self.assertGreaterEqual(free.f_bavail * free.f_frsize, MIB - 128 * KIB)
    pump.store(self.shelf.create)
    pump.close(10)
    self.assertIn(b"bytes of the log dropped", self.shelf.text)

  def test_closing_gives_back_what_it_took(self) -> None:
    """No descriptor and no thread is left; a second time does nothing."""
    before = set(os.listdir("/dev/fd")), threading.active_count()
    pipe, end = os.pipe()
    pump = logs.LogPump(pipe, LiveView(1), self.spool)
    pump.store(self.shelf.create)
    os.close(end)
    pump.close(10)
    pump.close(10)
    after = set(os.listdir("/dev/fd")), threading.active_count()
    self.assertEqual(after, before)


if __name__ == "__main__":
  absltest.main()
