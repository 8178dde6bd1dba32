"""A function of a file, as `FILE:FUNCTION` names it."""

import importlib
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_remote.cli.failure import CommandError, users_traceback
from keras_remote.core.options import nearest


def load_function(file: Path, name: str) -> Callable[..., Any]:
  """The function, its file imported as another module would import it.

  Raises:
    CommandError: there is no such file or function.
    CommandError: the file raises when it is imported.
  """
  if not file.is_file():
    raise CommandError(f"there is no file {file}")
  module = _imported(file)
  try:
    function = attrgetter(name)(module)
  except AttributeError:
    functions = [
      key
      for key, value in vars(module).items()
      if callable(value)
      and getattr(value, "__module__", None) == module.__name__
    ]
    hint = nearest(name, functions) if functions else "it has no function"
    raise CommandError(f"{file} has no function {name!r}: {hint}") from None
  if not callable(function):
    raise CommandError(f"{name!r} of {file} is no function")
  return function


def _imported(file: Path) -> ModuleType:
  folder, name = file.resolve().parent, file.stem
  while (folder / "__init__.py").exists():
    folder, name = folder.parent, f"{folder.name}.{name}"
  if "." in file.stem:
    raise CommandError(f"{file} cannot be imported: its name has a dot")
  sys.path.insert(0, str(folder))
  try:
    module = importlib.import_module(name)
  except (Exception, SystemExit) as error:  # A user's file may raise anything.
    raise CommandError(
      f"{file} cannot be imported: nothing was started",
      text=users_traceback(error),
    ) from error
  found = getattr(module, "__file__", None)
  if found is None or Path(found).resolve() != file.resolve():
    raise CommandError(
      f"{file} has the name of another module, {found or name}: rename it"
    )
  return module
