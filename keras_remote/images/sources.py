"""Where a user says what a job needs: read line by line, and checked."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from keras_remote import errors
from keras_remote.job import redact

REQUIREMENTS, PYPROJECT = "requirements.txt", "pyproject.toml"
_COMMENT = re.compile(r"(^|\s)#.*$")
# What stands behind a requirement, such as its hashes.
_OPTIONS = re.compile(r"\s--[a-z][\w-]*[\s=].*$")
_INCLUDE = re.compile(
  r"(?P<what>-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(?P<file>.+)"
)
_EDITABLE = re.compile(r"(?:-e\s*|--editable(?:\s+|=))(?P<what>.+)")
# They say where packages are, or which of them are good enough.
_UNHEARD = re.compile(
  r"(?P<option>-i|-f|--(?:index-url|extra-index-url|find-links|no-index|pre|"
  r"no-binary|only-binary|prefer-binary|trusted-host|require-hashes|"
  r"use-feature))\b"
)
# A path: it begins or ends so, or has a slash that is no address's.
_LOCAL = re.compile(r"[./~]|file:|[^@:]*[\\/]|[^@:]*\.(whl|zip|tar\.gz)$")
# What the job's installer puts a value in place of.
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
# By such a part of its query whoever has an address may read what is there.
_SIGNED = re.compile(r"(?i)(^|[_-])sig(nature)?$")


@dataclass(frozen=True)
class Line:
  """A requirement, and who asks for it.

  Attributes:
    where: such as "requirements.txt, line 3".
  """

  requirement: Requirement
  where: str

  def __str__(self) -> str:
    return f"{self.requirement} ({self.where})"


@dataclass(frozen=True)
class Found:
  """What the user asks for.

  Attributes:
    constraints: they say which version, not that there is to be one.
    notes: what is not done as it is written, as sentences.
  """

  lines: tuple[Line, ...] = ()
  constraints: tuple[Line, ...] = ()
  notes: tuple[str, ...] = ()


def read(dependencies: Sequence[str] | Path | None, root: Path) -> Found:
  """What `dependencies=` says, else requirements.txt, else pyproject.toml.

  Args:
    dependencies: lines, or the path of a requirements file.
    root: the project.

  Raises:
    ConfigError: a line is none, or a file cannot be read.
  """
  reader = _Reader(root.resolve())
  if isinstance(dependencies, Path):
    reader.file(dependencies)
  elif dependencies is not None:
    for number, text in enumerate(dependencies, start=1):
      reader.line(text, f"dependencies=, item {number}", root)
  elif (root / REQUIREMENTS).is_file():
    reader.file(root / REQUIREMENTS)
  elif (root / PYPROJECT).is_file():
    for number, text in enumerate(_project(root / PYPROJECT), start=1):
      where = f"{PYPROJECT}, project.dependencies, item {number}"
      reader.line(text, where, root)
  return reader.found()


class _Reader:
  """Gathers the lines of files that name each other."""

  def __init__(self, root: Path) -> None:
    self._root = root
    self._lines: list[Line] = []
    self._constraints: list[Line] = []
    self._notes: list[str] = []
    self._open: set[Path] = set()

  def found(self) -> Found:
    """All that was read."""
    return Found(
      tuple(self._lines), tuple(self._constraints), tuple(self._notes)
    )

  def file(self, path: Path, *, constrains: bool = False) -> None:
    """Reads a requirements file, and those that it names."""
    path = path.resolve()
    if path in self._open:
      return
    self._open.add(path)
    for number, text in _logical(_text(path)):
      where = f"{self._shown(path)}, line {number}"
      self.line(text, where, path.parent, constrains=constrains)
    self._open.discard(path)

  def line(
    self, text: str, where: str, folder: Path, *, constrains: bool = False
  ) -> None:
    """Reads a line of such a file."""
    text = _COMMENT.sub("", text).strip()
    if not text:
      return
    if included := _INCLUDE.fullmatch(text):
      only = constrains or included["what"] in ("-c", "--constraint")
      self._include(included["file"], where, folder, constrains=only)
    elif editable := _EDITABLE.fullmatch(text):
      if "+" in editable["what"].partition("://")[0]:
        raise errors.ConfigError(
          f"{where}: what is edited in a repository is not in the project: "
          "write 'name @ git+https://…' in place of -e"
        )
      self._leave_out(editable["what"], where)
    elif unheard := _UNHEARD.match(text):
      # What follows may hold a password.
      self._notes.append(
        f"{where}: {unheard['option']} is not followed: give the job's "
        "installer a variable such as UV_DEFAULT_INDEX or UV_INDEX, by env= or "
        "capture_env_vars="
      )
    elif text.startswith("-"):
      option = text.split("=")[0].split()[0]
      raise errors.ConfigError(
        f"{where}: {option} is no option that is known here: leave it out"
      )
    else:
      self._require(text, where, constrains=constrains)

  def _include(
    self, name: str, where: str, folder: Path, *, constrains: bool
  ) -> None:
    path = (folder / name.strip("\"'")).resolve()
    if not path.is_relative_to(self._root) and path.parent != folder:
      raise errors.ConfigError(
        f"{where}: {name} lies outside of the project {self._root}: copy it "
        "there, or name it by dependencies="
      )
    if not path.is_file():
      raise errors.ConfigError(f"{where}: there is no file {name}")
    self.file(path, constrains=constrains)

  def _require(self, text: str, where: str, *, constrains: bool) -> None:
    plain = _OPTIONS.sub("", text)
    if plain != text:
      self._notes.append(
        f"{where}: what follows {plain} is not followed, such as hashes"
      )
    head = plain.partition(";")[0].strip()
    if _LOCAL.match(head):
      return self._leave_out(plain, where)
    if "://" in head.partition("@")[0] or head.startswith("git+"):
      raise errors.ConfigError(
        f"{where}: an address needs the package's name before it: write "
        "'name @ https://…'"
      )
    try:
      requirement = Requirement(plain)
    except InvalidRequirement as error:
      why = str(error).split("\n")[0]
      raise errors.ConfigError(
        f"{where}: {plain!r} is no requirement, such as 'scipy>=1.11': {why}"
      ) from None
    if requirement.url:
      try:
        address = urlsplit(requirement.url)
      except ValueError as error:
        raise errors.ConfigError(
          f"{where}: the address of {requirement.name} is none: {error}"
        ) from None
      if address.scheme == "file":
        return self._leave_out(plain, where)
      if secret := _secret(address):
        raise errors.ConfigError(
          f"{where}: the address of {requirement.name} holds {secret}, which "
          "would be kept with the job: write ${TOKEN} in its place, and give "
          "TOKEN by env= or capture_env_vars="
        )
    kept = self._constraints if constrains else self._lines
    kept.append(Line(requirement, where))
    return None

  def _leave_out(self, what: str, where: str) -> None:
    self._notes.append(
      f"{where}: {what} is not installed: the project goes along, and imports "
      "from it work as here"
    )

  def _shown(self, path: Path) -> str:
    if path.is_relative_to(self._root):
      return path.relative_to(self._root).as_posix()
    return str(path)


def _secret(address: SplitResult) -> str:
  """What may be a secret in the address, in words; "" for nothing."""
  user, password = address.username or "", address.password or ""
  if password and not _VARIABLE.fullmatch(password):
    return "a password"
  # A token stands where a user's name does; with ssh that is an account.
  open_ = user in ("", "git") or address.scheme.endswith("ssh")
  if not (open_ or password or _VARIABLE.fullmatch(user)):
    return "a user's name or token"
  for part in (address.query, address.fragment):
    for name, value in parse_qsl(part):
      told = redact.is_secret_name(name) or _SIGNED.search(name)
      if told and not _VARIABLE.fullmatch(value):
        return f"'{name}='"
  return ""


def _logical(text: str) -> Iterator[tuple[int, str]]:
  """The lines with their numbers; one that ends in a backslash goes on."""
  start, begun = 0, ""
  for number, line in enumerate(text.splitlines(), start=1):
    start = start or number
    if line.endswith("\\") and not line.lstrip().startswith("#"):
      begun += line[:-1]
      continue
    yield start, begun + line
    start, begun = 0, ""
  if begun:
    yield start, begun


def _text(path: Path) -> str:
  try:
    return path.read_text("utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    why = getattr(error, "strerror", None) or "it is no UTF-8"
    raise errors.ConfigError(
      f"the requirements file {path} cannot be read: {why}"
    ) from error


def _project(path: Path) -> list[str]:
  try:
    document: dict[str, Any] = tomllib.loads(_text(path))
  except tomllib.TOMLDecodeError as error:
    raise errors.ConfigError(f"{path} is no TOML: {error}") from error
  project = document.get("project", {})
  found = project.get("dependencies", []) if isinstance(project, dict) else []
  if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
    raise errors.ConfigError(
      f"{path}: project.dependencies is to be a list of texts"
    )
  return found
