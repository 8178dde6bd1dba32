import io

from absl.testing import absltest, parameterized

from keras_remote.core import console
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from keras_remote.progress import Step
from tests.fakes.specs import job_spec


class _Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


class LogTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("lines", [b"a\nb\n"], "a\nb\n"),
    ("in_pieces", [b"a", b"b\nc", b"\n"], "ab\nc\n"),
    ("without_an_end", [b"a\nb"], "a\nb\n"),
    ("a_letter_in_two_pieces", [b"\xc3", b"\xa9\n"], "é\n"),
    ("bytes_that_are_no_text", [b"\xff\n"], "\ufffd\n"),
    ("a_progress_bar", [b"\r10%\r20%", b"\r30%\n"], "30%\n"),
    ("a_bar_with_returns_at_its_end", [b"10%\r", b"20%\r\n"], "20%\n"),
    ("a_bar_with_backspaces", [b"10%\b\b\b20%\n"], "20%\n"),
  )
  def test_a_pipe_gets_whole_lines_as_they_look_in_the_end(
    self, pieces: list[bytes], shown: str
  ) -> None:
    """Nothing is lost; of what overwrites itself the last state remains."""
    out = io.StringIO()
    view = console.Console(out, io.StringIO())
    for piece in pieces:
      view.log(0, piece, hosts=1)
    view.end_logs()
    self.assertEqual(out.getvalue(), shown)

  def test_a_terminal_gets_everything_as_it_comes(self) -> None:
    """A progress bar moves where somebody can see it."""
    out = _Terminal()
    view = console.Console(out, io.StringIO())
    for piece in (b"\r10%", b"\r20%"):
      view.log(0, piece, hosts=1)
    self.assertEqual(out.getvalue(), "\r10%\r20%")

  def test_the_hosts_of_a_group_are_told_apart(self) -> None:
    """Each line bears its host, and lines are never mixed."""
    out = io.StringIO()
    view = console.Console(out, io.StringIO())
    view.log(0, b"fi", hosts=2)
    view.log(1, b"other\n", hosts=2)
    view.log(0, b"rst\n", hosts=2)
    self.assertEqual(out.getvalue(), "[host 1] other\n[host 0] first\n")

  def test_a_reader_that_is_gone_ends_nothing(self) -> None:
    """`| head` must not fail the job."""

    class Gone(io.StringIO):
      def write(self, text: str) -> int:
        raise BrokenPipeError

    console.Console(Gone(), io.StringIO()).log(0, b"x\n", hosts=1)


class SentenceTest(parameterized.TestCase):
  def test_the_start_says_what_stands_in_for_what(self) -> None:
    """Nobody emulates by accident: the first line says it."""
    line = console.start_line(job_spec(accelerator="v5e-16", hosts=4))
    self.assertIn("on local, v5e-16 on 4 hosts (emulated", line)
    self.assertNotIn(
      "emulated", console.start_line(job_spec(accelerator="cpu"))
    )

  def test_the_end_says_state_time_memory_and_where_the_logs_are(
    self,
  ) -> None:
    """The last line is all that a person needs to go on."""
    err = io.StringIO()
    outcome = Outcome(
      attempt=1,
      state=State.SUCCEEDED,
      cause=Cause.RETURNED,
      message="",
      ended="",
      writer="",
      peak_memory=3 * 2**20,
    )
    spec = job_spec(accelerator="v5e-8", hosts=1)
    console.Console(io.StringIO(), err).ended(spec, outcome, 61.2)
    self.assertEqual(
      err.getvalue(),
      "keras_remote: SUCCEEDED in 1 min 01 s, peak memory 3.0 MiB, v5e-8 "
      "emulated\n"
      f"keras_remote: logs: keras-remote jobs logs {spec.job_id}\n",
    )

  def test_only_warnings_are_shown_of_long_work(self) -> None:
    """A step is for those who look; a warning is for everybody."""
    err = io.StringIO()
    view = console.Console(io.StringIO(), err)
    view.report(Step("packing"))
    self.assertEqual(err.getvalue(), "")
    view.report(Step("too large", warning=True))
    self.assertEqual(err.getvalue(), "keras_remote: too large\n")

  @parameterized.parameters(
    (3.21, "3.2 s"), (59.99, "60.0 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")
  )
  def test_a_time_for_people(self, seconds: float, text: str) -> None:
    """Two units at most."""
    self.assertEqual(console.duration(seconds), text)

  @parameterized.parameters((2**20, "1.0 MiB"), (3 * 2**29, "1.5 GiB"))
  def test_a_size_for_people(self, count: int, text: str) -> None:
    """Binary units, as tools for memory say."""
    self.assertEqual(console.size(count), text)


if __name__ == "__main__":
  absltest.main()
