"""What the user's own machine knows of an error that was raised in a job."""

import os
from importlib.machinery import PathFinder
from pathlib import Path, PurePath

from keras_remote.core import environment
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import JobSpec


def hint(exception: BaseException, spec: JobSpec) -> str | None:
  """Why a file or module that is here was not there.

  A rule kept it back, or it lies outside of the folder that went along.
  """
  root = Path(spec.environment.root)
  for path in _missing(exception, spec):
    here = Path(os.path.normpath(root / path))
    if os.path.exists(here) and here.is_relative_to(root):
      from keras_remote.packaging.ignore import Ignore

      if why := Ignore(root).explain(here.relative_to(root).as_posix()):
        return why
  return _outside(exception, root)


def host(outcome: Outcome, spec: JobSpec) -> str | None:
  """Which host of several raised what is raised here."""
  hosts = spec.resources.hosts
  raised = outcome.result is not None or outcome.cause is Cause.EXCEPTION
  if hosts == 1 or not raised:
    return None
  return f"raised on host {outcome.host} of {hosts}"


def _outside(exception: BaseException, root: Path) -> str | None:
  """That the module lies here, but not in the project."""
  name = _module(exception)
  # Of a package's module that is not there, the package is.
  found = PathFinder.find_spec(name) if name and name.isidentifier() else None
  if found is None:
    return None
  folders = list(found.submodule_search_locations or [])
  here = found.origin or folders[0]
  if environment.foreign(here) or Path(here).is_relative_to(root):
    return None
  return (
    f"only {root} went along, and module {name} lies outside of it, at {here}: "
    "set working_dir to a folder that holds it"
  )


def _module(exception: BaseException) -> str | None:
  """The module that was not there, where it has a name that one can have."""
  if isinstance(exception, ModuleNotFoundError):
    name: object = exception.name
    if isinstance(name, str) and all(map(str.isidentifier, name.split("."))):
      return name
  return None


def _missing(exception: BaseException, spec: JobSpec) -> list[PurePath]:
  """Paths relative to the project that the exception says are not there."""
  environment = spec.environment
  if module := _module(exception):
    path = PurePath(*module.split("."))
    starts = (environment.cwd, *environment.sys_path)
    return [
      PurePath(start, found)
      for start in starts
      for found in (path.with_suffix(".py"), path)
    ]
  if file := _file(exception):
    name = PurePath(os.fsdecode(file))
    if not name.is_absolute():
      return [PurePath(environment.cwd, name)]
    if name.is_relative_to(environment.root):
      return [name.relative_to(environment.root)]
    # There, the project lay in a folder of this name; others may have it too.
    return [
      PurePath(*name.parts[start:])
      for start, part in enumerate(name.parts, 1)
      if part == "context"
    ]
  return []


def _file(exception: BaseException) -> str | bytes | PurePath | None:
  """The file that was not there, where it has a name."""
  if isinstance(exception, FileNotFoundError):
    file: object = exception.filename
    if isinstance(file, str | bytes | PurePath):
      return file
  return None
