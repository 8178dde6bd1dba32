"""A proxy before a real server, which fails as networks and servers do."""

import contextlib
import http.client
import itertools
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.fakes.local_server import LOOPBACK, LocalServer, shut

_PIECE = 64 * 1024
# Bytes of a body that a request keeps.
_BEGIN = 1024
# What concerns one connection only.
_OF_CONNECTION = {"connection", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Request:
  """One request, as the proxy sees it.

  Attributes:
    path: with the query.
    at: when it came, in seconds of `time.monotonic()`.
    begin: of its body, where uploads to a bucket name their object.
  """

  method: str
  path: str
  at: float
  begin: bytes = field(default=b"", repr=False)

  @property
  def watches(self) -> bool:
    """Whether it is a watch of a Kubernetes API."""
    return "watch=true" in self.path


@dataclass(frozen=True)
class Fault:
  """What goes wrong with a request.

  Attributes:
    status: of the answer that the client gets; None cuts the connection.
    arrives: whether the server gets the request, and only its answer is lost.
    body: what the client gets with the status.
    after: how many bytes of the lost answer come before the cut.
  """

  status: int | None = 503
  arrives: bool = False
  body: bytes = b""
  after: int = 0


# What goes wrong with a request, if anything.
Faults = Callable[[Request], Fault | None]


def anything(request: Request) -> bool:
  """Every request."""
  return True


def times(
  count: int, fault: Fault, wanted: Callable[[Request], bool] = anything
) -> Faults:
  """The fault, for the first so many requests that are as wanted."""
  numbers = itertools.count()
  return lambda request: (
    fault if wanted(request) and next(numbers) < count else None
  )


class HttpProxy(LocalServer):
  """Passes requests on, but for what `fault` says of each.

  Args:
    upstream: the server's address.
    trust: how a server that speaks TLS is known; None is plain HTTP.
    host: the address of this machine to listen at.
    tls: what this proxy proves itself with; None is plain HTTP.

  Attributes:
    requests: all that came, in order.
    connections: how many were opened.
    fault: asked of every request before it is passed on, on a thread of the
      request's own: one that takes its time makes the server slow.
    change: makes what clients get of each piece of an answer.
    headers: what to add to a request that came with these.
  """

  def __init__(
    self,
    upstream: str,
    *,
    trust: ssl.SSLContext | None = None,
    host: str = LOOPBACK,
    tls: ssl.SSLContext | None = None,
  ) -> None:
    self.requests: list[Request] = []
    self.connections = 0
    self.change: Callable[[bytes], bytes] = lambda data: data
    self.fault: Faults = lambda request: None
    self.headers: Callable[[dict[str, str]], dict[str, str]] = lambda _: {}
    self.upstream = upstream
    self._trust = trust
    self._answers: dict[Request, list[socket.socket]] = {}
    super().__init__(_handler(self), "proxy", host, tls)

  @property
  def open(self) -> list[Request]:
    """The requests that are being answered now: watches go on for minutes."""
    return list(self._answers)

  def cut(self, wanted: Callable[[Request], bool] = anything) -> int:
    """Cuts the answers to requests that are as wanted; how many they were."""
    found = [
      sockets
      for request, sockets in list(self._answers.items())
      if wanted(request)
    ]
    for sockets in found:
      shut(*sockets)
    return len(found)

  @contextlib.contextmanager
  def away(self) -> Iterator[None]:
    """For a block no server is there: all is cut, and nobody can connect."""
    self.refuse()
    self.cut()
    self.disconnect()
    try:
      yield
    finally:
      self.listen()

  @contextlib.contextmanager
  def answering(
    self, request: Request, *sockets: socket.socket
  ) -> Iterator[None]:
    """The block in which an answer goes from one socket to the other."""
    self._answers[request] = list(sockets)
    try:
      yield
    finally:
      del self._answers[request]

  def connect(self) -> http.client.HTTPConnection:
    """A new connection to the server."""
    address = urlsplit(self.upstream).netloc
    if self._trust:
      return http.client.HTTPSConnection(
        address, timeout=60, context=self._trust
      )
    return http.client.HTTPConnection(address, timeout=60)


@contextlib.contextmanager
def _leaving_with(
  client: socket.socket, server: socket.socket
) -> Iterator[None]:
  """For a block the server's connection ends when the client's has."""
  waiting, waking = socket.socketpair()

  def look() -> None:
    # Who waits for an answer that goes on sends nothing more.
    if client in select.select([client, waiting], [], [])[0]:
      shut(server)

  looking = threading.Thread(target=look, name="proxy looks", daemon=True)
  looking.start()
  try:
    yield
  finally:
    waking.close()
    looking.join()
    waiting.close()


def _handler(proxy: HttpProxy) -> type[BaseHTTPRequestHandler]:
  class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
      super().setup()
      proxy.connections += 1

    def log_message(self, format: str, *args: object) -> None:
      pass

    def serve(self) -> None:
      body = self._body()
      request = Request(
        self.command, self.path, time.monotonic(), body[:_BEGIN]
      )
      proxy.requests.append(request)
      fault = proxy.fault(request)
      try:
        if fault is None or fault.arrives:
          self._pass_on(request, body, fault)
        if fault and fault.status:
          self.send_response(fault.status)
          self.send_header("Content-Length", str(len(fault.body)))
          self.end_headers()
          self.wfile.write(fault.body)
      except (OSError, http.client.HTTPException):
        # One of the two is gone: the other one sees just that.
        self.close_connection = True
      if fault and not fault.status:
        self.close_connection = True

    def _body(self) -> bytes:
      if self.headers.get("Transfer-Encoding", "") != "chunked":
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))
      body = b""
      while size := int(self.rfile.readline(), 16):
        body += self.rfile.read(size)
        self.rfile.readline()
      self.rfile.readline()
      return body

    def _passed(self) -> dict[str, str]:
      passed = {
        name: value
        for name, value in self.headers.items()
        if name.lower() not in _OF_CONNECTION
      }
      return passed | proxy.headers(passed)

    def _pass_on(
      self, request: Request, body: bytes, fault: Fault | None
    ) -> None:
      with contextlib.closing(proxy.connect()) as upstream:
        upstream.request(self.command, self.path, body, self._passed())
        sock = upstream.sock
        with proxy.answering(request, self.connection, sock):
          answer = upstream.getresponse()
          if fault is None:
            goes_on = answer.getheader("Content-Length") is None
            with (
              _leaving_with(self.connection, sock)
              if goes_on
              else contextlib.nullcontext()
            ):
              self._answer(answer)
          elif fault.after:
            self._answer(answer, fault.after)
          else:
            answer.read()

    def _answer(
      self, answer: http.client.HTTPResponse, after: int | None = None
    ) -> None:
      """Passes the answer on as it comes: it may go on for ever."""
      self.send_response(answer.status)
      for name, value in answer.getheaders():
        if name.lower() not in _OF_CONNECTION:
          # What the server says of itself leads here too.
          self.send_header(name, value.replace(proxy.upstream, proxy.url))
      length = answer.getheader("Content-Length")
      if length is not None:
        self.send_header("Content-Length", length)
      else:
        self.send_header("Transfer-Encoding", "chunked")
      self.end_headers()
      while data := answer.read1(_PIECE):
        data = proxy.change(data)[:after]
        self.wfile.write(
          data if length is not None else b"%x\r\n%s\r\n" % (len(data), data)
        )
        self.wfile.flush()
        if after is not None:
          return
      if length is None:
        self.wfile.write(b"0\r\n\r\n")

  for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.serve)
  return Handler
