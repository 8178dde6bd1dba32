"""An answer of a cluster's that goes on: a watch, or a log."""

import contextlib
from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import HTTPError

_PIECE = 64 * 1024


class Stream:
  """An answer that goes on, until it is closed by either side.

  Attributes:
    cut: whether the connection was lost, and it did not come to its end.
  """

  def __init__(self, response: Any) -> None:
    self._response = response
    self.cut = False

  def pieces(self) -> Iterator[bytes]:
    """What comes, as it comes; ends also where the connection is lost."""
    # A socket that is shut down beneath TLS fails in several ways.
    try:
      while piece := self._response.read1(_PIECE):
        yield piece
    except (HTTPError, OSError, ValueError, AttributeError):
      self.cut = True

  def lines(self) -> Iterator[bytes]:
    """The whole lines of it."""
    rest = b""
    for piece in self.pieces():
      *lines, rest = (rest + piece).split(b"\n")
      yield from lines

  def stop(self) -> None:
    """Ends it from another thread."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
      self._response.shutdown()

  def close(self) -> None:
    """Closes its connection."""
    self._response.close()
