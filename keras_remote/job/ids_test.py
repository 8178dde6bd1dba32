import datetime
import re

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job import ids

_AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_TAIL = r"-20260102-030405-[a-z2-7]{6}"


class IdsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("train", "train"),
    ("Train_Big.model", "train-big-model"),
    ("<lambda>", "lambda"),
    ("_private_", "private"),
    ("2nd", "job-2nd"),
    ("", "job"),
    ("学习", "job"),
    ("été", "t"),
    ("a" * 99, "a" * 25),
    ("a" * 24 + "_b", "a" * 24),
  )
  def test_readable(self, function: str, stem: str) -> None:
    """An id begins with as much of the name as a label can hold."""
    self.assertRegex(ids.new_job_id(function, _AT), rf"\A{stem}{_TAIL}\Z")

  @given(st.text(st.characters()))
  def test_any_name_makes_a_label(self, function: str) -> None:
    """Whatever the function is called, Kubernetes takes the id."""
    job_id = ids.new_job_id(function, _AT)
    self.assertRegex(job_id, rf"\A{_DNS_1035.pattern}\Z")
    self.assertRegex(job_id, rf"{_TAIL}\Z")
    self.assertLessEqual(len(job_id), ids.MAX_LENGTH)

  @given(st.text(st.characters()))
  def test_what_is_made_is_an_id(self, function: str) -> None:
    """Every id that is made is told from what is none."""
    self.assertTrue(ids.is_job_id(ids.new_job_id(function, _AT)))

  @parameterized.parameters(
    "", "../victim", "a/b", "a.b", "A", "-a", "a-", "1", "a\n", "é", "a" * 49
  )
  def test_no_id(self, text: str) -> None:
    """What could be a path, or is no label, is no id."""
    self.assertFalse(ids.is_job_id(text))

  def test_when_it_was_made(self) -> None:
    """An id says so, to the second; others do not."""
    made = ids.made_at(ids.new_job_id("a-1-b", _AT))
    self.assertEqual(made, _AT.replace(microsecond=0))
    self.assertIsNone(ids.made_at("notes"))

  def test_never_twice(self) -> None:
    """Jobs of one function in one second have different ids."""
    made = {ids.new_job_id("train", _AT) for _ in range(1000)}
    self.assertLen(made, 1000)

  @parameterized.parameters(
    ("train-20260102-030405-abc234-0-11", "train-20260102-030405-abc234"),
    ("a-1-20260102-030405-abc234", "a-1-20260102-030405-abc234"),
    ("train-20260102-030405-abc234x", None),
    ("train", None),
  )
  def test_names_that_begin_with_one(
    self, name: str, expected: str | None
  ) -> None:
    """Whatever is added to it, after a dash."""
    self.assertEqual(ids.begun_by(name), expected)


if __name__ == "__main__":
  absltest.main()
