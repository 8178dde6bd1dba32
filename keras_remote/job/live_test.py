from absl.testing import absltest
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job import live

_TEXTS = st.lists(
  st.one_of(st.binary(max_size=8), st.sampled_from((b"\x1b", b"\x1b_", b"\n")))
)


class JoinerTest(absltest.TestCase):
  @given(texts=_TEXTS, sizes=st.lists(st.integers(1, 40), min_size=1))
  def test_marks_are_taken_out(
    self, texts: list[bytes], sizes: list[int]
  ) -> None:
    """What was printed is read, wherever marks and cuts are."""
    printed = live.BREAK.join(texts)
    joiner, read = live.Joiner(), b""
    while printed:
      size = sizes[len(read) % len(sizes)]
      read += joiner.take(printed[:size])
      printed = printed[size:]
    self.assertEqual(read + joiner.rest, b"".join(texts))

  def test_nothing_is_held_back(self) -> None:
    """Only what may be the begin of a mark waits for what follows."""
    joiner = live.Joiner()
    self.assertEqual(joiner.take(b"\r50%"), b"\r50%")
    self.assertEqual(joiner.take(b" done\x1b"), b" done")
    self.assertEqual(joiner.take(b"[0m"), b"\x1b[0m")


if __name__ == "__main__":
  absltest.main()
