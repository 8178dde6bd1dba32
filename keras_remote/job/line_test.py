from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job.line import one_line


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


if __name__ == "__main__":
  absltest.main()
