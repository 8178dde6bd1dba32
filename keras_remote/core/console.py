"""What a call shows: its logs on stdout, what it says of itself on stderr."""

import codecs
import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from keras_remote.constants import GIB, KIB, MIB
from keras_remote.core.environment import in_ci
from keras_remote.core.turns import Turns
from keras_remote.job.line import printable
from keras_remote.job.outcome import Frame, Outcome
from keras_remote.job.spec import JobSpec
from keras_remote.progress import Step

if TYPE_CHECKING:
  from rich.status import Status
  from rich.text import Text

_NAME = "keras_remote"
# What JAX's stand-in for a network prints on every host; it stays in the log.
_NOISE = re.compile(r".*is connected to \d+ peer ranks\. Expected")


class Console:
  """Where one call, or one command, shows what happens.

  Attributes:
    lost: why the logs could not be shown; None where they were, or where
      nobody reads them any more.
  """

  def __init__(
    self, out: TextIO | None = None, err: TextIO | None = None
  ) -> None:
    # Python has none of a stream that was closed when it started.
    self._out: TextIO | None = out or sys.stdout
    self._err: TextIO | None = err or sys.stderr
    self.lost: OSError | None = None
    self._hosts: dict[int, _Raw] = {}
    self._lock = Turns()
    self._doing = ""
    self._said: set[str] = set()
    self._status: Status | None = None

  def say(self, sentence: str) -> None:
    """One line about the call itself."""
    with self._lock:
      self._write(self._err, f"{_NAME}: {printable(sentence)}\n")

  def report(self, step: Step) -> None:
    """What long work tells: shown where somebody looks, or as a warning."""
    if step.warning:
      self.say(step.what)
      return
    counted = "" if step.done is None else f" {step.done:,} {step.unit}"
    self._doing = step.what + counted
    if self._status:
      self._status.update(_plain(self._doing))

  @property
  def is_live(self) -> bool:
    """Whether a line about the call itself can be shown in place."""
    return _is_terminal(self._err)

  def waits(self, sentence: str, prefix: str = "") -> None:
    """Why the job does not run yet: in place, or as a line, each once."""
    if self._status:
      self._status.update(_plain(sentence))
    elif sentence not in self._said:
      self._said.add(sentence)
      self.say(f"{prefix}waiting: {sentence}")

  def held_up(self, sentence: str, prefix: str = "") -> None:
    """What holds up a job that runs: as a line, each once."""
    if sentence not in self._said:
      self._said.add(sentence)
      self.say(f"{prefix}{sentence}")

  @contextlib.contextmanager
  def busy(self, sentence: str) -> Iterator[None]:
    """Shows that something goes on, on a terminal, until the block ends."""
    if not _is_terminal(self._err):
      yield
      return
    from rich.console import Console as Rich

    rich = Rich(file=self._err)
    with rich.status(_plain(sentence or self._doing)) as self._status:
      yield
    self._status = None

  def log(self, host: int, data: bytes, *, hosts: int) -> None:
    """What a host printed."""
    if host not in self._hosts:
      raw = hosts == 1 and (
        _is_terminal(self._out) or "ipykernel" in sys.modules
      )
      prefix = f"[host {host}] " if hosts > 1 else ""
      self._hosts[host] = _Raw() if raw else _Lines(prefix)
    with self._lock:
      self._write_log(self._hosts[host].feed(data))

  def end_logs(self) -> None:
    """Shows what was printed without an end of line."""
    with self._lock:
      for lines in self._hosts.values():
        self._write_log(lines.end())

  def started(self, spec: JobSpec) -> None:
    """The line at the start of a call."""
    self.say(start_line(spec))

  def ended(
    self,
    spec: JobSpec,
    outcome: Outcome,
    *,
    elsewhere: bool = False,
    spent: str = "",
  ) -> None:
    """The lines at the end of a call.

    Args:
      elsewhere: whether only the call itself said where its store is.
      spent: what it has cost, in words; "" where nobody knows, or nobody pays.
    """
    seconds = outcome.seconds
    took = "" if seconds is None else f" in {duration(seconds)}"
    memory = f", peak memory {size(outcome.peak_memory)}"
    emulated = (
      f", {spec.resources.accelerator} emulated"
      if spec.resources.emulated
      else ""
    )
    cost = f", {spent}" if spent else ""
    peak = memory if outcome.peak_memory else ""
    self.say(f"{outcome.state}{took}{peak}{emulated}{cost}")
    if self.lost:
      self.say(f"not all of its output could be shown: {self.lost.strerror}")
    store = f"KERAS_REMOTE_STORE={spec.target.store} " if elsewhere else ""
    self.say(f"logs: {store}keras-remote jobs logs {spec.job_id}")

  def annotate(self, message: str, frame: Frame) -> None:
    """In CI, a line that marks the user's own line as the failure's place."""
    if in_ci():
      # The format of GitHub's workflow commands: one line, escaped.
      text, file = _escaped(message), _escaped(frame.file)
      file = file.replace(":", "%3A").replace(",", "%2C")
      with self._lock:
        self._write(
          self._err, f"::error file={file},line={frame.line}::{text}\n"
        )

  def _write_log(self, text: str) -> None:
    error = self._write(self._out, text)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
      self.lost = self.lost or error

  def _write(self, stream: TextIO | None, text: str) -> Exception | None:
    """Why the text could not be written, or None: no job ends for that."""
    if stream is None or not text:
      return None
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    try:
      stream.write(text)
      if hasattr(stream, "flush"):
        stream.flush()
    except Exception as error:  # A user's own stream may raise anything.
      return error
    return None


def _is_terminal(stream: TextIO | None) -> bool:
  # A user's own stream may have nothing but `write`.
  isatty = getattr(stream, "isatty", None)
  return isatty is not None and isatty()


def _escaped(text: str) -> str:
  return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


class _Raw:
  """Passes everything on as it comes: a terminal draws progress bars."""

  def __init__(self) -> None:
    self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
    self._open = False

  def feed(self, data: bytes) -> str:
    text = self._decoder.decode(data)
    if text:
      self._open = not text.endswith("\n")
    return text

  def end(self) -> str:
    return "\n" if self._open else ""


class _Lines(_Raw):
  """Whole lines only, each with a prefix; of a progress bar its last state."""

  def __init__(self, prefix: str) -> None:
    super().__init__()
    self._prefix = prefix
    # In pieces: a long line is put together once.
    self._rest: list[str] = []

  def feed(self, data: bytes) -> str:
    self._rest.append(self._decoder.decode(data))
    if not {"\n", "\r"} & set(self._rest[-1]):
      return ""
    *lines, rest = "".join(self._rest).split("\n")
    # Only what follows the last return can still be seen.
    seen = rest.rstrip("\r")
    self._rest = [seen.rpartition("\r")[2] + rest[len(seen) :]]
    return "".join(
      f"{self._prefix}{_visible(line)}\n"
      for line in lines
      if not _NOISE.match(line)
    )

  def end(self) -> str:
    line = _visible("".join(self._rest))
    self._rest.clear()
    return f"{self._prefix}{line}\n" if line else ""


def _visible(line: str) -> str:
  """What a terminal would show of a line with returns and backspaces."""
  line = line.rstrip("\r").rpartition("\r")[2]
  if "\b" not in line:
    return line
  shown: list[str] = []
  for letter in line:
    if letter != "\b":
      shown.append(letter)
    elif shown:
      shown.pop()
  return "".join(shown)


def asker() -> Callable[[str], bool] | None:
  """Puts a question to whoever sits at the terminal; None where nobody does."""
  terminals = all(map(_is_terminal, (sys.stdin, sys.stderr)))
  if not terminals or in_ci() or "ipykernel" in sys.modules:
    return None

  def ask(question: str) -> bool:
    sys.stderr.write(f"{_NAME}: {question}? [Y/n] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("y", "yes") or answer == "\n"

  return ask


def _plain(sentence: str) -> "Text":
  """What rich shows as it is: in a text it would look for markup."""
  from rich.text import Text

  return Text(f"{_NAME}: {printable(sentence)}")


def start_line(spec: JobSpec) -> str:
  """Which job runs where, and whether its accelerator is emulated."""
  name = spec.resources.accelerator
  if spec.resources.slices > 1:
    name = f"{spec.resources.slices} slices of {name}"
  hosts = spec.resources.hosts
  on = f"{name} on {hosts} hosts" if hosts > 1 else name
  if spec.resources.emulated:
    on += " (emulated on CPU)"
  return f"{spec.job_id} on {spec.target.backend}, {on}"


def duration(seconds: float) -> str:
  """A time for people, such as `3.2 s` or `2 h 05 min`."""
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f"{minutes} min {rest:02d} s"
  return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
  """Bytes for people, such as `512.0 MiB`."""
  if count >= GIB:
    return f"{count / GIB:.1f} GiB"
  if count >= MIB / 10:
    return f"{count / MIB:.1f} MiB"
  return f"{count / KIB:.1f} KiB" if count >= KIB else f"{count} B"
