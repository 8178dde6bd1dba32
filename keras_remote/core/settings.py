"""What each option is in this call, and who said so.

From the highest: `with settings(...)`, arguments, KERAS_REMOTE_* (a profile
chosen by KERAS_REMOTE_PROFILE just below the others), [tool.keras_remote] of
the nearest pyproject.toml, the active profile of config.toml, the default.
The highest that names an option gives all of it: lists and `env` tables are
not merged.

config.toml holds `active = "name"`, a table `[profiles.name]` for each
profile, and the options of the profile "default" at its top.
"""

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from keras_remote import constants, errors
from keras_remote.core.options import (
  OPTIONS,
  VARIABLE_PREFIX,
  OptionArguments,
  Options,
  find,
  nearest,
)
from keras_remote.home import (
  Home,
  check_private,
  ensure_apart,
  holding,
  home,
  write_private,
)

if TYPE_CHECKING:
  import tomlkit

PROFILE_VARIABLE = "KERAS_REMOTE_PROFILE"
DEFAULT_PROFILE = "default"
ACTIVE, PROFILES = "active", "profiles"


@dataclass(frozen=True)
class Origin:
  """Who said what an option is, such as "KERAS_REMOTE_BACKEND"."""

  sentence: str


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Resolved:
  """The options of one call, and the origin of each by its name."""

  options: Options
  origins: Mapping[str, Origin]

  def check(self) -> None:
    """Passes where there is all that the options name.

    Raises:
      ConfigError: there is no such backend; says who named it.
      AcceleratorError: there is no such accelerator; says who named it.
    """
    for name, origin in self.origins.items():
      if origin is not DEFAULT:
        OPTIONS[name].check(getattr(self.options, name), where=origin.sentence)


@dataclass(frozen=True)
class Profiles:
  """The profiles of config.toml.

  Attributes:
    active: the one that counts; KERAS_REMOTE_PROFILE may have chosen it.
    tables: the options of each by its name, as they are written.
  """

  active: str
  tables: Mapping[str, Mapping[str, object]]


# eq=False: a source is itself, so that equal overrides end in any order.
@dataclass(frozen=True, eq=False)
class _Source:
  """Some options, who says them, and where their relative paths start."""

  values: Mapping[str, object]
  sentence: str
  base: Path

  def read(self) -> dict[str, object]:
    """The typed values; None for those that say the default."""
    return {
      name: None
      if value is None
      else find(name, where=self.sentence).read(
        value, base=self.base, where=self.sentence
      )
      for name, value in self.values.items()
    }


# Of the process, not of a context: threads that the code under test starts
# must see them too. Appending and removing are each one step to all threads.
_overrides: list[_Source] = []


def resolve(
  arguments: Mapping[str, object],
  *,
  cwd: Path | None = None,
  environ: Mapping[str, str] | None = None,
) -> Resolved:
  """The options of a call that was given `arguments`.

  An argument that is None says the default. Every source is checked, also
  where a higher one wins.

  Raises:
    ConfigError: a source has an unknown option, a wrong value or an empty
      variable, or a file or profile is broken or missing.
    StoreError: other users can write to the home folder.
  """
  cwd = Path.cwd() if cwd is None else cwd
  environ = os.environ if environ is None else environ
  values: dict[str, Any] = {}
  origins = dict.fromkeys(OPTIONS, DEFAULT)
  for source in _sources(arguments, cwd, environ):
    read = source.read()
    values |= read
    origins |= dict.fromkeys(read, Origin(source.sentence))
  said = {name: value for name, value in values.items() if value is not None}
  said.setdefault("store", str(home(environ)))
  return Resolved(Options(**said), origins)


@contextlib.contextmanager
def settings(**overrides: Unpack[OptionArguments]) -> Generator[None]:
  """Overrides options in the whole process, for users' own tests.

  Blocks may nest and may overlap in threads: the latest that is still open
  wins. Relative paths start from the current directory at the entry.

  Raises:
    ConfigError: an override is unknown or malformed.
  """
  source = _Source(dict(overrides), "keras_remote.settings(...)", Path.cwd())
  source.read()
  _overrides.append(source)
  try:
    yield
  finally:
    _overrides.remove(source)


def profiles(*, environ: Mapping[str, str] | None = None) -> Profiles:
  """The profiles that there are; "default" always is, the active may not be.

  Raises:
    ConfigError: config.toml is broken.
    StoreError: other users can write to the home folder.
  """
  environ = os.environ if environ is None else environ
  config = Home(home(environ)).config
  check_private(config.parent)
  document = _toml(config)
  named = _table(document.pop(PROFILES, {}), f"{config}: profiles")
  active = str(document.pop(ACTIVE, DEFAULT_PROFILE))
  if DEFAULT_PROFILE in named:
    raise errors.ConfigError(
      f"{config}: move the options of [profiles.{DEFAULT_PROFILE}] to the top"
      " of the file: that is where this profile is"
    )
  tables = {DEFAULT_PROFILE: document} | {
    name: _table(table, f"{config}: profiles.{name}")
    for name, table in named.items()
  }
  return Profiles(environ.get(PROFILE_VARIABLE, active), tables)


def set_value(
  profile: str | None,
  name: str,
  text: str,
  *,
  environ: Mapping[str, str] | None = None,
) -> None:
  """Writes an option into a profile, by default the active one.

  A profile that is not there yet is made. Lists are separated by commas, as
  are the NAME=VALUE of `env`; relative paths start from the current directory.

  Raises:
    ConfigError: there is no such option, or the text does not suit it.
    AcceleratorError: there is no such accelerator.
    StoreError: config.toml cannot be written.
  """
  where = "config"
  option = find(name, where=where)
  raw = option.parse(option.split(text), where=where)
  value = option.read(raw, base=Path.cwd(), where=where)
  option.check(value, where=where)
  kept = str(value) if isinstance(value, str | Path) else raw
  with edited(environ) as (document, current):
    if profile is None:
      profile = _existing(current.active, current, where=where)
    profile_table(document, profile)[name] = kept


def unset_value(
  profile: str | None, name: str, *, environ: Mapping[str, str] | None = None
) -> bool:
  """Takes an option out of a profile; whether it was there.

  Raises:
    ConfigError: there is no such option, or no such profile.
    StoreError: config.toml cannot be written.
  """
  where = "config"
  with edited(environ) as (document, current):
    profile = _existing(profile or current.active, current, where=where)
    if name not in current.tables[profile]:
      find(name, where=where)
      return False
    del profile_table(document, profile)[name]
    return True


def use_profile(name: str, *, environ: Mapping[str, str] | None = None) -> None:
  """Makes a profile the active one.

  Raises:
    ConfigError: there is no such profile.
    StoreError: config.toml cannot be written.
  """
  with edited(environ) as (document, current):
    document[ACTIVE] = _existing(name, current, where="config")


def _sources(
  arguments: Mapping[str, object], cwd: Path, environ: Mapping[str, str]
) -> Iterator[_Source]:
  """All that say something, from the lowest."""
  _check_variables(environ)
  pyproject = _pyproject_source(cwd)
  profile = _profile_source(environ)
  chosen = PROFILE_VARIABLE in environ
  yield from (pyproject, profile) if chosen else (profile, pyproject)
  for name, option in OPTIONS.items():
    if option.variable is not None and option.variable in environ:
      variable = option.variable
      texts = option.split(environ[variable])
      value = option.parse(texts, where=variable)
      yield _Source({name: value}, variable, cwd)
  yield _Source(arguments, "argument", cwd)
  yield from list(_overrides)


def _check_variables(environ: Mapping[str, str]) -> None:
  ours = [name for name in environ if name.startswith(VARIABLE_PREFIX)]
  for name in ours:
    if not environ[name].strip():
      raise errors.ConfigError(
        f"{name} is set but empty: give it a value, or `unset {name}`"
      )
  settable = [PROFILE_VARIABLE, constants.HOME_VARIABLE] + [
    option.variable for option in OPTIONS.values() if option.variable
  ]
  unknown = set(ours) - {*settable, constants.OUTPUT_DIR_VARIABLE}
  if unknown:
    from keras_remote.job import launch  # Only a job's process has these.

    unknown -= launch.VARIABLES
  if unknown:
    name = min(unknown)
    raise errors.ConfigError(
      f"{name} is no variable of keras_remote: {nearest(name, settable)}"
    )


def _pyproject_source(cwd: Path) -> _Source:
  for folder in (cwd, *cwd.parents):
    path = folder / "pyproject.toml"
    if os.path.isfile(path):
      tool = _table(_toml(path).get("tool", {}), f"{path}: tool")
      where = f"pyproject.toml [tool.keras_remote] ({path})"
      if "keras-remote" in tool:
        raise errors.ConfigError(
          f"{path}: [tool.keras-remote] is never read: write"
          " [tool.keras_remote]"
        )
      return _Source(_table(tool.get("keras_remote", {}), where), where, folder)
  return _Source({}, "", cwd)


def _profile_source(environ: Mapping[str, str]) -> _Source:
  folder = home(environ)
  config = Home(folder).config
  current = profiles(environ=environ)
  who = PROFILE_VARIABLE if PROFILE_VARIABLE in environ else f"{config}: active"
  active = _existing(current.active, current, where=who)
  where = f"profile {active!r} ({config})"
  return _Source(current.tables[active], where, folder)


def _existing(name: str, current: Profiles, *, where: str) -> str:
  """The name itself, if there is such a profile, else ConfigError."""
  if name in current.tables:
    return name
  raise errors.ConfigError(
    f"{where}: no profile is called {name!r}: there are"
    f" {', '.join(current.tables)}; `keras-remote config set` makes one"
  )


def _toml(path: Path) -> dict[str, Any]:
  """The file's contents, empty where there is none.

  Raises:
    ConfigError: it cannot be read, or is no TOML; names file and line.
  """
  try:
    data = path.read_bytes()
  except FileNotFoundError:
    return {}
  except OSError as error:
    raise errors.ConfigError(
      f"{path} cannot be read: {error.strerror}"
    ) from error
  import tomllib  # Most homes have no file.

  try:
    return tomllib.loads(data.decode())
  except UnicodeDecodeError as error:
    line = data.count(b"\n", 0, error.start) + 1
    raise errors.ConfigError(
      f"{path}: not UTF-8 (at line {line}): save it as UTF-8"
    ) from error
  except tomllib.TOMLDecodeError as error:
    raise errors.ConfigError(f"{path}: mend the TOML: {error}") from error


def _table(value: object, where: str) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise errors.ConfigError(f"{where} is a table, not {type(value).__name__}")
  return value


@contextlib.contextmanager
def edited(
  environ: Mapping[str, str] | None,
) -> Generator[tuple["tomlkit.TOMLDocument", Profiles]]:
  """config.toml as a document that keeps its comments; written at the end.

  Others who write it wait meanwhile.

  Raises:
    StoreError: it cannot be written.
  """
  import tomlkit  # Only for those who change the file.

  config = Home(home(environ)).config
  ensure_apart(config.parent)
  with holding(config.with_suffix(".lock")):
    current = profiles(environ=environ)
    document = tomlkit.parse(config.read_bytes() if config.exists() else "")
    yield document, current
    # Some keep theirs as a link into their dotfiles.
    write_private(config.resolve(), tomlkit.dumps(document).encode())


def profile_table(
  document: "tomlkit.TOMLDocument", name: str
) -> MutableMapping[str, Any]:
  """The profile's options in config.toml; a new profile is made there."""
  import tomlkit
  from tomlkit.items import Table

  if name == DEFAULT_PROFILE:
    return document
  if PROFILES not in document:
    document[PROFILES] = tomlkit.table(is_super_table=True)
  tables: Any = document[PROFILES]
  table = tables.setdefault(name, tomlkit.table())
  if isinstance(table, Table) and table.is_super_table():
    # Only [profiles.x.env] made it: give it a header, or it goes with that.
    tables[name] = tomlkit.table()
    tables[name].update(table)
  return tables[name]
