"""Lines of a .gitignore as rules with regular expressions.

Translated here and not by pathspec, which takes 20 ms to import and differs
from git in `dir/**`, in character classes and in what a `!` brings back; the
tests compare each with git itself.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# The names that POSIX gives to sets of ASCII characters, as in `[[:digit:]]`.
_POSIX = {
  "alnum": "0-9A-Za-z",
  "alpha": "A-Za-z",
  "blank": r" \t",
  "cntrl": r"\x00-\x1f\x7f",
  "digit": "0-9",
  "graph": "!-~",
  "lower": "a-z",
  "print": " -~",
  "punct": r"!-/:-@\[-`{-~",
  "space": r"\t-\r ",
  "upper": "A-Z",
  "xdigit": "0-9A-Fa-f",
}

# One step of a pattern; `**` crosses folders only where it is a whole segment.
_TOKEN = re.compile(
  r"""
  (?P<folders> (?:^|(?<=/)) \*\*+ / )
  | (?P<rest> (?:^|(?<=/)) \*\*+ $ )
  | (?P<star> \*+ )
  | (?P<one> \? )
  | \[ (?P<negated> [!^]? )
    (?P<members> (?: \[:[^\]]*:\] | \\. | [^\\] )
                 (?: \[:[^\]]*:\] | \\. | [^\\\]] )* ) \]
  | (?P<literal> \\. | [^\\\[] )
  """,
  re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(
  r"\[:(?P<posix>[^\]]*):\]|(?P<low>\\.|[^\\])(?:-(?P<high>\\.|[^\\]))?",
  re.DOTALL,
)
# A line up to its trailing spaces; a backslash keeps the space behind it.
_LINE = re.compile(r"(?P<text>(?:\\.|[^\\])*?) *", re.DOTALL)


@dataclass(frozen=True)
class Rule:
  """One line of an ignore file.

  Attributes:
    text: the line as written.
    origin: the file that holds it, from the top of the repository or, without
      one, from the root; empty for a default.
    line: its number in that file, from 1.
    keeps: the line starts with `!`: what it matches is not ignored.
    only_folders: the line ends with `/`.
    by_name: it is matched with the last part of a path, else with the whole.
    regex: what it matches, whole.
  """

  text: str
  origin: str
  line: int
  keeps: bool
  only_folders: bool
  by_name: bool
  regex: str

  @property
  def sweeps(self) -> bool:
    """The rule names nothing: it holds wildcards only, as `!*/` does."""
    return not set(self.text) - set("!*/")


def _members(text: str) -> str | None:
  """The inside of a regular expression's class; None for an unknown name."""
  parts: list[str] = []
  for member in _MEMBER.finditer(text):
    if (posix := member["posix"]) is not None:
      if posix not in _POSIX:
        return None
      parts.append(_POSIX[posix])
      continue
    low = member["low"][-1]
    high = (member["high"] or low)[-1]
    parts.append(re.escape(low))
    if low < high:
      parts.append(f"-{re.escape(high)}")
  return "".join(parts)


def to_regex(pattern: str) -> str | None:
  """A regular expression for one gitignore pattern, without `!` and end `/`.

  None where git lets the pattern match nothing: an open bracket, an unknown
  class, a backslash at its end.
  """
  regex: list[str] = []
  position = 0
  while position < len(pattern):
    token = _TOKEN.match(pattern, position)
    if token is None:
      return None
    position = token.end()
    if token["folders"]:
      regex.append("(?:.*/)?")
    elif token["rest"]:
      regex.append(".+")
    elif token["star"]:
      regex.append("[^/]*")
    elif token["one"]:
      regex.append("[^/]")
    elif token["literal"]:
      regex.append(re.escape(token["literal"][-1]))
    elif (members := _members(token["members"])) is None:
      return None
    else:
      regex.append(
        f"[^/{members}]" if token["negated"] else f"(?!/)[{members}]"
      )
  return "".join(regex)


def parse_rule(text: str, origin: str = "", line: int = 0) -> Rule | None:
  """The rule that a line states; None for a comment or an empty line."""
  whole = _LINE.fullmatch(text.removesuffix("\r"))
  text = whole["text"] if whole else text
  if text.startswith("#"):
    return None
  pattern = text.removeprefix("!")
  only_folders = pattern.endswith("/")
  pattern = pattern.removesuffix("/")
  by_name = "/" not in pattern
  regex = to_regex(pattern.removeprefix("/"))
  if not regex:
    return None
  keeps = text.startswith("!")
  return Rule(text, origin, line, keeps, only_folders, by_name, regex)


def parse_rules(text: str, origin: str = "") -> tuple[Rule, ...]:
  """The rules of a whole file, in its order."""
  lines = enumerate(text.removeprefix("\ufeff").split("\n"), 1)
  rules = (parse_rule(line, origin, number) for number, line in lines)
  return tuple(rule for rule in rules if rule)


def _finder(rules: Iterable[Rule]) -> Callable[[str], Rule | None]:
  """A function that gives the last rule to match a whole text."""
  latest_first = tuple(rules)[::-1]
  if not latest_first:
    return lambda text: None
  # One expression for all: the first group to match is the last rule's.
  match_all = re.compile(
    "|".join(f"({rule.regex})" for rule in latest_first), re.DOTALL
  ).fullmatch

  def find(text: str) -> Rule | None:
    match = match_all(text)
    return latest_first[(match.lastindex or 0) - 1] if match else None

  return find


class RuleFile:
  """The rules of one file; the last that matches decides, as in git."""

  def __init__(self, rules: tuple[Rule, ...]) -> None:
    files = [rule for rule in rules if not rule.only_folders]
    self._finders = {
      is_dir: (
        _finder(rule for rule in chosen if rule.by_name),
        _finder(rule for rule in chosen if not rule.by_name),
      )
      for is_dir, chosen in ((False, files), (True, rules))
    }

  def last(self, path: str, name: str, is_dir: bool) -> Rule | None:
    """The rule that decides on this path, relative to the file's folder."""
    find_name, find_path = self._finders[is_dir]
    by_name, by_path = find_name(name), find_path(path)
    if by_name and by_path:
      return max(by_name, by_path, key=lambda rule: rule.line)
    return by_name or by_path
