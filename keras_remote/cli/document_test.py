"""What commands know, as JSON."""

import datetime
import enum
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from keras_remote.cli.document import encode


class Colour(enum.Enum):
  RED = "red"


@dataclass(frozen=True)
class Point:
  x: float
  colour: Colour


class DocumentTest(parameterized.TestCase):
  @parameterized.parameters(
    (Point(1.5, Colour.RED), {"x": 1.5, "colour": "red"}),
    ({1: (2, None)}, {"1": [2, None]}),
    (Path("a/b"), "a/b"),
    (np.array([[1, 2]]), [[1, 2]]),
    (np.float32(0.5), 0.5),
    (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),)
    + ("2026-01-02T00:00:00.000+00:00",),
    (1 + 2j, "(1+2j)"),
  )
  def test_plain(self, value: object, plain: object) -> None:
    """What JSON has no word for is told by what it has."""
    self.assertEqual(json.loads(encode(value)), plain)

  def test_numbers_stand_side_by_side(self) -> None:
    """A row of an array is a line; what has texts or parts has a line each."""
    shown = encode({"a": np.array([[1, 2], [3, 4]]), "b": ["x", "[\n1\n]"]})
    self.assertEqual(
      shown.split("\n"),
      [
        "{",
        '  "a": [',
        "    [1, 2],",
        "    [3, 4]",
        "  ],",
        '  "b": [',
        '    "x",',
        '    "[\\n1\\n]"',
        "  ]",
        "}",
      ],
    )

  def test_not_a_number(self) -> None:
    """NaN and infinity, which JSON lacks, are texts: every parser reads it."""
    text = encode([float("nan"), np.array([np.inf])])
    self.assertEqual(
      json.loads(text, parse_constant=self.fail), ["nan", ["inf"]]
    )


if __name__ == "__main__":
  absltest.main()
