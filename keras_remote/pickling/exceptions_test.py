"""Tests of what exceptions tell: texts, frames, causes."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from keras_remote.pickling.exceptions import (
  Frame,
  RemoteTraceback,
  add_note,
  attach,
  describe,
  frames,
  message,
  notes,
  traceback_text,
)
from keras_remote.pickling.reference_test import written_module


def raised(function: Callable[..., object], *args: object) -> BaseException:
  """What the function raises."""
  try:
    function(*args)
  except BaseException as exception:
    return exception
  raise AssertionError("It raised nothing.")


class TracebackTextTest(absltest.TestCase):
  def test_starts_at_the_users_frame(self) -> None:
    """Our own frames at the top are left out; source lines are shown."""
    module = written_module(
      self,
      """
      def train():
        try:
          {}["first"]
        except KeyError as error:
          raise ValueError("second") from error
      """,
    )
    text = traceback_text(raised(module.train))
    self.assertIn('{}["first"]', text)
    self.assertIn('raise ValueError("second") from error', text)
    self.assertIn("direct cause", text)
    self.assertNotIn(__file__, text)
    self.assertEndsWith(text, "ValueError: second\n")

  def test_event_loop_is_left_out(self) -> None:
    """An async function's traceback starts in it, not in asyncio."""
    module = written_module(self, "async def train(): 1 / 0")
    text = traceback_text(raised(lambda: asyncio.run(module.train())))
    self.assertNotIn("asyncio", text)
    self.assertIn("1 / 0", text)

  def test_groups(self) -> None:
    """The exceptions of a group are told, without our frames too."""
    module = written_module(self, "def train(): 1 / 0")
    group = ExceptionGroup("several", [raised(module.train)])  # pyrefly: ignore
    text = traceback_text(group)
    self.assertIn("1 / 0", text)
    self.assertNotIn(__file__, text)

  def test_str_that_raises(self) -> None:
    """An exception that cannot say anything still has a text and message."""

    class MuteError(Exception):
      def __str__(self) -> str:
        raise RuntimeError

    self.assertIn("MuteError", traceback_text(MuteError()))
    self.assertEqual(message(MuteError()), "<its __str__ raises>")

  def test_cannot_be_asked(self) -> None:
    """Where Python's own way fails, the exception's own lines are told."""

    class OddError(Exception):
      def __bool__(self) -> bool:
        raise KeyboardInterrupt

    module = written_module(self, "def train(error): raise error from error")
    text = traceback_text(raised(module.train, OddError("odd")))
    self.assertIn("raise error from error", text)
    self.assertNotIn(__file__, text)
    self.assertEndsWith(text, "OddError: odd\n")

  def test_secrets_before_length(self) -> None:
    """What is cut short afterwards shows no part of a secret."""
    secret = "hunter2hunter2"

    def tell(text: str) -> str:
      return text.replace(secret, "[redacted]")

    for length in (4 * 1024, 128 * 1024):
      error = ValueError("x" * (length - 5) + secret + "y" * 10 * length)
      error.add_note(str(error))
      texts = message(error, tell), traceback_text(error, tell)
      for text in (*texts, *notes(error, tell)):
        self.assertNotIn("hunt", text)

  def test_note_of_any_class(self) -> None:
    """Frozen classes get it too; one with notes of its own is left alone."""

    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
      x: int

    class OwnError(Exception):
      @property
      def __notes__(self) -> list[str]:  # pyrefly: ignore
        raise RuntimeError

    frozen = FrozenError(1)
    for note in "ab":
      add_note(frozen, note)
    self.assertEqual(frozen.__notes__, ["a", "b"])
    add_note(OwnError(), "a")

  def test_length_is_bounded(self) -> None:
    """A text that would be huge loses its middle."""
    text = traceback_text(ValueError("x" * 10_000_000))
    self.assertLess(len(text), 300_000)


class FramesTest(parameterized.TestCase):
  def test_users_frames(self) -> None:
    """Each of the user's frames with its locals, libraries left out."""
    module = written_module(
      self,
      """
      import json

      def train(lr, api_key, note):
        json.loads("{")
      """,
    )
    error = raised(module.train, 0.5, "k", "mine: hunter2!")
    self.assertEqual(
      frames(error, secrets=["hunter2!"]),
      [
        Frame(
          file=str(module.__file__),
          line=5,
          function="train",
          source='json.loads("{")',
          locals={
            "lr": "0.5",
            "api_key": "[redacted]",
            "note": "'mine: [redacted]'",
          },
        )
      ],
    )

  @parameterized.parameters(
    (None, "None"),
    (True, "True"),
    ("a" * 100, "'" + "a" * 79 + "…"),
    ([1, 2], "list of 2"),
    ({"a": 1}, "dict of 1"),
    (object(), "object"),
    (np.array([[1, np.nan]], "f4"), "numpy.ndarray float32 (1, 2), 1 NaN"),
    (np.zeros(3), "numpy.ndarray float64 (3,)"),
    (np.zeros(3, int), "numpy.ndarray int64 (3,)"),
  )
  def test_describe(self, value: object, expected: str) -> None:
    """A value is told in a few words."""
    self.assertEqual(describe(value), expected)

  def test_describe_jax(self) -> None:
    """Arrays of JAX are described too, inside of a trace as well."""
    import jax

    said: list[str] = []
    array = jax.numpy.asarray([1.0, np.nan])
    self.assertEndsWith(describe(array), "float32 (2,), 1 NaN")

    def traced(x: object) -> None:
      said.append(describe(x))

    jax.jit(traced)(array)
    self.assertEndsWith(said[0], "float32 (2,)")

  @parameterized.parameters(RuntimeError, SystemExit, KeyboardInterrupt)
  def test_survives_anything(self, error: type[BaseException]) -> None:
    """A local that raises, whatever it is asked, is told by its class."""

    class Hostile:
      def __getattribute__(self, name: str) -> object:
        raise error(name)

      def __len__(self) -> int:
        raise error

    module = written_module(self, "def train(given): 1 / 0")
    (frame,) = frames(raised(module.train, Hostile()))
    self.assertEndsWith(frame.locals["given"], "Hostile")

  @parameterized.parameters("x" * 70, b"x" * 70)
  def test_secrets_before_length(self, text: Any) -> None:
    """A local that is cut short shows no part of a secret."""
    secret = "hunter2hünter2"
    added = secret if isinstance(text, str) else secret.encode()
    self.assertRegex(describe(text + added, (secret,)), r"x\[redacte?d?…$")


class AttachTest(absltest.TestCase):
  def test_last_of_the_chain(self) -> None:
    """The remote traceback is the cause of the chain's last exception."""
    first, second, third = ValueError(), KeyError(), TypeError()
    first.__cause__ = second
    second.__context__ = third
    attach(first, "remote")
    self.assertIs(first.__cause__, second)
    self.assertIsInstance(third.__cause__, RemoteTraceback)
    self.assertIn("remote", str(third.__cause__))

  def test_from_none(self) -> None:
    """After `raise … from None` what was suppressed stays so."""
    error: Any = raised(
      lambda: exec("try: {}[0]\nexcept KeyError: raise ValueError from None")
    )
    context = error.__context__
    attach(error, "remote")
    self.assertIsInstance(error.__cause__, RemoteTraceback)
    self.assertIs(error.__context__, context)
    self.assertIsNone(context.__cause__)

  def test_twice(self) -> None:
    """A second time changes nothing."""
    error = ValueError()
    attach(error, "one")
    cause: Any = error.__cause__
    attach(error, "two")
    self.assertIs(error.__cause__, cause)
    self.assertIsNone(cause.__cause__)

  def test_circle(self) -> None:
    """A chain that bites its tail is no endless loop."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    attach(one, "remote")


if __name__ == "__main__":
  absltest.main()
