"""Text as people may be shown it, such as what somebody else wrote."""

import re
from collections.abc import Sequence

# More of it nobody reads.
_LONGEST = 500
# Colours and the like, which are over when a line says so.
_STYLES = re.compile(r"(\x1b\[[0-9;]*m)")


def one_line(text: str) -> str:
  """The text in one line that any terminal shows as it is, and not too long.

  What moves a cursor or changes a terminal's state is left out.
  """
  line = " ".join(text.split())
  line = "".join(each for each in line if each.isprintable())
  return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def joined(names: Sequence[str]) -> str:
  """The names, of which there is one, as a sentence has them: `a, b and c`."""
  *most, last = names
  return f"{', '.join(most)} and {last}" if most else last


def of_host(host: int, sentence: str) -> str:
  """What is said of a pod or a process, as a sentence about its host."""
  for begin, instead in (("its ", f"host {host}'s "), ("it ", f"host {host} ")):
    if sentence.startswith(begin):
      return instead + sentence.removeprefix(begin)
  return f"host {host}: {sentence}"


def printable(text: str, *, styles: bool = False) -> str:
  """The text in its own lines, without what a terminal would obey.

  Args:
    styles: whether colours and the like stay.
  """
  parts = _STYLES.split(text.replace("\r\n", "\n"))
  # Every second is a style.
  return "".join(
    part if styles and index % 2 else "".join(map(_shown, part))
    for index, part in enumerate(parts)
  )


def _shown(letter: str) -> str:
  if letter.isprintable() or letter in "\n\t":
    return letter
  return " " if letter.isspace() else ""
