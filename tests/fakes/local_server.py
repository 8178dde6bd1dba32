"""A server on this machine, for as long as a block."""

import contextlib
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LOOPBACK = "127.0.0.1"


class LocalServer:
  """Serves requests on threads, from a block's begin to its end.

  Args:
    host: the address of this machine to listen at.
    tls: what it proves itself with; None is plain HTTP.

  Attributes:
    url: where it listens.
  """

  def __init__(
    self,
    handler: type[BaseHTTPRequestHandler],
    name: str,
    host: str = LOOPBACK,
    tls: ssl.SSLContext | None = None,
  ) -> None:
    self._handler = handler
    self._name = name
    self._tls = tls
    self._connections: set[socket.socket] = set()
    self._server = self._bound(host, 0)
    self._thread: threading.Thread | None = None
    scheme = "https" if tls else "http"
    self.url = f"{scheme}://{host}:{self._server.server_port}"

  def __enter__(self) -> Self:
    self.listen()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._end()
    self.disconnect()

  def listen(self) -> None:
    """Takes connections; it does within a block, but after `refuse`."""
    self._server.server_activate()
    self._thread = threading.Thread(
      target=self._server.serve_forever, args=(0.01,), name=self._name
    )
    self._thread.start()

  def refuse(self) -> None:
    """Refuses further connections; those that are open stay."""
    address = self._server.server_address
    self._end()
    # Bound, so that nobody else gets the port, and not listening.
    self._server = self._bound(str(address[0]), self._server.server_port)

  def disconnect(self) -> None:
    """Cuts all connections that are open."""
    shut(*list(self._connections))

  def _bound(self, host: str, port: int) -> "_Server":
    server = _Server((host, port), self._handler, self._tls, self._connections)
    server.server_bind()
    return server

  def _end(self) -> None:
    if self._thread:
      self._server.shutdown()
      self._thread.join()
      self._thread = None
    self._server.server_close()


def shut(*sockets: socket.socket) -> None:
  """Ends connections, from whatever thread: their own ones close them."""
  for each in sockets:
    with contextlib.suppress(OSError):
      # TLS has a shutdown of its own, which says goodbye.
      socket.socket.shutdown(each, socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
  daemon_threads = True
  # Many clients of a test begin at once.
  request_queue_size = 128

  def __init__(
    self,
    address: tuple[str, int],
    handler: type[BaseHTTPRequestHandler],
    tls: ssl.SSLContext | None,
    connections: set[socket.socket],
  ) -> None:
    self._tls = tls
    self._connections = connections
    super().__init__(address, handler, bind_and_activate=False)

  def get_request(self) -> tuple[socket.socket, object]:
    connection, address = super().get_request()
    if self._tls:
      # Python leaks what it wraps when the client has left.
      with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        connection.getpeername()
        undo.pop_all()
      # Each connection's own thread greets it: it may take its time.
      connection = self._tls.wrap_socket(
        connection, server_side=True, do_handshake_on_connect=False
      )
    self._connections.add(connection)
    return connection, address

  def close_request(self, request: Any) -> None:
    self._connections.discard(request)
    super().close_request(request)

  def handle_error(self, request: Any, client_address: Any) -> None:
    # Of connections that the other side has cut.
    if not isinstance(sys.exception(), OSError):
      super().handle_error(request, client_address)
