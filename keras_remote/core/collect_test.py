"""What becomes of an outcome: a value, an exception or a refusal."""

import hashlib
import io
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.core import collect
from keras_remote.core.job import Ending
from keras_remote.job import signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import EntryKind
from keras_remote.job.state import State
from keras_remote.pickling import result
from keras_remote.storage.open import open_store
from tests.fakes.specs import JOB_ID, job_spec


def _outcome(state: State, cause: Cause, **fields: object) -> Outcome:
  values = {"message": "why", "ended": "", "writer": "", "attempt": 1, **fields}
  return Outcome(state=state, cause=cause, **values)  # pyrefly: ignore


class ErrorTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("timeout", State.TIMED_OUT, Cause.TIMEOUT, {}, errors.JobTimeoutError),
    ("cancel", State.CANCELLED, Cause.CANCELLED, {}, errors.JobCancelledError),
    ("lost", State.LOST, Cause.LOST, {}, errors.JobLostError),
    ("attempts", State.LOST, Cause.ATTEMPTS, {}, errors.JobLostError),
    (
      "exit",
      State.FAILED,
      Cause.EXIT,
      {"exit_code": 3},
      errors.WorkerDiedError,
    ),
    (
      "signal",
      State.FAILED,
      Cause.SIGNAL,
      {"signal": 9},
      errors.WorkerDiedError,
    ),
    (
      "ours",
      State.FAILED,
      Cause.SETUP,
      {"exception_type": "keras_remote.errors.IntegrityError"},
      errors.IntegrityError,
    ),
    (
      "another",
      State.FAILED,
      Cause.EXCEPTION,
      {"exception_type": "builtins.KeyError"},
      errors.RemoteError,
    ),
    (
      "no_class_of_ours",
      State.FAILED,
      Cause.SETUP,
      {"exception_type": "keras_remote.errors.Nonsense"},
      errors.RemoteError,
    ),
  )
  def test_every_ending_has_its_error(
    self,
    state: State,
    cause: Cause,
    fields: dict[str, object],
    cls: type[Exception],
  ) -> None:
    """Where there is no result, the outcome alone says what to raise."""
    error = collect.error_of(job_spec(), _outcome(state, cause, **fields))
    self.assertIs(type(error), cls)
    self.assertIn("why", str(error))
    if isinstance(error, errors.JobError):
      self.assertEqual(error.job_id, job_spec().job_id)

  def test_a_command_fails_with_its_exit_code(self) -> None:
    """A script reads the code, not a sentence."""
    spec = job_spec(kind=EntryKind.COMMAND)
    outcome = _outcome(State.FAILED, Cause.EXIT, exit_code=7)
    error = collect.error_of(spec, outcome)
    assert isinstance(error, errors.RemoteError)
    self.assertEqual(error.exit_code, 7)

  @parameterized.parameters((9, "memory"), (11, "native code"))
  def test_a_signal_says_what_it_often_means(
    self, number: int, text: str
  ) -> None:
    """The cure starts with a guess at the cause."""
    outcome = _outcome(State.FAILED, Cause.SIGNAL, signal=number)
    self.assertIn(text, str(collect.error_of(job_spec(), outcome)))

  def test_memory(self) -> None:
    """What was killed for want of it says how to get more."""
    outcome = _outcome(State.FAILED, Cause.MEMORY, signal=9)
    error = collect.error_of(job_spec(), outcome)
    self.assertIsInstance(error, errors.WorkerDiedError)
    self.assertIn("memory=", str(error))


class _Bomb:
  """Leaves a folder where it is unpickled."""

  def __init__(self, folder: Path) -> None:
    self.folder = folder

  def __reduce__(self) -> Any:
    return Path.mkdir, (self.folder,)


class CollectTest(absltest.TestCase):
  def test_only_what_is_signed_is_unpickled(self) -> None:
    """With another key nothing of the result runs; with the job's it does."""
    base = Path(self.create_tempdir().full_path)
    base.chmod(0o700)
    directory = JobDirectory(open_store(str(base / "store")), JOB_ID)
    stream = io.BytesIO()
    result.save_result(_Bomb(base / "exploded"), stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()
    directory.create_result(digest, stream.getvalue())
    outcome = _outcome(State.SUCCEEDED, Cause.RETURNED, result=digest)
    key = signing.job_key(b"cluster", JOB_ID)
    signed = signing.sign(outcome, JOB_ID, key)
    for given, cluster in ((signed, b"other"), (outcome, b"cluster")):
      with self.assertRaises(errors.IntegrityError):
        collect.collect(directory, job_spec(), Ending(given), cluster)
    self.assertFalse((base / "exploded").exists())
    collect.collect(directory, job_spec(), Ending(signed), b"cluster")
    self.assertTrue((base / "exploded").exists())

  def test_a_result_that_came_along(self) -> None:
    """It saves a look into the store, if it is the one that is meant."""
    base = Path(self.create_tempdir().full_path)
    base.chmod(0o700)
    directory = JobDirectory(open_store(str(base / "store")), JOB_ID)
    stream = io.BytesIO()
    result.save_result(7, stream)
    data = stream.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    outcome = _outcome(State.SUCCEEDED, Cause.RETURNED, result=digest)
    key = signing.job_key(b"cluster", JOB_ID)
    signed = signing.sign(outcome, JOB_ID, key)
    ending = Ending(signed, data)
    found = collect.collect(directory, job_spec(), ending, b"cluster")
    self.assertEqual(found.value, 7)
    bomb = io.BytesIO()
    result.save_result(_Bomb(base / "exploded"), bomb)
    ending = Ending(signed, bomb.getvalue())
    with self.assertRaises(errors.ObjectNotFoundError):
      collect.collect(directory, job_spec(), ending, b"cluster")
    self.assertFalse((base / "exploded").exists())


if __name__ == "__main__":
  absltest.main()
