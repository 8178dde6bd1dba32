from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job.line import joined, of_host, one_line, printable


class OneLineTest(parameterized.TestCase):
  @parameterized.parameters(
    ("it waits", "it waits"),
    (" a\n\tb\r\nc ", "a b c"),
    ("\x1b[2Jgone\x07", "[2Jgone"),
    ("ä in „train.py“", "ä in „train.py“"),
    ("right\u202eleft", "rightleft"),
    ("x" * 501, "x" * 499 + "…"),
  )
  def test_it(self, text: str, line: str) -> None:
    """What a person wrote to be read stays."""
    self.assertEqual(one_line(text), line)

  @given(st.text(max_size=2000))
  def test_whatever_it_was(self, text: str) -> None:
    """It can be printed, in one line."""
    line = one_line(text)
    self.assertTrue(line.isprintable())
    self.assertLessEqual(len(line), 500)


class PrintableTest(parameterized.TestCase):
  @parameterized.parameters(
    ("two\n\tlines\n", "two\n\tlines\n"),
    ("over\rwritten\r\n", "over written\n"),
    ("\x1b]0;title\x07\x1b[2J\x9b1A", "]0;title[2J1A"),
    ("\x1b[31mred\x1b[0m", "[31mred[0m"),
    ("a\xa0b\u202e", "a b"),
  )
  def test_it(self, text: str, shown: str) -> None:
    """Its lines stay, and nothing of it changes a terminal."""
    self.assertEqual(printable(text), shown)

  def test_styles(self) -> None:
    """They stay where they are ours, and nothing else does."""
    text = "\x1b[1;31mred\x1b[0m\x1b[2K\x1b"
    shown = "\x1b[1;31mred\x1b[0m[2K"
    self.assertEqual(printable(text, styles=True), shown)

  @given(st.text(max_size=500))
  def test_whatever_it_was(self, text: str) -> None:
    """Each of its lines can be printed."""
    for line in printable(text).split("\n"):
      self.assertTrue(line.replace("\t", "").isprintable())


class SentenceTest(parameterized.TestCase):
  @parameterized.parameters(
    (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")
  )
  def test_names(self, names: list[str], shown: str) -> None:
    """The last comes after an `and`."""
    self.assertEqual(joined(names), shown)

  @parameterized.parameters(
    ("it ran out of memory", "host 2 ran out of memory"),
    ("its pod was deleted", "host 2's pod was deleted"),
    ("somebody did it", "host 2: somebody did it"),
  )
  def test_a_host(self, said: str, shown: str) -> None:
    """What is said of `it` is said of the host by its name."""
    self.assertEqual(of_host(2, said), shown)


if __name__ == "__main__":
  absltest.main()
