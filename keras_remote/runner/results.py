"""Where a result goes: into the store, and beside it to whoever is near."""

import contextlib
import dataclasses
from pathlib import Path

from keras_remote import errors
from keras_remote.job import last_words
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, HostReport, Outcome

# More bytes are not tried to be told beside the store: they would not fit, as
# what is packed is rarely a tenth.
_SMALL = 10 * last_words.LONGEST


def store(
  directory: JobDirectory, report: HostReport, path: Path
) -> HostReport:
  """The report, whose result is stored now; or that it could not be.

  Args:
    path: where the worker has written it.
  """
  if report.result is None:
    return report
  if report.cause is Cause.RETURNED and report.host:
    return dataclasses.replace(report, result=None)  # Host 0's value counts.
  try:
    with path.open("rb") as result:
      directory.create_result(report.result, result)
  except (errors.StoreError, OSError) as error:
    return dataclasses.replace(
      report,
      cause=Cause.SETUP,
      message=f"the result could not be stored: {error}",
      exception_type="keras_remote.errors.StoreError",
      result=None,
    )
  return report


def tell(outcome: Outcome, path: Path, words: Path) -> None:
  """Says how the job ended to whatever started this process.

  Args:
    path: as above.
    words: what is to hear it; where it is not there nobody listens.
  """
  if words.exists():
    with contextlib.suppress(OSError):
      words.write_text(last_words.record(outcome, _small(outcome, path)))


def _small(outcome: Outcome, path: Path) -> bytes | None:
  """The result that the ending names, if last words may hold it."""
  with contextlib.suppress(OSError):
    if outcome.result and path.stat().st_size <= _SMALL:
      return path.read_bytes()
  return None
