"""Tests of results: values and exceptions that come back."""

import asyncio
import dataclasses
import io
import pathlib
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from keras_remote.errors import PackagingError, RemoteError
from keras_remote.pickling import result
from keras_remote.pickling.exceptions import RemoteTraceback
from keras_remote.pickling.exceptions_test import raised
from keras_remote.pickling.reference_test import written_module

_ROOT = pathlib.Path(result.__file__).parents[2]


def returned(exception: BaseException) -> Any:
  """The exception as it comes back."""
  stream = io.BytesIO()
  result.save_exception(exception, stream)
  stream.seek(0)
  ended = result.load_result(stream)
  assert not ended.success
  return ended.exception


class KeywordError(Exception):
  """Cannot be called with its args alone."""

  def __init__(self, *, code: int) -> None:
    super().__init__(f"code {code}")
    self.code = code


class PrefixingError(OSError):
  """Says something else when called with its own args."""

  def __init__(self, path: str) -> None:
    super().__init__(2, f"no {path}", path)


class SlottedError(ValueError):
  """Keeps an attribute outside of `__dict__`."""

  __slots__ = ("code",)

  def __init__(self, code: int, /, more: int) -> None:
    super().__init__(code)
    self.code = code


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
  """Refuses attributes."""

  code: int


class ReducedError(Exception):
  """Says itself how it is pickled."""

  def __init__(self, one: int, two: int) -> None:
    super().__init__(one + two)
    self.pair = one, two

  def __reduce__(self) -> Any:
    return ReducedError, self.pair


class LockedError(Exception):
  """Cannot be pickled."""

  def __init__(self, text: str) -> None:
    super().__init__(text)
    self.lock = threading.Lock()


class MuteError(Exception):
  """Raises when asked what it says."""

  def __str__(self) -> str:
    raise RuntimeError


class NoteError(Exception):
  """Has notes that are none."""

  __notes__ = 5  # pyrefly: ignore


class AskedNoteError(Exception):
  """Raises when asked for its notes."""

  @property
  def __notes__(self) -> list[str]:  # pyrefly: ignore
    raise RuntimeError


class EndingError(Exception):
  """Ends the process that pickles it."""

  def __reduce__(self) -> Any:
    raise SystemExit(7)


class InterruptingError(Exception):
  """Interrupts whoever asks what it says, or anything else."""

  def __str__(self) -> str:
    raise KeyboardInterrupt

  def __bool__(self) -> bool:
    raise KeyboardInterrupt

  def with_traceback(self, tb: object) -> Any:
    raise KeyboardInterrupt


class EmptyError(Exception):
  """Is no true value."""

  def __len__(self) -> int:
    return 0


class CausedError(Exception):
  """Lets nobody give it a cause."""

  __cause__ = property(lambda self: None)  # pyrefly: ignore


class Ending:
  """Ends the process that unpickles it."""

  def __reduce__(self) -> Any:
    return sys.exit, (9,)


class ValueTest(absltest.TestCase):
  def test_value(self) -> None:
    """A value comes back; the pickle is the dict of the design."""
    stream = io.BytesIO()
    saved = result.save_result({"accuracy": np.float32(0.9)}, stream)
    self.assertEqual(saved.size, len(stream.getvalue()))
    plain = pickle.loads(stream.getvalue())
    self.assertEqual(set(plain), {"success", "result", "traceback"})
    stream.seek(0)
    ended = result.load_result(stream)
    self.assertTrue(ended.success)
    self.assertEqual(ended.value, {"accuracy": np.float32(0.9)})

  def test_cannot_be_pickled(self) -> None:
    """What in the result cannot be pickled is named."""
    with self.assertRaisesRegex(
      PackagingError, r"result → \['model'\] → _thread.lock"
    ):
      result.save_result({"model": threading.Lock()}, io.BytesIO())

  def test_class_is_not_here(self) -> None:
    """A value whose class cannot be imported is refused with a cure."""
    module = written_module(self, "class Model: pass")
    stream = io.BytesIO()
    result.save_result(module.Model(), stream)
    pathlib.Path(str(module.__file__)).unlink()
    del sys.modules[module.__name__]
    stream.seek(0)
    with self.assertRaisesRegex(PackagingError, module.__name__):
      result.load_result(stream)

  def test_unpickling_exits(self) -> None:
    """A value that would end this process is refused."""
    stream = io.BytesIO()
    result.save_result(Ending(), stream)
    stream.seek(0)
    with self.assertRaisesRegex(PackagingError, "SystemExit: 9"):
      result.load_result(stream)


class ExceptionTest(parameterized.TestCase):
  @parameterized.parameters(
    ValueError("a"),
    KeywordError(code=3),
    PrefixingError("file"),
    SlottedError(1, more=2),
    FrozenError(4),
    ReducedError(1, 2),
    FileNotFoundError(2, "none", "file"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    StopIteration(5),
    ImportError("a", name="b", path="c"),
    KeyError("k"),
  )
  def test_comes_back_as_itself(self, exception: Any) -> None:
    """Class, message, args and attributes are kept."""
    back = returned(exception)
    self.assertIs(type(back), type(exception))
    self.assertEqual(str(back), str(exception))
    self.assertEqual(back.args, exception.args)
    names = ("code", "pair", "errno", "filename", "value", "name", "start")
    for name in names:
      self.assertEqual(
        getattr(back, name, None), getattr(exception, name, None)
      )

  def test_nested_in_args(self) -> None:
    """An exception in the args of another is no obstacle."""
    back = returned(RuntimeError(KeywordError(code=1)))
    self.assertEqual(back.args[0].code, 1)

  @parameterized.parameters(LockedError("held"), MuteError())
  def test_unsound_or_mute(self, exception: Exception) -> None:
    """Whatever it is, something that names its class comes back."""
    back = returned(exception)
    name = type(exception).__name__
    if isinstance(exception, LockedError):
      self.assertIsInstance(back, RemoteError)
      self.assertEndsWith(back.type_name, name)
      self.assertEndsWith(str(back), "LockedError: held")
    else:
      self.assertIsInstance(back, MuteError)

  @parameterized.parameters(
    NoteError, AskedNoteError, InterruptingError, EmptyError
  )
  def test_odd_but_sound(self, cls: type[Exception]) -> None:
    """It comes back as itself, as cause, context and in groups too."""
    error, last = cls("odd"), cls("last")
    error.__cause__, error.__context__ = ExceptionGroup("g", [cls()]), last
    back = returned(error)
    self.assertIs(type(back), cls)
    self.assertIs(type(back.__cause__.exceptions[0]), cls)
    self.assertIs(type(back.__context__), cls)
    ended = result.Result(False, None, back, "remote")
    self.assertIs(raised(result.raise_here, ended, "job"), back)
    self.assertIsInstance(back.__cause__.__cause__, RemoteTraceback)

  @parameterized.parameters(EndingError, CausedError)
  def test_cannot_travel(self, cls: type[Exception]) -> None:
    """What comes back says type, message and lines."""

    def train() -> None:
      raise cls("odd")

    back = returned(raised(train))
    self.assertIsInstance(back, RemoteError)
    self.assertEndsWith(str(back), f"{cls.__name__}: odd")
    self.assertIn('raise cls("odd")', back.traceback)

  def test_unpickling_exits(self) -> None:
    """An exception that would end this process is told."""
    module = written_module(
      self, "import sys\nclass Value: pass\ndef end(*_): sys.exit(9)"
    )
    value = module.Value()
    value.x = 1
    stream = io.BytesIO()
    result.save_exception(ValueError(value), stream)
    module.Value.__setstate__ = module.end
    stream.seek(0)
    back = result.load_result(stream).exception
    self.assertIsInstance(back, RemoteError)
    self.assertStartsWith(str(back), "ValueError: ")

  def test_deep_groups(self) -> None:
    """Groups within groups beyond Python's limit are told by the outermost."""
    error: Exception = ValueError("inner")
    for depth in range(600):
      error = ExceptionGroup(f"g{depth}", [error])
    back = returned(error)
    self.assertIsInstance(back, RemoteError)
    self.assertIn("ExceptionGroup: g599", str(back))

  def test_one_unsound_link(self) -> None:
    """Only what cannot be pickled is replaced, its neighbours are kept."""
    outer = ValueError("outer")
    outer.__cause__ = LockedError("middle")
    outer.__cause__.add_note("seen")
    outer.__cause__.__context__ = KeywordError(code=1)
    back = returned(outer)
    self.assertIs(type(back), ValueError)
    self.assertIsInstance(back.__cause__, RemoteError)
    self.assertEqual(back.__cause__.__notes__, ["seen"])
    self.assertIsInstance(back.__cause__.__context__, KeywordError)

  def test_traceback_chain_and_notes(self) -> None:
    """The remote lines, causes, contexts and notes come back."""
    module = written_module(
      self,
      """
      def train():
        try:
          {}["first"]
        except KeyError as error:
          new = ValueError("second")
          new.add_note("a note")
          raise new from None
      """,
    )
    back = returned(raised(module.train))
    self.assertEqual(back.__notes__, ["a note"])
    self.assertTrue(back.__suppress_context__)
    self.assertIsInstance(back.__context__, KeyError)
    (place,) = traceback.extract_tb(back.__traceback__)
    self.assertEqual(place.filename, module.__file__)
    self.assertEqual(place.line, "raise new from None")
    (place,) = traceback.extract_tb(back.__context__.__traceback__)
    self.assertEqual(place.lineno, 4)

  @parameterized.parameters(ExceptionGroup, BaseExceptionGroup)
  def test_groups(self, cls: Any) -> None:
    """Groups keep their exceptions, each with its own repair."""
    inner = cls("inner", [KeywordError(code=1), LockedError("x")])
    group = cls("outer", [inner, KeyError("k")])
    group.add_note("a note")
    back = returned(group)
    self.assertIs(type(back), type(group))
    self.assertEqual(back.message, "outer")
    self.assertEqual(back.__notes__, ["a note"])
    self.assertEqual(back.exceptions[0].exceptions[0].code, 1)
    self.assertIsInstance(back.exceptions[0].exceptions[1], RemoteError)

  def test_base_exception_in_group(self) -> None:
    """A group may hold what is no Exception."""
    back = returned(BaseExceptionGroup("g", [KeyboardInterrupt()]))
    self.assertIsInstance(back.exceptions[0], KeyboardInterrupt)

  @parameterized.parameters(
    (SystemExit(3), 3),
    (SystemExit(None), 0),
    (SystemExit(), 0),
    (SystemExit("why"), 1),
    (KeyboardInterrupt(), None),
    (GeneratorExit(), None),
    (asyncio.CancelledError(), None),
  )
  def test_what_would_end_this_process(
    self, exception: BaseException, code: int | None
  ) -> None:
    """It is told by a RemoteError, the exit code kept."""
    back = returned(exception)
    self.assertIsInstance(back, RemoteError)
    self.assertEqual(back.exit_code, code)
    self.assertEndsWith(back.type_name, type(exception).__name__)
    text = f": {exception}" if str(exception) else ""
    self.assertEqual(str(back), back.type_name + text)

  def test_very_long_chain(self) -> None:
    """Thousands of exceptions in a chain come back."""
    exception: BaseException = ValueError(0)
    for index in range(1, 3_000):
      following = ValueError(index)
      following.__context__ = exception
      exception = following
    back, length = returned(exception), 0
    while back is not None:
      back, length = back.__context__, length + 1
    self.assertEqual(length, 3_000)

  def test_recursion_error(self) -> None:
    """A traceback of a thousand frames comes back."""
    module = written_module(self, "def train(): train()")
    back = returned(raised(module.train))
    self.assertIs(type(back), RecursionError)
    self.assertGreater(len(traceback.extract_tb(back.__traceback__)), 500)

  def test_class_is_not_here(self) -> None:
    """Where the class cannot be imported, type, message and lines are told."""
    source = "class Odd(Exception): pass\ndef train(): raise Odd('x')"
    module = written_module(self, source)
    stream = io.BytesIO()
    result.save_exception(raised(module.train), stream)
    pathlib.Path(str(module.__file__)).unlink()
    del sys.modules[module.__name__]
    stream.seek(0)
    ended = result.load_result(stream)
    back: Any = ended.exception
    self.assertIsInstance(back, RemoteError)
    self.assertEqual(back.type_name, f"{module.__name__}.Odd")
    self.assertEqual(str(back), f"{module.__name__}.Odd: x")
    self.assertIn("raise Odd('x')", back.traceback)
    self.assertIn("raise Odd('x')", ended.traceback)


class RaiseHereTest(absltest.TestCase):
  def ended(self, function: Callable[..., object]) -> result.Result:
    """How the call ended, as it comes back."""
    stream = io.BytesIO()
    result.save_exception(raised(function), stream)
    stream.seek(0)
    return result.load_result(stream)

  def test_raises_itself_with_remote_lines(self) -> None:
    """The user's class is caught; its last cause is the remote traceback."""
    module = written_module(self, "def train(): raise KeyError('k')")
    with self.assertRaises(KeyError) as caught:
      result.raise_here(self.ended(module.train), "job")
    self.assertIsInstance(caught.exception.__cause__, RemoteTraceback)
    self.assertIn("raise KeyError('k')", str(caught.exception.__cause__))

  def test_again(self) -> None:
    """A second time it is raised just so."""
    module = written_module(self, "def train(): raise KeyError('k')")
    ended = self.ended(module.train)
    texts = []
    for _ in range(2):
      error = raised(result.raise_here, ended, "job")
      texts.append(traceback.format_exception(error))
    self.assertEqual(*texts)

  def test_job_id(self) -> None:
    """A RemoteError knows its job."""

    def train() -> None:
      raise LockedError("x")

    with self.assertRaises(RemoteError) as caught:
      result.raise_here(self.ended(train), "job")
    self.assertEqual(caught.exception.job_id, "job")

  def test_of_a_script(self) -> None:
    """An exception class of `__main__` crosses two processes and is caught."""
    folder = pathlib.Path(self.create_tempdir().full_path)
    script = """
    import subprocess, sys
    from keras_remote.pickling import payload, result

    class Odd(Exception):
      def __init__(self, *, code):
        super().__init__(f"odd {code}")
        self.code = code

    def train():
      raise Odd(code=3)

    with open("call", "wb") as stream:
      payload.save(train, (), {}, stream)
    subprocess.run([sys.executable, "job.py"], check=True)
    with open("ended", "rb") as stream:
      ended = result.load_result(stream)
    try:
      result.raise_here(ended, "job")
    except Odd as error:
      print(error.code, error)
      raise
    """
    job = """
    from keras_remote.pickling import payload, result
    with open("call", "rb") as stream:
      call = payload.load(stream)
    try:
      call.function()
    except BaseException as error:
      with open("ended", "wb") as stream:
        result.save_exception(error, stream)
    """
    (folder / "script.py").write_text(textwrap.dedent(script))
    (folder / "job.py").write_text(textwrap.dedent(job))
    done = subprocess.run(
      [sys.executable, "script.py"],
      cwd=folder,
      env={"PYTHONPATH": str(_ROOT)},
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertEqual(done.stdout, "3 odd 3\n")
    self.assertEqual(done.returncode, 1)
    self.assertEqual(done.stderr.count("raise Odd(code=3)"), 2)
    self.assertEndsWith(done.stderr, "Odd: odd 3\n")


if __name__ == "__main__":
  absltest.main()
