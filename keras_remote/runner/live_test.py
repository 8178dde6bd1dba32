import os
import time

from absl.testing import absltest

from keras_remote.job.live import BREAK
from keras_remote.runner.live import LiveView


class LiveViewTest(absltest.TestCase):
  def view(self, line_seconds: float | None) -> LiveView:
    self.end, fd = os.pipe()
    self.addCleanup(os.close, self.end)
    self.addCleanup(os.close, fd)
    return LiveView(fd, line_seconds)

  def shown(self) -> bytes:
    return os.read(self.end, 1000)

  def test_a_line_that_goes_on(self) -> None:
    """It is broken once its time is over, and again only if it goes on."""
    view = self.view(0.01)
    view.write(b"one\n 10%")
    self.assertBetween(view.due, 0.0, 0.01)
    time.sleep(0.01)
    view.show_line()
    self.assertEqual(self.shown(), b"one\n 10%" + BREAK)
    self.assertIsNone(view.due)
    view.write(b" 20%")
    time.sleep(0.01)
    view.write(b" 30%")  # Without a pause in which a timer could strike.
    self.assertEqual(self.shown(), b" 20% 30%" + BREAK)

  def test_a_line_that_ends(self) -> None:
    """Nothing is added to it."""
    view = self.view(0.01)
    view.write(b"on")
    view.write(b"e\n")
    self.assertIsNone(view.due)
    time.sleep(0.01)
    view.show_line()
    self.assertEqual(self.shown(), b"one\n")

  def test_a_view_of_parts(self) -> None:
    """Where parts of lines are seen none is broken."""
    view = self.view(None)
    view.write(b"on")
    self.assertIsNone(view.due)
    view.show_line()
    self.assertEqual(self.shown(), b"on")

  def test_nobody_looks_on(self) -> None:
    """The job goes on."""
    end, fd = os.pipe()
    os.close(end)
    self.addCleanup(os.close, fd)
    view = LiveView(fd, 0.0)
    view.write(b"on")


if __name__ == "__main__":
  absltest.main()
