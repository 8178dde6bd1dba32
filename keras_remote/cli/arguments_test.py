"""Arguments as `name=text`."""

import enum
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.cli.arguments import bind, read
from keras_remote.cli.failure import USAGE, CommandError


class Optimizer(enum.Enum):
  ADAM = "adam"
  SGD = "stochastic"


def train(
  lr: float,
  epochs: int = 3,
  *,
  layers: "list[int] | None" = None,
  name: str = "",
) -> None:
  """What the tests call."""


class ReadTest(parameterized.TestCase):
  @parameterized.parameters(
    (int, "3", 3),
    (float, "1e-3", 1e-3),
    (str, "1e-3", "1e-3"),
    (bool, "yes", True),
    (bool, "False", False),
    (Path, "data/x", Path("data/x")),
    (Literal["a", 2], "2", 2),
    (Optimizer, "ADAM", Optimizer.ADAM),
    (Optimizer, "stochastic", Optimizer.SGD),
    (Optional[int], "none", None),  # noqa: UP007
    (int | None, "7", 7),
    (str | int, "7", 7),
    (str | int, "seven", "seven"),
    (list[int], "1, 2", [1, 2]),
    (list[int], "", []),
    (tuple[int, ...], "1,2,3", (1, 2, 3)),
    (tuple[str, float], "a,2", ("a", 2.0)),
    (Sequence[Optimizer], "ADAM,SGD", [Optimizer.ADAM, Optimizer.SGD]),
    (list[int] | None, "none", None),
    (Any, "[1, 'a']", [1, "a"]),
    (Any, "plain text", "plain text"),
  )
  def test_annotation(self, kind: Any, text: str, value: object) -> None:
    """A text is read as the annotation says."""
    found = read(kind, text)
    self.assertEqual(found, value)
    self.assertIs(type(found), type(value))

  @parameterized.parameters(
    (int, "1.5", "a whole number"),
    (float, "fast", "a number"),
    (bool, "perhaps", "true or false"),
    (Literal["a", "b"], "c", "one of a, b"),
    (Optimizer, "adamw", "one of ADAM, SGD"),
    (int | None, "x", "none or a whole number"),
    (list[int], "1,x", "values with commas between, each a whole number"),
    (tuple[int, int], "1", "2 values with commas between"),
    (bytes, "x", "a bytes, which no text can be"),
  )
  def test_wrong(self, kind: Any, text: str, takes: str) -> None:
    """A text that does not suit says what would."""
    with self.assertRaises(ValueError) as caught:
      read(kind, text)
    self.assertEqual(str(caught.exception), takes)

  @given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans()))
  def test_round_trip(self, value: object) -> None:
    """What Python prints of a plain value is read as that value."""
    self.assertEqual(read(type(value), str(value)), value)


class BindTest(parameterized.TestCase):
  def test_binds(self) -> None:
    """Arguments are bound by their names, in any order."""
    bound = bind(train, ["epochs=5", "lr=1e-3", "layers=64,32", "name=a=b"])
    self.assertEqual(bound.args, (1e-3, 5))
    self.assertEqual(bound.kwargs, {"layers": [64, 32], "name": "a=b"})

  def test_keywords(self) -> None:
    """A function that takes any keyword is given any name, typed."""

    def sweep(first: int, **rest: float) -> None: ...

    bound = bind(sweep, ["first=1", "lr=2"])
    self.assertEqual((bound.args, bound.kwargs), ((1,), {"lr": 2.0}))

  def test_default_says_the_type(self) -> None:
    """Where nothing is annotated the default's type counts."""

    def old(steps=10, rate=0.5): ...  # pyrefly: ignore

    bound = bind(old, ["rate=1", "steps=10"])
    self.assertEqual(list(map(type, bound.args)), [int, float])
    # Who writes 10 may mean any number.
    self.assertEqual(bind(old, ["steps=0.5"]).args, (0.5,))

  def test_names_only_checkers_know(self) -> None:
    """Annotations that cannot be resolved here leave the text a literal."""

    def late(x: "Nowhere"): ...  # noqa: F821  # pyrefly: ignore

    self.assertEqual(bind(late, ["x=3"]).args, (3,))

  @parameterized.parameters(
    ([], "also needs lr=…"),
    (["lr=1", "epoch=2"], "no parameter is called 'epoch': did you mean 'epo"),
    (["lr=x"], "lr takes a number, not 'x'"),
    (["lr=1", "lr=2"], "lr is given twice"),
    (["1e-3"], "arguments are NAME=VALUE, not '1e-3'"),
  )
  def test_refuses(self, texts: list[str], sentence: str) -> None:
    """A wrong argument says what is wrong and shows the signature."""
    with self.assertRaises(CommandError) as caught:
      bind(train, texts)
    self.assertEqual(caught.exception.code, USAGE)
    self.assertStartsWith(caught.exception.message, f"train: {sentence}")
    signature = str(inspect.signature(train))
    self.assertEndsWith(caught.exception.message, f"def train{signature}")


if __name__ == "__main__":
  absltest.main()
