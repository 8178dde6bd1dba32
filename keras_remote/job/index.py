"""The index: what a listing shows, newest first, by list calls alone."""

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keras_remote.job import ids, layout
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.storage.store import Store

# Milliseconds since 1970 have so many digits until the year 2286.
_DIGITS = 13
_LATEST = 10**_DIGITS - 1
# What an ending's entry bears.
_SECONDS = "seconds"


@dataclass(frozen=True)
class Row:
  """One job in a listing.

  Attributes:
    submitted: in UTC.
    state: how it ended; None while no ending is listed.
    fields: name, who, accelerator, backend and tags.
    seconds: for how long it ran; None where no ending says it.
  """

  job_id: str
  submitted: datetime.datetime
  state: State | None
  fields: Mapping[str, str]
  seconds: float | None = None


def add(store: Store, spec: JobSpec) -> bool:
  """Lists the job; False where it is listed already."""
  fields = {
    "name": spec.origin.name,
    "who": spec.origin.who,
    "accelerator": spec.resources.accelerator,
    "backend": spec.target.backend,
    "tags": ",".join(spec.origin.tags),
  }
  return store.create(_key(spec), b"", fields)


def add_ending(
  store: Store, spec: JobSpec, state: State, seconds: float | None = None
) -> None:
  """Lists how the job ended, and for how long it ran."""
  fields = {} if seconds is None else {_SECONDS: f"{seconds:.3f}"}
  store.create(f"{_key(spec)}.{state}", b"", fields)


def rows(store: Store) -> Iterator[Row]:
  """The jobs of the store, newest first."""
  pending: Row | None = None
  for entry in store.list(layout.INDEX):
    name = entry.key.removeprefix(layout.INDEX)
    stamp, _, rest = name.partition("-")
    job_id, _, state = rest.partition(".")
    if not stamp.isdecimal() or len(stamp) != _DIGITS:
      continue  # Somebody else's file.
    if not ids.is_job_id(job_id):
      continue
    if pending and pending.job_id == job_id and state in State.__members__:
      # Endings are sorted right behind the job that they end.
      yield dataclasses.replace(
        pending, state=State(state), seconds=_seconds(entry.metadata)
      )
      pending = None
    elif not state:
      if pending:
        yield pending
      at = datetime.datetime.fromtimestamp(
        (_LATEST - int(stamp)) / 1000, datetime.UTC
      )
      pending = Row(job_id, at, None, entry.metadata)
  if pending:
    yield pending


def _seconds(fields: Mapping[str, str]) -> float | None:
  """Nobody signs it: it is a number, or not there."""
  try:
    found = float(fields[_SECONDS])
  except (KeyError, ValueError):
    return None
  return found if 0 <= found < math.inf else None


def remove(store: Store, job: JobSpec | Row) -> None:
  """Takes the job off the list."""
  key = _key(job)
  for ending in list(store.list(f"{key}.")):
    store.delete(ending.key)
  store.delete(key)


def _key(job: JobSpec | Row) -> str:
  at = (
    job.submitted
    if isinstance(job, Row)
    else datetime.datetime.fromisoformat(job.origin.submitted)
  )
  inverted = _LATEST - round(at.timestamp() * 1000)
  return f"{layout.INDEX}{inverted:0{_DIGITS}d}-{job.job_id}"
