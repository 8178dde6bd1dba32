"""Finding jobs again: attach, list, prune."""

import contextlib
import datetime
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from keras_remote import clock, errors
from keras_remote.core import archives
from keras_remote.core.handle import JobHandle
from keras_remote.core.job import Job
from keras_remote.core.places import backend_of
from keras_remote.core.settings import resolve
from keras_remote.home import Home, home
from keras_remote.job import ids, index, layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.packaging import stat_cache
from keras_remote.packaging.provenance import who
from keras_remote.progress import Report, Step, silent
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store

_MOST_SHOWN = 8
# Jobs that are removed side by side: a store's client has ten connections.
_AT_ONCE = 8
# What comes of a cluster that is gone, or lets this user do nothing.
_UNREACHABLE = (
  errors.ClusterError,
  errors.ConfigError,
  errors.CredentialsError,
)


@dataclass(frozen=True)
class JobSummary:
  """One job in a list.

  Attributes:
    submitted: in UTC.
    seconds: for how long it ran; None where no ending says it.
  """

  id: str
  state: State
  submitted: datetime.datetime
  name: str
  who: str
  accelerator: str
  backend: str
  tags: tuple[str, ...]
  seconds: float | None = None


def attach(job_id: str | None = None) -> JobHandle[Any]:
  """A handle on a job that was submitted before, here or elsewhere.

  Args:
    job_id: any unique part of the id, or how only one begins; None for my
      latest job.

  Raises:
    JobNotFoundError: no job, or more than one, goes by it.
    ConfigError: it is no text.
  """
  if job_id is not None and not isinstance(job_id, str):
    raise errors.ConfigError(
      f"attach takes a job's id, or a part of it, as text, not {job_id!r}"
    )
  store = _store()
  spec = _spec(store, job_id)
  submitted: Future[JobSpec] = Future()
  submitted.set_result(spec)
  backend = backend_of(spec, Home(home()))
  return JobHandle(spec.job_id, store, backend, submitted)


def list_jobs(
  *,
  limit: int | None = None,
  everyone: bool = False,
  tag: str | None = None,
  report: Report = silent,
) -> list[JobSummary]:
  """My jobs, newest first.

  Args:
    limit: how many at most.
    everyone: those of others too.
    tag: only those that bear it.
    report: told of each place that cannot be asked: jobs there that have not
      ended as far as the store knows count as running.
  """
  found: list[JobSummary] = []
  gone: set[str] = set()
  store = _store()
  for row in index.rows(store):
    fields = row.fields
    tags = tuple(filter(None, fields.get("tags", "").split(",")))
    if not everyone and not _mine(row):
      continue
    if tag is not None and tag not in tags:
      continue
    if limit is not None and len(found) >= limit:
      break
    found.append(
      JobSummary(
        id=row.job_id,
        state=row.state or _state_now(store, row.job_id, gone, report),
        submitted=row.submitted,
        name=fields.get("name", ""),
        who=fields.get("who", ""),
        accelerator=fields.get("accelerator", ""),
        backend=fields.get("backend", ""),
        tags=tags,
        seconds=row.seconds,
      )
    )
  return found


def prune(
  older_than: datetime.timedelta, *, everyone: bool = False
) -> list[str]:
  """Removes my jobs that ended and were submitted longer ago; their ids.

  What no job refers to any more is removed too, and what submitters left that
  died at it, and of this home's cache what was not used for so long. A job that
  cannot be read, such as a newer keras_remote's, stays. What a cluster that
  cannot be reached has of one that ended is left to that cluster.
  """
  store, place = _store(), Home(home())
  gone: set[str] = set()
  limit = clock.now() - older_than
  rows = list(index.rows(store))

  def remove(row: index.Row) -> bool:
    return _remove(store, place, row, gone)

  old = [
    row for row in rows if (everyone or _mine(row)) and row.submitted < limit
  ]
  with ThreadPoolExecutor(_AT_ONCE) as pool:
    went = pool.map(remove, old)
    removed = [row.job_id for row, did in zip(old, went, strict=True) if did]
  listed = {row.job_id for row in rows}
  # What is being sent elsewhere may not be listed yet.
  before = min(limit, clock.now() - datetime.timedelta(days=1))
  for job_id in _unlisted(store, listed, before):
    if not place.prepares(job_id):
      JobDirectory(store, job_id).delete(None)
  if removed:
    archives.remove_unused(store, place)
  place.sweep_preparing()
  stat_cache.prune(place.cache, older_than.total_seconds())
  return removed


def _remove(store: Store, place: Home, row: index.Row, gone: set[str]) -> bool:
  """Removes the job if it has ended or never began; whether it did."""
  directory = JobDirectory(store, row.job_id)
  preparing = place.prepares(row.job_id)
  try:
    spec = directory.spec()
    backend = backend_of(spec, place)
  except errors.JobNotFoundError:
    if preparing:
      return False
  except archives.ILLEGIBLE:
    return False
  else:
    if not (row.state or _state_now(store, row.job_id, gone, silent)).ended:
      return False
    if spec.target.place not in gone:
      try:
        backend.cleanup_job(spec)
      except _UNREACHABLE:
        gone.add(spec.target.place)
  directory.delete(row)
  return True


def _unlisted(
  store: Store, listed: Collection[str], limit: datetime.datetime
) -> set[str]:
  """What submitters left that died before all of a job was stored."""
  found = {
    entry.key.removeprefix(layout.JOBS).partition("/")[0]
    for entry in store.list(layout.JOBS)
  }
  return {
    job_id
    for job_id in found.difference(listed)
    if ids.is_job_id(job_id)
    and (made := ids.made_at(job_id)) is not None
    and made < limit
  }


def _mine(row: index.Row) -> bool:
  """By the user's name alone: that of a machine changes."""
  me = who()
  return _user(row.fields.get("who", me)) == _user(me)


def _user(who: str) -> str:
  return who.rsplit("@", 1)[0]


def _store() -> Store:
  return open_store(resolve({}).options.store)


def _spec(store: Store, part: str | None) -> JobSpec:
  if part and ids.is_job_id(part) and ids.begun_by(part) == part:
    # A whole id: the list, which may be long, need not be looked at.
    with contextlib.suppress(errors.JobNotFoundError):
      return JobDirectory(store, part).spec()
  return JobDirectory(store, _find(store, part)).spec()


def _find(store: Store, part: str | None) -> str:
  if part is None:
    latest = next((r for r in index.rows(store) if _mine(r)), None)
    if latest is None:
      raise errors.JobNotFoundError(
        f"the store {store.uri} holds no job of yours yet"
      )
    return latest.job_id
  if not part:
    raise errors.JobNotFoundError("an empty id is the id of no job")
  known = [row.job_id for row in index.rows(store)]
  matching = [job_id for job_id in known if part in job_id]
  if part in matching:
    return part
  beginning = [job_id for job_id in matching if job_id.startswith(part)]
  for only in (beginning, matching):
    if len(only) == 1:
      return only[0]
  if not matching:
    raise errors.JobNotFoundError(
      f"no job goes by '{part}' in {store.uri}: `keras-remote jobs list` "
      "shows those there are"
    )
  shown = ", ".join(matching[:_MOST_SHOWN])
  more = "" if len(matching) <= _MOST_SHOWN else ", …"
  raise errors.JobNotFoundError(
    f"{len(matching)} jobs go by '{part}': {shown}{more}; type more of the id"
  )


def _state_now(
  store: Store, job_id: str, gone: set[str], report: Report
) -> State:
  """How a job stands of which no ending is listed.

  Args:
    gone: places that could not be asked: nobody waits for one twice.
  """
  directory, place = JobDirectory(store, job_id), Home(home())
  # Asked before the spec: what is seen to be sent is then there.
  preparing = place.prepares(job_id)
  try:
    spec = directory.spec()
    backend = backend_of(spec, place)
  except errors.JobNotFoundError:
    return State.PREPARING if preparing else State.LOST
  except errors.IntegrityError:
    return State.LOST
  except errors.ConfigError:  # A newer keras_remote's, that has not ended.
    return State.RUNNING
  if spec.target.place in gone:
    return State.RUNNING
  try:
    seen = Job(spec, directory, backend).observe()
  except errors.IntegrityError:  # Its processes are gone, and so is its key.
    return State.LOST
  except _UNREACHABLE as error:
    gone.add(spec.target.place)
    report(
      Step(
        f"how the jobs at {spec.target.place} stand is not known, and they "
        f"are listed as running: {error}",
        warning=True,
      )
    )
    return State.RUNNING
  if seen.state.ended:
    # Whoever ended it died before it could say so in the list.
    # Who may only read sees it all the same.
    seconds = seen.outcome.seconds if seen.outcome else None
    with contextlib.suppress(errors.StoreError):
      index.add_ending(store, spec, seen.state, seconds)
  return seen.state
