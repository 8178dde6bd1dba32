"""A server on this machine, for as long as a block."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class LocalServer:
  """Serves requests on threads, from a block's begin to its end.

  Attributes:
    url: where it listens.
  """

  def __init__(self, handler: type[BaseHTTPRequestHandler], name: str) -> None:
    self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    self._server.daemon_threads = True
    self.url = f"http://127.0.0.1:{self._server.server_port}"
    self._thread = threading.Thread(
      target=self._server.serve_forever, args=(0.01,), name=name
    )

  def __enter__(self) -> Self:
    self._thread.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()
