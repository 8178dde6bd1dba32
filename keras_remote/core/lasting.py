"""Which jobs on clusters have waited or run for long: somebody may pay."""

import contextlib
import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keras_remote import clock, errors
from keras_remote.accelerators.prices import Price
from keras_remote.core import cost
from keras_remote.core.jobs import JobSummary
from keras_remote.core.places import backend_of
from keras_remote.home import Home, home
from keras_remote.job.directory import JobDirectory
from keras_remote.job.state import State
from keras_remote.storage.store import Store

_HOUR = 60 * 60
# Seconds after which a state is one for long.
_LONG = {State.QUEUED: _HOUR, State.PENDING: _HOUR, State.RUNNING: 12 * _HOUR}


@dataclass(frozen=True)
class Lasting:
  """A job that has been in a state for long.

  Attributes:
    seconds: for how long; of one that runs, since its last start.
    price: what its machines cost an hour while they are there; None where that
      is not known.
  """

  id: str
  state: State
  seconds: float
  price: Price | None


def lasting(store: Store, jobs: Iterable[JobSummary]) -> Iterator[Lasting]:
  """Those of the jobs, in their order; of the others nothing is read."""
  place, now = Home(home()), clock.now()
  for job in jobs:
    limit = _LONG.get(job.state)
    if limit is None or (now - job.submitted).total_seconds() <= limit:
      continue
    directory, since, price = JobDirectory(store, job.id), job.submitted, None
    try:
      spec = directory.spec()
      backend = backend_of(spec, place)
      if backend.usual_timeout is None:  # Nobody pays by the hour.
        continue
      price = cost.price(spec, backend)
      if job.state is State.RUNNING:
        since = _last_start(directory) or since
    except errors.KerasRemoteError:
      pass  # It can be named all the same.
    seconds = (now - since).total_seconds()
    if seconds > limit:
      yield Lasting(job.id, job.state, seconds, price)


def _last_start(directory: JobDirectory) -> datetime.datetime | None:
  """When it began; None where nobody says it as it should be said."""
  for attempt in directory.attempts()[-1:]:
    if started := directory.started(attempt):
      with contextlib.suppress(ValueError):
        at = datetime.datetime.fromisoformat(started.at)
        return at if at.tzinfo else None
  return None
