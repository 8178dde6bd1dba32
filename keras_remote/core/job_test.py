from absl.testing import absltest
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.core.job import last_lines


class LastLinesTest(absltest.TestCase):
  @given(
    st.lists(st.text("ab\n\r", max_size=6), max_size=12),
    st.integers(0, 4),
  )
  def test_they_are_those_of_the_whole_text(
    self, pieces: list[str], count: int
  ) -> None:
    """However the text is cut into pieces."""
    lines = "".join(pieces).splitlines(keepends=True)
    self.assertEqual(
      "".join(last_lines(pieces, count)),
      "".join(lines[max(0, len(lines) - count) :]),
    )


if __name__ == "__main__":
  absltest.main()
