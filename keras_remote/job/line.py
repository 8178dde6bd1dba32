"""Text that somebody else wrote, as one line for people."""

# More of it nobody reads.
_LONGEST = 500


def one_line(text: str) -> str:
  """The text in one line that any terminal shows as it is, and not too long.

  What moves a cursor or changes a terminal's state is left out.
  """
  line = " ".join(text.split())
  line = "".join(each for each in line if each.isprintable())
  return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
