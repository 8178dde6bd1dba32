"""Signatures: what comes back is what ran.

The cluster key stays with users; a job is given only its own key, made from
it, so that one job cannot sign for another.
"""

import dataclasses
import hashlib
import hmac
import json
from typing import TypeVar

from keras_remote import constants, errors
from keras_remote.job.outcome import HostReport, Outcome, Present, Started

_CURE = (
  "The key is that of whoever submitted it, on the local backend the file `key`"
  f" in their home folder: set {constants.HOME_VARIABLE} to that folder, or"
  " copy its key into yours"
)

Record = Outcome | HostReport | Started | Present
Signed = TypeVar("Signed", Outcome, HostReport, Started, Present)


def job_key(cluster_key: bytes, job_id: str) -> bytes:
  """The key with which the job's own processes sign."""
  return hmac.digest(cluster_key, job_id.encode(), hashlib.sha256)


def sign(record: Signed, job_id: str, key: bytes) -> Signed:
  """The record with its signature."""
  return dataclasses.replace(record, signature=_digest(record, job_id, key))


def verify(record: Record, job_id: str, key: bytes) -> None:
  """Passes for a record that a holder of the job's key wrote.

  Raises:
    IntegrityError: it is any other.
  """
  if not is_signed(record, job_id, key):
    raise errors.IntegrityError(
      f"the ending of {job_id} is not signed by the job: it was changed, or "
      f"written with another key. Nothing of it was used. {_CURE}"
    )


def is_signed(record: Record, job_id: str, key: bytes) -> bool:
  """Whether a holder of the job's key wrote the record."""
  expected = _digest(record, job_id, key).encode()
  signature = record.signature.encode(errors="replace")
  return hmac.compare_digest(signature, expected)


def sign_spec(digest: str, key: bytes) -> str:
  """The signature of the spec with this sha256."""
  return hmac.new(key, f"spec {digest}".encode(), hashlib.sha256).hexdigest()


def verify_spec(digest: str, signature: bytes, job_id: str, key: bytes) -> None:
  """Passes for a spec that a holder of the job's key stored.

  Raises:
    IntegrityError: it is any other.
  """
  if not hmac.compare_digest(signature, sign_spec(digest, key).encode()):
    raise errors.IntegrityError(
      f"spec.json of {job_id} is not signed by whoever may run it here: it was "
      f"changed, or stored with another key. Nothing of it was used. {_CURE}"
    )


def _digest(record: Record, job_id: str, key: bytes) -> str:
  """Covers all that is acted upon; texts for people are shown, never run."""
  signed = [type(record).__name__, job_id, *_covered(record)]
  return hmac.new(key, json.dumps(signed).encode(), hashlib.sha256).hexdigest()


def _covered(record: Record) -> list[object]:
  if isinstance(record, Present):
    return [record.host, record.token, record.answers]
  if isinstance(record, Started):
    members = list(record.members)
    return [record.attempt, record.allocation, record.coordinator, members]
  covered: list[object] = [record.attempt, record.host]
  if isinstance(record, Outcome):
    covered += [record.task, record.state.value]
  covered += [record.cause.value, record.exit_code, record.signal]
  return [*covered, record.result]
