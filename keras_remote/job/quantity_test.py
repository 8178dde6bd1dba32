import math

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job import quantity


class CpuTest(parameterized.TestCase):
  @parameterized.parameters(
    (4, "4"),
    (0.5, "500m"),
    ("4", "4"),
    (" 0.5 ", "500m"),
    ("500m", "500m"),
    ("2000m", "2"),
    (1e-3, "1m"),
  )
  def test_right(self, value: object, expected: str) -> None:
    """Every way to write it becomes one."""
    self.assertEqual(quantity.cpu(value), expected)

  @parameterized.parameters(
    0, -1, "0", "0.0001", "4 cores", "", "m", "4M", None, True, b"4",
    float("nan"), float("inf"), "१",
  )  # fmt: skip
  def test_wrong(self, value: object) -> None:
    """What is no number of cores above 0 is refused."""
    with self.assertRaises(ValueError):
      quantity.cpu(value)


class MemoryTest(parameterized.TestCase):
  @parameterized.parameters(
    ("16Gi", "16Gi"), (" 1.5 Ti", "1.5Ti"), ("500M", "500M"), ("48Mi", "48Mi")
  )
  def test_right(self, value: str, expected: str) -> None:
    """Units of 1024 and of 1000."""
    self.assertEqual(quantity.memory(value), expected)

  @parameterized.parameters(
    ("16GB", "'16Gi'"),
    ("16gb", "'16Gi'"),
    ("16gi", "'16Gi'"),
    ("512m", "'512Mi'"),
    ("1TiB", "'1Ti'"),
    ("16", "'16Gi'"),
    (16, "'16Gi'"),
    ("1x", "'1Gi'"),
    ("47Mi", "less than Python needs"),
    ("0Gi", "less than Python needs"),
    ("much", "'much'"),
    ("-1Gi", "'-1Gi'"),
    (None, "None"),
    (True, "True"),
  )
  def test_wrong(self, value: object, told: str) -> None:
    """What was meant is told, where that can be guessed."""
    with self.assertRaises(ValueError) as raised:
      quantity.memory(value)
    self.assertIn(told, str(raised.exception))

  @given(st.integers(1, 10**6), st.sampled_from(["Mi", "Gi", "Ti", "G", "M"]))
  def test_half(self, number: int, unit: str) -> None:
    """It is an amount again, and no more than half."""
    amount = f"{number + 1000}{unit}"
    self.assertRegex(quantity.half(amount), r"^\d+Mi$")
    self.assertEqual(quantity.half("16Gi"), "8192Mi")


class NumberTest(parameterized.TestCase):
  @parameterized.parameters(
    ("0", 0), ("4", 4), ("1.5", 1.5), ("500m", 0.5), ("3u", 3e-6), ("5n", 5e-9),
    ("1k", 1e3), ("1E", 1e18), ("2Ki", 2048), ("1Ei", 2**60),
    ("1e3", 1e3), ("2E6", 2e6), ("1e-3", 1e-3), (" 4 ", 4),
  )  # fmt: skip
  def test_right(self, text: str, expected: float) -> None:
    """Every way in which a cluster writes it is known."""
    self.assertTrue(math.isclose(quantity.number(text), expected))

  @parameterized.parameters(
    "", "much", "1K", "1mi", "1e", "1e3Ki", "1 Gi", "-1", "1.5.2"
  )
  def test_wrong(self, text: str) -> None:
    """What is none is refused."""
    with self.assertRaises(ValueError):
      quantity.number(text)


if __name__ == "__main__":
  absltest.main()
