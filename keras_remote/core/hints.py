"""What the user's own machine knows of an error that was raised in a job."""

import os
from pathlib import Path, PurePath

from keras_remote.job.spec import JobSpec


def hint(exception: BaseException, spec: JobSpec) -> str | None:
  """Why a file or module that is here was not there, where a rule did it."""
  root = Path(spec.environment.root)
  for path in _missing(exception, spec):
    here = Path(os.path.normpath(root / path))
    if here.exists() and here.is_relative_to(root):
      from keras_remote.packaging.ignore import Ignore

      if why := Ignore(root).explain(here.relative_to(root).as_posix()):
        return why
  return None


def _missing(exception: BaseException, spec: JobSpec) -> list[PurePath]:
  """Paths relative to the project that the exception says are not there."""
  environment = spec.environment
  if isinstance(exception, ModuleNotFoundError) and exception.name:
    path = PurePath(*exception.name.split("."))
    starts = (environment.cwd, *environment.sys_path)
    return [
      PurePath(start, found)
      for start in starts
      for found in (path.with_suffix(".py"), path)
    ]
  if isinstance(exception, FileNotFoundError) and exception.filename:
    name = PurePath(os.fsdecode(exception.filename))
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
