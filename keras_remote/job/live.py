"""A live view that shows whole lines only, such as Kubernetes has.

A progress bar, which has no newline, would not be seen in it until its end.
So the job's first process breaks such a line with a mark, and who reads takes
the marks out again: every byte of the job's stays at its offset.
"""

# A control string, which terminals do not show, and the newline.
BREAK = b"\x1b_keras_remote\x1b\\\n"


class Joiner:
  """Takes the marks out of what is read, wherever its pieces are cut.

  Attributes:
    rest: what may be the begin of a mark; without its end it is none.
  """

  def __init__(self) -> None:
    self.rest = b""

  def take(self, piece: bytes) -> bytes:
    """What the job printed, up to what may be the begin of a mark."""
    text = (self.rest + piece).replace(BREAK, b"")
    length = next(
      size
      for size in range(len(BREAK) - 1, -1, -1)
      if text.endswith(BREAK[:size])
    )
    end = len(text) - length
    self.rest = text[end:]
    return text[:end]
