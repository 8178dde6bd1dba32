"""A proxy before a real server, which fails as networks and servers do."""

import contextlib
import http.client
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.fakes.local_server import LocalServer

_PIECE = 64 * 1024
# What concerns one connection only.
_OF_CONNECTION = {"connection", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Request:
  """One request, as the proxy sees it."""

  method: str
  path: str


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


class HttpProxy(LocalServer):
  """Passes requests on, but for what `fault` says of each.

  Attributes:
    requests: all that came, in order.
    connections: how many were opened.
    fault: asked of every request before it is passed on.
    change: makes what clients get of each piece of an answer.
  """

  def __init__(self, upstream: str) -> None:
    self.requests: list[Request] = []
    self.connections = 0
    self.change: Callable[[bytes], bytes] = lambda data: data
    self.fault: Callable[[Request], Fault | None] = lambda request: None
    self.upstream = upstream
    super().__init__(_handler(self), "proxy")


def _handler(proxy: HttpProxy) -> type[BaseHTTPRequestHandler]:
  class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
      super().setup()
      proxy.connections += 1

    def log_message(self, format: str, *args: object) -> None:
      pass

    def serve(self) -> None:
      request = Request(self.command, self.path)
      body = self._body()
      proxy.requests.append(request)
      fault = proxy.fault(request)
      try:
        if fault is None or fault.arrives:
          self._pass_on(body, fault)
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
      return {
        name: value
        for name, value in self.headers.items()
        if name.lower() not in _OF_CONNECTION
      }

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
      address = urlsplit(proxy.upstream).netloc
      upstream = http.client.HTTPConnection(address, timeout=60)
      with contextlib.closing(upstream):
        upstream.request(self.command, self.path, body, self._passed())
        answer = upstream.getresponse()
        if fault is None:
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
