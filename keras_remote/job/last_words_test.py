import base64
import dataclasses
import random
import zlib

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job import last_words, layout, signing
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from tests.fakes.specs import JOB_ID

_KEY = signing.job_key(b"cluster", JOB_ID)


def _outcome(result: bytes | None = None, **fields: object) -> Outcome:
  values = {"message": "", "ended": "now", "writer": "host 0", **fields}
  outcome = Outcome(
    1,
    State.SUCCEEDED,
    Cause.RETURNED,
    result=None if result is None else layout.digest(result),
    **values,  # pyrefly: ignore
  )
  return signing.sign(outcome, JOB_ID, _KEY)


def _read(text: str) -> tuple[Outcome, bytes | None] | None:
  return last_words.read(text, JOB_ID, _KEY)


class LastWordsTest(parameterized.TestCase):
  @given(st.binary(max_size=2000))
  def test_a_small_result(self, result: bytes) -> None:
    """It comes with its ending."""
    outcome = _outcome(result)
    text = last_words.record(outcome, result)
    self.assertLessEqual(len(text), last_words.LONGEST)
    self.assertTrue(last_words.is_record(text))
    self.assertEqual(_read(text), (outcome, result))

  def test_a_large_result(self) -> None:
    """The ending comes alone."""
    result = random.Random(0).randbytes(4096)
    outcome = _outcome(result)
    text = last_words.record(outcome, result)
    self.assertLessEqual(len(text), last_words.LONGEST)
    self.assertEqual(_read(text), (outcome, None))

  def test_a_large_ending(self) -> None:
    """There is no record rather than half of one."""
    message = random.Random(0).randbytes(4096).hex()
    self.assertEqual(last_words.record(_outcome(message=message), None), "")

  @parameterized.parameters("", "the store fails", "keras-remote-ending:")
  def test_what_is_no_record(self, text: str) -> None:
    """It is for people, or nothing."""
    self.assertIsNone(_read(text))

  @given(st.integers(0, 400), st.integers(1, 255))
  def test_what_was_damaged(self, place: int, change: int) -> None:
    """Nothing wrong is taken for the job's, and nothing fails."""
    result = b"result"
    outcome = _outcome(result)
    text = last_words.record(outcome, result)
    place %= len(text)
    other = chr((ord(text[place]) + change) % 256)
    found = _read(text[:place] + other + text[place + 1 :])
    self.assertIn(found, (None, (outcome, result)))
    self.assertIsNone(_read(text[:place]))

  def test_what_is_forged(self) -> None:
    """An ending that the job did not sign counts no more than none."""
    forged = signing.sign(_outcome(b"bomb"), JOB_ID, b"another key")
    self.assertIsNone(_read(last_words.record(forged, b"bomb")))
    other = last_words.record(_outcome(b"result"), b"result")
    self.assertIsNone(last_words.read(other, "other-job", _KEY))

  def test_another_result(self) -> None:
    """A result that the ending does not name is none."""
    outcome = _outcome(b"result")
    text = last_words.record(outcome, b"bomb")
    self.assertEqual(_read(text), (outcome, None))
    changed = dataclasses.replace(outcome, result=layout.digest(b"bomb"))
    self.assertIsNone(_read(last_words.record(changed, b"bomb")))

  def test_what_swells(self) -> None:
    """It is not unpacked to its end."""
    text = base64.b64encode(zlib.compress(bytes(100_000_000))).decode()
    self.assertIsNone(_read(f"keras-remote-ending:{text}"))


if __name__ == "__main__":
  absltest.main()
