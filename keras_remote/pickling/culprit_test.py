"""Tests of what a refusal names, and of what is named as the largest."""

import contextlib
import functools
import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from keras_remote.errors import PackagingError
from keras_remote.pickling import payload
from keras_remote.pickling.payload_test import Stateful, called, use


class RefusalTest(parameterized.TestCase):
  def refused(self, function: Callable[..., Any], *args: Any) -> str:
    """What the error says."""
    with self.assertRaises(PackagingError) as caught:
      payload.save(function, args, {}, io.BytesIO())
    return str(caught.exception)

  def test_closure(self) -> None:
    """A captured variable is named."""
    lock = threading.Lock()

    def train() -> object:
      return lock

    self.assertIn("train → closure 'lock' → _thread.lock", self.refused(train))
    self.assertIn("Create it inside", self.refused(train))

  def test_global_in_nested_function(self) -> None:
    """A global is named, used directly or in a function within."""
    space: dict[str, Any] = {"__name__": "__main__", "lock": threading.Lock()}
    exec("def train():\n  def step(): return lock\n  step()", space)
    self.assertIn(
      "train → global 'lock' → _thread.lock", self.refused(space["train"])
    )

  def test_default(self) -> None:
    """A default is named by its parameter."""
    lock = threading.Lock()
    self.assertIn(
      "default 'data' → _thread.lock",
      self.refused(lambda data=lock: None),
    )
    self.assertIn(
      "default 'data' → _thread.lock",
      self.refused(lambda *, data=lock: None),
    )

  def test_argument_in_containers(self) -> None:
    """An argument is named by its parameter, then key by key."""
    path = self.create_tempfile().full_path
    with open(path, "w") as file:
      said = self.refused(use, [1, 2, 3, {"f": (file,)}])
    self.assertIn(
      "use → argument 'data' → [3] → ['f'] → [0] → _io.TextIOWrapper", said
    )
    self.assertIn("Open it inside the function", said)

  @parameterized.parameters("r", "a+", "r+", "rb", "w")
  def test_open_file(self, mode: str) -> None:
    """No open file travels, however it was opened; a text in memory does."""
    with open(self.create_tempfile(content="kept"), mode) as file:
      self.assertIn("Open it inside the function", self.refused(use, file))
    self.assertEqual(called(use, io.StringIO("kept")).getvalue(), "kept")

  def test_streams(self) -> None:
    """A function may name its process's streams: there it has its own."""
    with contextlib.redirect_stdout(sys.__stdout__):
      self.assertIs(called(use, sys.stdout), sys.__stdout__)

  def test_attribute(self) -> None:
    """An attribute of an instance is named."""
    said = self.refused(use, Stateful({"l": threading.Lock()}))
    self.assertIn(
      "argument 'data' → attribute 'value' → ['l'] → _thread.lock", said
    )

  def test_instance_of_method(self) -> None:
    """A method's instance is looked through."""
    said = self.refused(Stateful(threading.Lock()).get)
    self.assertIn("Stateful.get → attribute 'value' → _thread.lock", said)

  def test_partial(self) -> None:
    """A partial's arguments are named."""
    said = self.refused(functools.partial(use, data=threading.Lock()))
    self.assertIn("partial → argument 'data' → _thread.lock", said)

  def test_beside_a_circle(self) -> None:
    """What fails only for what holds it is not blamed."""

    class Model:
      def train(self) -> object:
        return __class__

      steps = [(train,)]
      lock = threading.Lock()

    self.assertIn(
      "train → closure '__class__' → attribute 'lock' → _thread.lock",
      self.refused(Model.train),
    )

  def test_raising_reduce(self) -> None:
    """What an object says of itself is passed on."""

    class Stubborn:
      def __reduce__(self) -> str:
        raise RuntimeError("I stay.")

    said = self.refused(use, [Stubborn()])
    self.assertIn("argument 'data' → [0] → ", said)
    self.assertIn("I stay.", said)

  def test_too_deep(self) -> None:
    """Nesting beyond Python's recursion limit is said so."""
    deep: list[Any] = []
    for _ in range(5_000):
      deep = [deep]
    self.assertIn("'data' → list is nested too deeply", self.refused(use, deep))

  def test_full_disk_is_no_fault_of_the_call(self) -> None:
    """An error of the stream stays what it is."""

    class Full(io.BytesIO):
      def write(self, chunk: Any, /) -> int:  # pyrefly: ignore
        raise OSError(28, "No space left on device")

    with self.assertRaisesRegex(OSError, "No space"):
      payload.save(use, (1,), {}, Full())


class LargestTest(absltest.TestCase):
  def test_largest_first(self) -> None:
    """The largest captured objects come first, each with the way to it."""
    captured = {"weights": np.zeros(1_000_000)}

    def train(data: object) -> object:
      return captured

    (first, size), (second, _) = payload.largest(
      train, (list(range(50_000)),), {}, count=2
    )
    self.assertTrue(first.endswith("train → closure 'captured' → ['weights']"))
    self.assertEqual(size, 8_000_000)
    self.assertTrue(second.endswith("train → argument 'data'"))

  def test_cycles_end(self) -> None:
    """What holds itself is counted once."""
    loop: list[Any] = ["x"]
    loop.append(loop)
    self.assertLen(payload.largest(use, (loop,), {}, count=9), 2)


if __name__ == "__main__":
  absltest.main()
