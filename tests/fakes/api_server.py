"""The part of a Kubernetes API server that the client uses, in memory.

It keeps objects with their versions, and tells watches of changes. It starts
nothing: the pods of a Job are what a test puts there.
"""

import copy
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.local_server import LocalServer

Object = dict[str, Any]
# Where an object is: its kind's path, and its name.
Place = tuple[str, str]

_LOOK = 0.02
_APPLIES = "application/apply-patch+yaml"
# What it says that there is; whether in a namespace.
_RESOURCES = {
  "api/v1": {
    "Namespace": ("namespaces", False),
    "ServiceAccount": ("serviceaccounts", True),
    "ResourceQuota": ("resourcequotas", True),
  },
  "apis/rbac.authorization.k8s.io/v1": {
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
  },
  "apis/apiextensions.k8s.io/v1": {
    "CustomResourceDefinition": ("customresourcedefinitions", False),
  },
}


@dataclass(frozen=True)
class Request:
  """One request, as the server sees it."""

  method: str
  path: str
  query: dict[str, str]
  headers: dict[str, str]
  body: Object


class ApiServer(LocalServer):
  """A server on this machine, for as long as its block.

  Args:
    tls: what it proves itself with; None is plain HTTP.

  Attributes:
    requests: all that came, in order.
    fault: asked of every request: a status for its answer, 0 to cut it off,
      None to serve it.
    namespaces: those that there are, for who asks.
    groups: those of custom resources, such as "example.com/v1".
    forbidden: what the user may not do, such as "get pods/log"; it is only
      told, and refused by a `fault`.
    logs: what the container of each pod has printed, by the pod's name.
    warning: what it says to each creation, or "".
    torn: bytes of a log after which its connection breaks; None: it does not.
    odd: lines, each for one watch that begins: it sends that and ends.
  """

  def __init__(self, tls: ssl.SSLContext | None = None) -> None:
    self.requests: list[Request] = []
    self.fault: Callable[[Request], int | None] = lambda request: None
    self.logs: dict[str, bytes] = {}
    self.warning = ""
    self.torn: int | None = None
    self.odd: list[bytes] = []
    self.namespaces = {"team"}
    self.groups: set[str] = set()
    self.forbidden: set[str] = set()
    self._objects: dict[Place, Object] = {}
    self._events: list[tuple[int, str, Place, Object]] = []
    self._version = self._oldest = 100
    self._cuts = 0
    self._change = threading.Condition()
    super().__init__(_handler(self), "api server", tls=tls)

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.cut()
    super().__exit__(kind, error, trace)

  def put(self, path: str, body: Object) -> Object:
    """Creates or replaces an object of the kind at this path."""
    with self._change:
      place = (path, body["metadata"]["name"])
      kind = "MODIFIED" if place in self._objects else "ADDED"
      found = copy.deepcopy(body)
      found["metadata"].setdefault("uid", f"uid-{place[1]}")
      found["metadata"].setdefault("creationTimestamp", "2026-01-02T03:04:05Z")
      self._tell(kind, place, found)
      self._objects[place] = found
      return found

  def remove(self, path: str, name: str) -> Object | None:
    """Removes an object; None where there was none."""
    with self._change:
      found = self._objects.pop((path, name), None)
      if found:
        self._tell("DELETED", (path, name), copy.deepcopy(found))
      return found

  def get(self, path: str, name: str) -> Object | None:
    """An object, or None."""
    return self._objects.get((path, name))

  def forget(self) -> None:
    """Keeps no change for watches that begin later: they get a 410."""
    with self._change:
      self._version += 1
      self._oldest = self._version

  def cut(self) -> None:
    """Cuts off all watches and logs."""
    with self._change:
      self._cuts += 1
      self._change.notify_all()

  def _tell(self, kind: str, place: Place, found: Object) -> None:
    self._version += 1
    found["metadata"]["resourceVersion"] = str(self._version)
    self._events.append((self._version, kind, place, found))
    self._change.notify_all()

  def answer(self, request: Request) -> tuple[int, Object]:
    """The status and body of what is no stream."""
    of_cluster = self._of_cluster(request)
    if of_cluster:
      return of_cluster
    path, name = _split(request.path)
    match request.method:
      case "GET" if name:
        found = self.get(path, name)
        return (200, found) if found else (404, _status("not found"))
      case "GET":
        return 200, self._list(path, request.query)
      case "POST":
        new = request.body["metadata"]["name"]
        if self.get(path, new):
          return 409, _status("already exists", "AlreadyExists")
        if "dryRun" in request.query:
          return 201, request.body
        return 201, self.put(path, request.body)
      case "PATCH" if request.headers["Content-Type"] == _APPLIES:
        return self._applied(path, name, request)
      case "PATCH":
        found = self.get(path, name)
        if not found:
          return 404, _status("not found")
        return 200, self.put(path, _merged(found, request.body))
      case "DELETE" if name:
        uid = request.body.get("preconditions", {}).get("uid")
        found = self.get(path, name)
        if uid and found and found["metadata"]["uid"] != uid:
          return 409, _status("another one", "Conflict")
        removed = self.remove(path, name)
        return (200, removed) if removed else (404, _status("not found"))
      case "DELETE":
        for each in self._list(path, request.query)["items"]:
          self.remove(path, each["metadata"]["name"])
        return 200, _status("gone")
    return 405, _status("what?")

  def _of_cluster(self, request: Request) -> tuple[int, Object] | None:
    """The answer to what is about no object of a namespace."""
    parts = request.path.strip("/").split("/")
    name = parts[-1]
    match (request.method, *parts[:-1]):
      case ("GET",) if name == "version":
        return 200, {"gitVersion": "v1.34.0"}
      case ("GET", "api", "v1", "namespaces"):
        there = name in self.namespaces
        metadata = {"name": name, "resourceVersion": "1"}
        return (
          (200, {"kind": "Namespace", "metadata": metadata})
          if there
          else (404, _status("not found"))
        )
      case ("PATCH", "api", "v1", "namespaces"):
        self.namespaces.add(name)
        return 200, {"metadata": {"name": name, "resourceVersion": "1"}}
      case ("POST", "api", "v1") if name == "namespaces":
        self.namespaces.add(request.body["metadata"]["name"])
        return 201, {}
      case ("POST", *_) if name == "selfsubjectaccessreviews":
        asked = request.body["spec"]["resourceAttributes"]
        right = f"{asked['verb']} {asked['resource']}"
        right += f"/{asked['subresource']}" if asked["subresource"] else ""
        return 201, {"status": {"allowed": right not in self.forbidden}}
      case ("GET", *group) if group and group[0] in ("api", "apis"):
        return self._group("/".join((*group, name)))
    return None

  def _group(self, path: str) -> tuple[int, Object] | None:
    """What there is of a group's version; None where it is none's path."""
    if path.count("/") != path.startswith("apis/") + 1:
      return None
    known = _RESOURCES.get(path, {})
    if not known and path.removeprefix("apis/") not in self.groups:
      return 404, _status("not found")
    resources = [
      {"kind": kind, "name": plural, "namespaced": namespaced}
      for kind, (plural, namespaced) in known.items()
    ]
    return 200, {"kind": "APIResourceList", "resources": resources}

  def _applied(
    self, path: str, name: str, request: Request
  ) -> tuple[int, Object]:
    """A server-side apply; of fields that went it knows those of lists."""
    managers = {"managedFields": [{"manager": request.query["fieldManager"]}]}
    body = _merged(request.body, {"metadata": managers})
    found = self.get(path, name)
    merged = _merged(found or {}, body)
    same = found is not None and merged == found
    return 200, found if same and found else self.put(path, merged)

  def watch(self, request: Request, send: Callable[[bytes], None]) -> None:
    """Sends changes until it is cut off."""
    last, cuts = int(request.query["resourceVersion"]), self._cuts
    path, _ = _split(request.path)
    if self.odd:
      send(self.odd.pop() + b"\n")
      return
    if last < self._oldest:
      gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
      send(json.dumps(gone).encode() + b"\n")
      return
    while self._cuts == cuts:
      with self._change:
        news = [event for event in self._events if event[0] > last]
        if not news:
          self._change.wait(_LOOK)
      for version, kind, place, found in news:
        last = version
        if place[0] == path and _matches(found, request.query):
          event = {"type": kind, "object": found}
          send(json.dumps(event).encode() + b"\n")

  def log(self, request: Request, send: Callable[[bytes], None]) -> None:
    """Sends a pod's log; one that is followed until it is cut off."""
    name, cuts, sent = request.path.split("/")[-2], self._cuts, 0
    if self.torn is not None:
      send(self.logs[name][: self.torn])
      raise ConnectionAbortedError
    while True:
      printed = self.logs[name]
      if printed[sent:]:
        send(printed[sent:])
      sent = len(printed)
      if "follow" not in request.query or self._cuts != cuts:
        return
      with self._change:
        self._change.wait(_LOOK)

  def _list(self, path: str, query: dict[str, str]) -> Object:
    with self._change:
      items = [
        found
        for place, found in self._objects.items()
        if place[0] == path and _matches(found, query)
      ]
      version = {"resourceVersion": str(self._version)}
      return {"metadata": version, "items": items}


def _matches(found: Object, query: dict[str, str]) -> bool:
  labels = found["metadata"].get("labels", {})
  wanted = [each for each in query.get("labelSelector", "").split(",") if each]
  for each in wanted:
    name, equals, value = each.partition("=")
    if name not in labels or (equals and labels[name] != value):
      return False
  fields = [each for each in query.get("fieldSelector", "").split(",") if each]
  return all(_has_field(found, each) for each in fields)


def _has_field(found: Any, wanted: str) -> bool:
  """Whether it is as `a.b=c` or `a.b!=c` says."""
  path, _, value = wanted.partition("=")
  for name in path.removesuffix("!").split("."):
    found = (found or {}).get(name)
  return ((found or "") == value) != path.endswith("!")


def _merged(found: Object, patch: Object) -> Object:
  merged = dict(found)
  for name, value in patch.items():
    old = merged.get(name)
    both = isinstance(value, dict) and isinstance(old, dict)
    merged[name] = _merged(old, value) if both and old else value
  return merged


def _split(path: str) -> Place:
  """The kind's path, /…/namespaces/<namespace>/<kind>, and the name.

  What is of no namespace has neither of the two.
  """
  parts = path.split("/")
  if "namespaces" in parts:
    end = parts.index("namespaces") + 3
  else:
    end = 4 if parts[1] == "api" else 5
  return "/".join(parts[:end]), "/".join(parts[end:])


def _status(message: str, reason: str = "") -> Object:
  return {"kind": "Status", "message": message, "reason": reason}


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
  class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
      pass

    def serve(self) -> None:
      url = urlsplit(self.path)
      query = {name: each[0] for name, each in parse_qs(url.query).items()}
      size = int(self.headers.get("Content-Length") or 0)
      body = json.loads(self.rfile.read(size) or b"{}")
      headers = dict(self.headers)
      request = Request(self.command, url.path, query, headers, body)
      server.requests.append(request)
      fault = server.fault(request)
      try:
        if fault == 0:
          self.close_connection = True
        elif fault:
          self._send(
            fault, _status("a fault", "Conflict" if fault == 409 else "")
          )
        elif "watch" in query:
          self._stream(server.watch, request)
        elif url.path.endswith("/log"):
          self._stream(server.log, request)
        else:
          self._send(*server.answer(request))
      except OSError:  # The client may be gone.
        self.close_connection = True

    def _send(self, status: int, body: Object) -> None:
      data = json.dumps(body).encode()
      self.send_response(status)
      self.send_header("Content-Length", str(len(data)))
      if self.command == "POST" and server.warning:
        quoted = json.dumps(server.warning)
        self.send_header("Warning", f"299 - {quoted}")
      self.end_headers()
      self.wfile.write(data)

    def _stream(
      self,
      source: Callable[[Request, Callable[[bytes], None]], None],
      request: Request,
    ) -> None:
      self.send_response(200)
      self.send_header("Transfer-Encoding", "chunked")
      self.end_headers()
      self.wfile.flush()

      def send(data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

      source(request, send)
      send(b"")

    do_GET = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815

  return Handler
