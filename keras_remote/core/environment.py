"""What a function finds around it here, so that it finds the same there."""

import fnmatch
import functools
import json
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from keras_remote import errors

# What says in the variable CI that this is no CI.
_NO = ("", "0", "false", "no")


def in_ci() -> bool:
  """Whether this runs in CI, where nobody sits."""
  return os.environ.get("CI", "").lower() not in _NO


def captured(
  patterns: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
  """The variables whose names match one of the patterns.

  Raises:
    ConfigError: a name without wildcard is not set.
  """
  found: dict[str, str] = {}
  for pattern in patterns:
    names = [n for n in environ if fnmatch.fnmatchcase(n, pattern)]
    if not names and not set(pattern) & set("*?["):
      raise errors.ConfigError(
        f"capture_env_vars names {pattern}, which is not set here: "
        f"`export {pattern}=…`, or leave it out"
      )
    found |= {name: environ[name] for name in names}
  return found


def keras_backend(environ: Mapping[str, str]) -> str:
  """The Keras backend here: the loaded one, else what is configured."""
  config = sys.modules.get("keras.src.backend.config")
  if config is not None:
    return str(config.backend())
  if environ.get("KERAS_BACKEND"):
    return environ["KERAS_BACKEND"]
  home = environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
  try:
    chosen = json.loads(Path(home, "keras.json").read_bytes())["backend"]
  except (OSError, ValueError, KeyError, TypeError):
    return "jax"
  # Keras itself writes "tensorflow" into the file where none was chosen.
  return chosen if _installed(chosen) else "jax"


def _installed(module: str) -> bool:
  from importlib.util import find_spec

  return find_spec(module) is not None


def import_roots(root: Path) -> tuple[str, ...]:
  """Where imports from the project start, relative to its root.

  These are the entries of sys.path, and the folders that loaded modules were
  found in by other ways, such as an editable install.
  """
  # As the root is: some lead there through a link.
  entries = [os.path.realpath(entry) for entry in sys.path]
  entries += _module_roots(str(root))
  inside = (e for e in entries if _within(e, str(root)) and not foreign(e))
  relative = (os.path.relpath(e, root) for e in inside)
  return tuple(dict.fromkeys(p.replace(os.sep, "/") for p in relative))


def _module_roots(root: str) -> Iterator[str]:
  for module, file in _loaded():
    if not _within(file, root):
      continue
    name = getattr(module.__spec__, "name", None)
    if name and name != "__main__":
      depth = name.count(".") + hasattr(module, "__path__")
      path = Path(file)
      if depth < len(path.parents):
        yield str(path.parents[depth])


def early_imports(modules: Iterable[str]) -> tuple[str, ...]:
  """Of the modules those that are not the project's and worth an early start.

  The project's own are not there yet when the worker begins to import.
  """
  return tuple(
    name
    for name in modules
    if name.partition(".")[0] not in sys.stdlib_module_names
    and (file := getattr(sys.modules.get(name), "__file__", None))
    and foreign(file)
  )


def modules_by_value(root: Path) -> list[ModuleType]:
  """Loaded modules that a job cannot import: neither project nor installed."""
  return [
    module
    for module, file in _loaded()
    if not _within(file, str(root))
    and module.__name__ != "__main__"
    and module.__name__.partition(".")[0] != "keras_remote"
  ]


def _loaded() -> Iterator[tuple[ModuleType, str]]:
  """The loaded modules that no installation has, and their files."""
  real = functools.cache(os.path.realpath)  # Of many files few folders.
  for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and isinstance(module, ModuleType):
      folder, name = os.path.split(file)
      if not _is_installed(folder):
        yield module, os.path.join(real(folder), name)


@functools.cache
def _is_installed(folder: str) -> bool:
  # Every call asks, for each of the thousands of modules that Keras loads.
  return foreign(os.path.realpath(folder) + os.sep)


def foreign(path: str) -> bool:
  """Whether the path belongs to an installation rather than to a project."""
  return path.startswith(_installations()) or "site-packages" in path


@functools.cache
def _installations() -> tuple[str, ...]:
  paths = sysconfig.get_paths()
  found = {paths[n] for n in ("stdlib", "platstdlib", "purelib", "platlib")}
  found |= {site.getusersitepackages(), *site.getsitepackages()}
  found |= {os.path.realpath(path) for path in found}
  return tuple(f"{path}{os.sep}" for path in found)


def _within(path: str, root: str) -> bool:
  return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
