"""What jobs share in the store: removed when no job needs it.

Projects are sent once; environments are left there by jobs that install.

Who finds one there and who removes some take turns, by a lock of the home.
"""

import datetime
from concurrent.futures import ThreadPoolExecutor

from keras_remote import clock, errors
from keras_remote.home import Home, ensure_apart, holding
from keras_remote.job import environments, index, layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from keras_remote.packaging.ignore import OWN_RULES
from keras_remote.packaging.packager import Context, heaviest
from keras_remote.progress import Report, Step
from keras_remote.storage.store import Entry, Store

# More is not sent unsaid: most functions need none of it.
LARGE = 100_000_000
# The least age at which what is needed again is stored again: a bucket deletes
# by age, and a job may wait for days before it fetches its project.
_OLD = datetime.timedelta(days=3)
# Specs that are read side by side.
_AT_ONCE = 8
# A newer keras_remote wrote the spec, or nobody knows who.
ILLEGIBLE = (errors.ConfigError, errors.IntegrityError)


def send(store: Store, archive: Context, report: Report) -> bool:
  """Stores a project's archive; False where it was there whole, and new."""
  key = layout.context(archive.digest)
  found = next(iter(store.list(key, limit=1)), None)
  if found and found.size == archive.size and not _is_old(found):
    return False
  if archive.size > LARGE:
    report(_large(archive))
  with archive.path.open("rb") as stream:
    if found:  # It is old, or was cut short by a disk that failed.
      store.write(key, stream)
    else:
      store.create(key, stream)
  return True


def keep(store: Store, spec: JobSpec) -> None:
  """Has the project that a job ran in stay for the one that runs it again.

  Raises:
    StoreError: it is gone.
  """
  key = layout.context(spec.context)
  found = next(iter(store.list(key, limit=1)), None)
  if found is None:
    raise errors.StoreError(
      f"the project that {spec.origin.parent} ran in is no longer in "
      f"{store.uri}: call the function anew"
    )
  if _is_old(found):
    with store.open(key) as stream:
      store.write(key, stream)


def _is_old(found: Entry) -> bool:
  return found.written is not None and clock.now() - found.written > _OLD


def _large(archive: Context) -> Step:
  return Step(
    f"the project is {archive.size / 1e6:,.0f} MB packed, the largest in it: "
    f"{heaviest(archive.path)}; keep what the function does not need back by "
    f"rules in {OWN_RULES}",
    warning=True,
  )


def remove_unused(store: Store, place: Home) -> None:
  """Removes what no job needs, where all that they need is known."""
  ensure_apart(place.path)
  with holding(place.sharing):
    kept = _needed(store, place)
    if kept is not None:
      shared = [*store.list(layout.CONTEXTS), *store.list(layout.ENVIRONMENTS)]
      for entry in shared:
        if environments.content(entry.key) not in kept:
          store.delete(entry.key)


def _needed(store: Store, place: Home) -> set[str] | None:
  """The keys of what jobs need; None where some job's need is not known.

  Of environments those of any machine, by what they have in common.
  """

  def need(row: index.Row) -> set[str] | None:
    preparing = place.prepares(row.job_id)
    try:
      spec = JobDirectory(store, row.job_id).spec()
      recipe = environments.recipe(spec, b"")
    except errors.JobNotFoundError:
      return None if preparing else set()
    except (*ILLEGIBLE, errors.AcceleratorError):  # Of a newer keras_remote.
      return None
    needed = {layout.context(spec.context)}
    if recipe is not None:
      needed.add(environments.content(environments.address(recipe, "")))
    return needed

  needed: set[str] = set()
  with ThreadPoolExecutor(_AT_ONCE) as pool:
    for each in pool.map(need, index.rows(store)):
      if each is None:
        return None
      needed |= each
  return needed
