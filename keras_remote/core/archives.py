"""What jobs share in the store: removed when no job needs it.

Projects are sent once; environments are left there by jobs that install.

Who finds one there and who removes some take turns, by a lock of the home.
"""

from keras_remote import errors
from keras_remote.home import Home, ensure_apart, holding
from keras_remote.job import environments, index, layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from keras_remote.packaging.ignore import OWN_RULES
from keras_remote.packaging.packager import Context, heaviest
from keras_remote.progress import Report, Step
from keras_remote.storage.store import Store

# More is not sent unsaid: most functions need none of it.
LARGE = 100_000_000
# A newer keras_remote wrote the spec, or nobody knows who.
ILLEGIBLE = (errors.ConfigError, errors.IntegrityError)


def send(store: Store, archive: Context, report: Report) -> bool:
  """Stores a project's archive; False where it was there whole."""
  key = layout.context(archive.digest)
  found = next(iter(store.list(key, limit=1)), None)
  if found and found.size == archive.size:
    return False
  if archive.size > LARGE:
    report(_large(archive))
  with archive.path.open("rb") as stream:
    if found:  # Cut short by a disk that failed.
      store.write(key, stream)
    else:
      store.create(key, stream)
  return True


def check(store: Store, spec: JobSpec) -> None:
  """Raises StoreError where what a job that runs again needs is gone."""
  if not any(store.list(layout.context(spec.context), limit=1)):
    raise errors.StoreError(
      f"the project that {spec.origin.parent} ran in is no longer in "
      f"{store.uri}: call the function anew"
    )


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
  needed: set[str] = set()
  for row in index.rows(store):
    preparing = place.prepares(row.job_id)
    try:
      spec = JobDirectory(store, row.job_id).spec()
    except errors.JobNotFoundError:
      if preparing:
        return None
    except ILLEGIBLE:
      return None
    else:
      needed.add(layout.context(spec.context))
      try:
        recipe = environments.recipe(spec, b"")
      except errors.AcceleratorError:  # Of a newer keras_remote.
        return None
      if recipe is not None:
        needed.add(environments.content(environments.address(recipe, "")))
  return needed
