"""An answer of a cluster's that goes on: a watch, or a log."""

import contextlib
from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import HTTPError

_PIECE = 64 * 1024


class Stream:
  """An answer that goes on, until it is closed by either side."""

  def __init__(self, response: Any) -> None:
    self._response = response

  def pieces(self) -> Iterator[bytes]:
    """What comes, as it comes; ends also where the connection is lost."""
    # A socket that is shut down beneath TLS fails in several ways.
    with contextlib.suppress(HTTPError, OSError, ValueError, AttributeError):
      while piece := self._response.read1(_PIECE):
        yield piece

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
