import dataclasses
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import signing, wire
from keras_remote.job.outcome import Cause, HostReport, Outcome
from keras_remote.job.state import State

_KEY = signing.job_key(b"cluster", "job")
_OUTCOME = signing.sign(
  Outcome(
    attempt=1,
    state=State.SUCCEEDED,
    cause=Cause.RETURNED,
    message="",
    ended="now",
    writer="host 0",
    result="a" * 64,
  ),
  "job",
  _KEY,
)
_REPORT = signing.sign(
  HostReport(1, 0, Cause.RETURNED, "", result="a" * 64), "job", _KEY
)
_TAMPERED: dict[str, Any] = {
  "task": 1,
  "attempt": 2,
  "host": 1,
  "state": State.FAILED,
  "cause": Cause.EXIT,
  "exit_code": 0,
  "signal": 9,
  "result": "b" * 64,
}


class SigningTest(parameterized.TestCase):
  def test_what_the_job_signed_passes(self) -> None:
    """With the job's key both kinds of record pass, over the wire too."""
    for record in (_OUTCOME, _REPORT):
      read = wire.decode(type(record), wire.encode(record), "it")
      signing.verify(read, "job", _KEY)

  @parameterized.parameters(*_TAMPERED, "signature")
  def test_a_changed_outcome_is_found(self, field: str) -> None:
    """Every field that decides anything is covered."""
    changed: dict[str, Any] = {field: _TAMPERED.get(field, "é" * 64)}
    with self.assertRaisesRegex(errors.IntegrityError, "job is not signed"):
      signing.verify(dataclasses.replace(_OUTCOME, **changed), "job", _KEY)

  @parameterized.parameters(*(_TAMPERED.keys() - {"task", "state"}))
  def test_a_changed_report_is_found(self, field: str) -> None:
    """Every field that decides anything is covered."""
    changed = dataclasses.replace(_REPORT, **{field: _TAMPERED[field]})
    with self.assertRaises(errors.IntegrityError):
      signing.verify(changed, "job", _KEY)

  def test_a_removed_result_is_found(self) -> None:
    """An ending cannot lose its result on the way."""
    changed = dataclasses.replace(_OUTCOME, result=None)
    with self.assertRaises(errors.IntegrityError):
      signing.verify(changed, "job", _KEY)

  @parameterized.parameters("", "\ud800", "0" * 64, _REPORT.signature)
  def test_no_other_signature_passes(self, signature: str) -> None:
    """None, an odd one, a guess, and that of a report are refused."""
    forged = dataclasses.replace(_OUTCOME, signature=signature)
    with self.assertRaises(errors.IntegrityError):
      signing.verify(forged, "job", _KEY)

  def test_a_report_is_no_outcome(self) -> None:
    """What a host says of itself is not what it says of the job."""
    forged = dataclasses.replace(_REPORT, signature=_OUTCOME.signature)
    with self.assertRaises(errors.IntegrityError):
      signing.verify(forged, "job", _KEY)

  def test_one_job_does_not_sign_for_another(self) -> None:
    """Neither another job's key nor another job's id passes."""
    other = signing.job_key(b"cluster", "other")
    for job_id, key in (("job", other), ("other", _KEY), ("other", other)):
      with self.assertRaises(errors.IntegrityError):
        signing.verify(_OUTCOME, job_id, key)

  def test_the_cure(self) -> None:
    """Whoever has another key is told where the right one lies."""
    cure = "file `key` .* set KERAS_REMOTE_HOME to that folder, or copy"
    with self.assertRaisesRegex(errors.IntegrityError, cure):
      signing.verify(_OUTCOME, "job", b"other")
    with self.assertRaisesRegex(errors.IntegrityError, cure):
      signing.verify_spec("0" * 64, b"", "job", b"other")

  def test_keys_differ(self) -> None:
    """A job's key is neither another job's nor another cluster's."""
    keys = {
      signing.job_key(cluster, job)
      for cluster in (b"cluster", b"other")
      for job in ("job", "other")
    }
    self.assertLen(keys, 4)
    self.assertNotIn(b"cluster", keys)


if __name__ == "__main__":
  absltest.main()
