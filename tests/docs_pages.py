"""The pages of the docs, as their tests read them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, *sorted(DOCS.glob("**/*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_NAMED = re.compile(r"# ([\w./-]+\.\w+)\n")
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
  """A fenced block.

  Attributes:
    line: of its page, where it begins.
  """

  language: str
  text: str
  line: int

  @property
  def name(self) -> str | None:
    """The file that it is kept as."""
    named = _NAMED.match(self.text)
    return named and named[1]


def blocks(page: Path) -> Iterator[Block]:
  """The fenced blocks of a page, in their order."""
  text = page.read_text()
  for found in _BLOCK.finditer(text):
    line = text.count("\n", 0, found.start()) + 1
    yield Block(found[1], found[2], line)


def inline(page: Path) -> list[str]:
  """What stands in backquotes outside of the blocks."""
  return _INLINE.findall(_BLOCK.sub("", page.read_text()))


def label(page: Path) -> str:
  """The page's name as a part of a test's name."""
  path = page.relative_to(ROOT).with_suffix("").as_posix()
  return re.sub(r"\W", "_", path)
