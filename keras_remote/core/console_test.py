import dataclasses
import errno
import io
import sys
import tracemalloc
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.core import console
from keras_remote.job.outcome import Cause, Frame, Outcome
from keras_remote.job.spec import Target
from keras_remote.job.state import State
from keras_remote.progress import Step
from tests.fakes.environment import environment
from tests.fakes.specs import job_spec

_OUTCOME = Outcome(
  attempt=1,
  state=State.SUCCEEDED,
  cause=Cause.RETURNED,
  message="",
  started="2026-01-02T03:04:05+00:00",
  ended="2026-01-02T03:05:06+00:00",
  writer="",
  peak_memory=3 * 2**20,
)


class _Failing(io.StringIO):
  """A stream that cannot be written to."""

  def __init__(self, error: Exception) -> None:
    super().__init__()
    self._error = error

  def write(self, text: str) -> int:
    raise self._error


class _Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


class AnnotateTest(parameterized.TestCase):
  @parameterized.parameters(
    ("true", "::error file=a.py,line=3::no\n"), ("false", ""), ("", "")
  )
  def test_a_failure(self, ci: str, shown: str) -> None:
    """The user's own line is marked where this is a CI, and nowhere else."""
    err = io.StringIO()
    with environment(CI=ci):
      console.Console(err, err).annotate("no", Frame("a.py", 3, "f", "f()", {}))
    self.assertEqual(err.getvalue(), shown)


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

    view = console.Console(_Failing(BrokenPipeError()), io.StringIO())
    view.log(0, b"x\n", hosts=1)
    self.assertIsNone(view.lost)

  def test_what_cannot_be_shown_is_told(self) -> None:
    """A full disk ends nothing either, but is no reader that is gone."""
    full = OSError(errno.ENOSPC, "No space left")
    err = io.StringIO()
    view = console.Console(_Failing(full), err)
    for data in (b"x\n", b"y"):
      view.log(0, data, hosts=1)
    view.end_logs()
    self.assertIs(view.lost, full)
    view.ended(job_spec(), _OUTCOME)
    self.assertIn(
      "not all of its output could be shown: No space", err.getvalue()
    )

  def test_a_users_own_stream(self) -> None:
    """It may have nothing but `write`, raise what it likes, or be closed."""

    class Tee:
      text = ""

      def write(self, text: str) -> None:
        self.text += text

    tee: Any = Tee()
    view = console.Console(tee, tee)
    view.log(0, b"x\n", hosts=1)
    with view.busy("busy"):
      view.say("y")
    self.assertEqual(tee.text, "x\nkeras_remote: y\n")
    odd = _Failing(RuntimeError())
    console.Console(odd, odd).log(0, b"x\n", hosts=1)
    streams = sys.stdout, sys.stderr
    try:
      sys.stdout = sys.stderr = None
      closed = console.Console()
    finally:
      sys.stdout, sys.stderr = streams
    closed.log(0, b"x\n", hosts=1)
    with closed.busy("busy"):
      closed.say("y")

  def test_a_long_line_is_put_together_once(self) -> None:
    """Output without an end of line takes time in proportion to its length."""
    out = io.StringIO()
    view = console.Console(out, io.StringIO())
    tracemalloc.start()
    try:
      for _ in range(100):
        view.log(0, b"x" * 10_000, hosts=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
      tracemalloc.stop()
    # Never twice at the same time: nobody copies what is there already.
    self.assertLess(peak, 1.5 * 1_000_000)
    view.log(0, b"\n", hosts=1)
    self.assertEqual(out.getvalue(), "x" * 1_000_000 + "\n")


class WaitsTest(absltest.TestCase):
  def test_no_terminal(self) -> None:
    """A log has each sentence once, however often it comes and goes."""
    err = io.StringIO()
    view = console.Console(io.StringIO(), err)
    with view.busy("a"):
      for sentence in ("a", "b", "a", "b"):
        view.waits(sentence, "train: ")
    self.assertEqual(
      err.getvalue(),
      "keras_remote: train: waiting: a\nkeras_remote: train: waiting: b\n",
    )
    self.assertFalse(view.is_live)

  def test_a_terminal(self) -> None:
    """It is shown in place: nothing of it stays."""
    err = _Terminal()
    view = console.Console(io.StringIO(), err)
    with view.busy("a"):
      view.waits("b")
    self.assertNotIn("waiting:", err.getvalue())
    self.assertTrue(view.is_live)

  def test_brackets(self) -> None:
    """They are shown as they are, and mean nothing."""
    odd = "jax[tpu], [key], [/var/lib/x]"
    for waits, reports in (("", ""), (odd, ""), ("", odd)):
      err = _Terminal()
      view = console.Console(io.StringIO(), err)
      with view.busy(odd):
        if waits:
          view.waits(waits)
        if reports:
          view.report(Step(reports))
      self.assertIn(odd, err.getvalue())


class SentenceTest(parameterized.TestCase):
  def test_the_start_says_what_stands_in_for_what(self) -> None:
    """Nobody emulates by accident: the first line says it."""
    line = console.start_line(job_spec(accelerator="v5e-16", hosts=4))
    self.assertIn("on local, v5e-16 on 4 hosts (emulated", line)
    self.assertNotIn(
      "emulated", console.start_line(job_spec(accelerator="cpu"))
    )

  def test_the_start_says_how_many_slices_there_are(self) -> None:
    """The hosts are those of all."""
    spec = job_spec(accelerator="v5e-16", hosts=8)
    resources = dataclasses.replace(spec.resources, slices=2)
    line = console.start_line(dataclasses.replace(spec, resources=resources))
    self.assertIn("on local, 2 slices of v5e-16 on 8 hosts (emulated", line)

  def test_the_end_says_state_time_memory_and_where_the_logs_are(
    self,
  ) -> None:
    """The last line is all that a person needs to go on."""
    err = io.StringIO()
    spec = job_spec(accelerator="v5e-8", hosts=1)
    console.Console(io.StringIO(), err).ended(spec, _OUTCOME)
    self.assertEqual(
      err.getvalue(),
      "keras_remote: SUCCEEDED in 1 min 01 s, peak memory 3.0 MiB, v5e-8 "
      "emulated\n"
      f"keras_remote: logs: keras-remote jobs logs {spec.job_id}\n",
    )

  def test_where_the_logs_are_of_a_store_that_only_the_call_named(self) -> None:
    """The command names it too, and works when it is typed."""
    err = io.StringIO()
    target = Target(backend="gke", store="gs://some/team", place="here/team")
    spec = dataclasses.replace(job_spec(), target=target)
    view = console.Console(io.StringIO(), err)
    view.ended(spec, _OUTCOME, elsewhere=True)
    command = (
      f"KERAS_REMOTE_STORE=gs://some/team keras-remote jobs logs {spec.job_id}"
    )
    self.assertEndsWith(err.getvalue(), f"logs: {command}\n")

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
