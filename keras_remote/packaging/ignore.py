"""What of a project stays here: the rules of git, of its user, and defaults.

Who decides, first to last: .kerasremoteignore, the defaults, .gitignore,
.git/info/exclude; of several files of one name, the deepest. A folder that is
kept back hides all that is in it. A `!*/` or the like in .kerasremoteignore
does not bring a default back: only a rule that names something does.
"""

import functools
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

from keras_remote.errors import PackagingError
from keras_remote.packaging.patterns import Rule, RuleFile, parse_rules

OWN_RULES = ".kerasremoteignore"

_DEFAULTS = """
.git
.hg/
.svn/
.venv/
venv/
__pycache__/
*.py[co]
.pytest_cache/
.mypy_cache/
.ruff_cache/
.hypothesis/
.ipynb_checkpoints/
.import_linter_cache/
.tox/
.nox/
.eggs/
node_modules/
.DS_Store
.env
.env.*
.envrc
!.env.example
!.env.sample
!.env.template
.netrc
.pypirc
.ssh/
.aws/
.gnupg/
id_rsa*
id_dsa*
id_ecdsa*
id_ed25519*
*.pem
*.key
*.p12
*.pfx
*service-account*.json
*service_account*.json
application_default_credentials.json
"""
# What lies at the top of a virtual environment, whatever its name.
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


@functools.cache
def _defaults() -> RuleFile:
  return RuleFile(parse_rules(_DEFAULTS))


@functools.cache
def _environment_rule(mark: str) -> Rule:
  return Rule(f"*/{mark}", "", 0, False, True, False, "")


@dataclass(frozen=True)
class _RulesAt:
  """A file of rules and the length of its folder's path, with its slash."""

  depth: int
  rules: RuleFile

  def last(self, path: str, name: str, is_dir: bool) -> Rule | None:
    return self.rules.last(path[self.depth :], name, is_dir)


@dataclass(frozen=True)
class _Folder:
  """The files of rules that reach into a folder, the deepest first."""

  own: tuple[_RulesAt, ...] = ()
  git: tuple[_RulesAt, ...] = ()


class Ignore:
  """Decides what of a project is kept back.

  Paths are relative to the root, with forward slashes. A rule file that is
  there but cannot be read raises PackagingError.
  """

  def __init__(self, root: Path) -> None:
    # Rules above the root count up to the top of its git repository, unless
    # they keep back the root itself: whoever runs from there wants it.
    places = (root, *root.parents)
    top = next((p for p in places if os.path.exists(p / ".git")), root)
    self._open(top)
    self._prefix = ""
    if top != root:
      prefix = root.relative_to(top).as_posix()
      if self._hiding(prefix, is_dir=True):
        self._open(root)
      else:
        self._prefix = f"{prefix}/"

  def _open(self, top: Path) -> None:
    self._top = str(top)
    self._folders: dict[str, _Folder] = {}

  def rule(self, relative: str, is_dir: bool) -> Rule | None:
    """The rule that keeps this entry back, were its folders sent; or None."""
    return self._rule(self._prefix + relative, is_dir)

  def ignored(self, relative: str, is_dir: bool) -> bool:
    """Whether this entry is kept back, by itself or with a folder of its."""
    return self._hiding(self._prefix + relative, is_dir) is not None

  def explain(self, relative: str) -> str | None:
    """A sentence that says which rule keeps this entry back; None if sent."""
    relative = posixpath.normpath(relative)
    if relative in (".", "..") or relative.startswith(("../", "/")):
      return None
    path = self._prefix + relative
    hiding = self._hiding(path, os.path.isdir(f"{self._top}/{path}"))
    if hiding is None:
      return None
    hidden, rule = hiding
    subject = relative
    if hidden != path:
      subject += f", in {hidden.removeprefix(self._prefix)}/,"
    cure = f"'!{hidden.rpartition('/')[2]}' in {OWN_RULES} sends it"
    origin = f"{rule.origin} line {rule.line}" if rule.origin else "a default"
    return (
      f"{subject} is kept back by the rule '{rule.text}' ({origin}); {cure}"
    )

  def _hiding(self, path: str, is_dir: bool) -> tuple[str, Rule] | None:
    """The outermost entry on the way to `path` that a rule keeps back."""
    end = path.find("/")
    while end > 0:
      if rule := self._rule(path[:end], is_dir=True):
        return path[:end], rule
      end = path.find("/", end + 1)
    rule = self._rule(path, is_dir)
    return (path, rule) if rule else None

  def _rule(self, path: str, is_dir: bool) -> Rule | None:
    parent, _, name = path.rpartition("/")
    folder = self._folders.get(parent) or self._folder(parent)
    rule: Rule | None = None
    for own in folder.own:
      if rule := own.last(path, name, is_dir):
        break
    if rule is None or rule.sweeps:
      default = self._default(path, name, is_dir)
      if default and not default.keeps:
        return default
    if rule is None:
      for git in folder.git:
        if rule := git.last(path, name, is_dir):
          break
    return None if rule is None or rule.keeps else rule

  def _default(self, path: str, name: str, is_dir: bool) -> Rule | None:
    if is_dir:
      for mark in _ENVIRONMENT_MARKS:
        if os.path.exists(f"{self._top}/{path}/{mark}"):
          return _environment_rule(mark)
    return _defaults().last(name, name, is_dir)

  def _folder(self, path: str) -> _Folder:
    """The rules that reach into the folder; the top's path is empty."""
    if (known := self._folders.get(path)) is not None:
      return known
    if path:
      above = self._folder(path.rpartition("/")[0])
    else:
      above = _Folder(git=self._read("", ".git/info/exclude"))
    folder = _Folder(
      self._read(path, OWN_RULES) + above.own,
      self._read(path, ".gitignore") + above.git,
    )
    self._folders[path] = folder
    return folder

  def _read(self, folder: str, name: str) -> tuple[_RulesAt, ...]:
    """The rules of a file in the folder; none where there is no such file."""
    origin = f"{folder}/{name}" if folder else name
    path = f"{self._top}/{origin}"
    if not os.path.isfile(path):
      return ()
    try:
      with open(
        path, encoding="utf-8", errors="surrogateescape", newline="\n"
      ) as file:
        text = file.read()
    except FileNotFoundError:
      return ()
    except OSError as error:
      raise PackagingError(
        f"the ignore rules of {path} cannot be read ({error.strerror}); make"
        " the file readable or remove it"
      ) from error
    rules = parse_rules(text, origin)
    depth = len(folder) + 1 if folder else 0
    return (_RulesAt(depth, RuleFile(rules)),) if rules else ()
