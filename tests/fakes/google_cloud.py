"""As much of Google Cloud as tells where a GKE cluster is, and who asks.

A service account's key gets tokens here, the Container API lists the clusters
of projects, and the Resource Manager tells what may be done there: what
google-auth and our clients say to the real ones.
"""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes import tls
from tests.fakes.local_server import LocalServer

WHO = "robot@project.example"
_CLUSTERS = re.compile(
  r"/v1/projects/([^/]+)/locations/([^/]+)/clusters(?:/([^/]+))?"
)
_RIGHTS = re.compile(r"/v1/projects/([^/]+):testIamPermissions")

Fault = Callable[[str], tuple[int, object] | None]


class GoogleCloud(LocalServer):
  """A server on this machine, for as long as its block.

  Attributes:
    projects: the clusters of each, as the API writes them.
    tokens: those that were given, in order.
    scopes: what each of them was asked for to be good for.
    requests: the paths that were asked for, in order.
    token: makes the next one.
    lifetime: seconds of a token.
    revoked: whether the log-in counts no more.
    lacking: permissions that nobody has.
    fault: asked of every request to an API: None, or a status and what the
      API says with it.
  """

  def __init__(self) -> None:
    self.projects: dict[str, list[dict[str, Any]]] = {}
    self.tokens: list[str] = []
    self.scopes: list[set[str]] = []
    self.requests: list[str] = []
    self.token: Callable[[], str] = lambda: f"token-{len(self.tokens)}"
    self.lifetime = 3600
    self.revoked = False
    self.lacking: set[str] = set()
    self.fault: Fault = lambda path: None
    self._lock = threading.Lock()
    super().__init__(_handler(self), "google cloud")

  def login(self, folder: str | Path) -> dict[str, str]:
    """The environment of somebody who is logged in to it."""
    return self.environ(folder) | {
      "GOOGLE_APPLICATION_CREDENTIALS": str(self.key(folder))
    }

  def key(self, folder: str | Path) -> Path:
    """A file of credentials."""
    path = Path(folder, "google-key.json")
    path.write_text(
      json.dumps(
        {
          "type": "service_account",
          "project_id": "of-the-key",
          "private_key_id": "1",
          "private_key": tls.private_key(),
          "client_email": WHO,
          "token_uri": f"{self.url}/token",
        }
      )
    )
    return path

  def environ(self, folder: str | Path) -> dict[str, str]:
    """The environment of somebody who is not."""
    return {
      "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER": f"{self.url}/",
      "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": f"{self.url}/",
      # Nobody's own log-in, nor a machine's of Google's.
      "CLOUDSDK_CONFIG": str(Path(folder, "no-gcloud")),
      "NO_GCE_CHECK": "true",
    }

  def add(
    self,
    project: str,
    location: str,
    name: str,
    server: str,
    authority: str,
    **fields: object,
  ) -> None:
    """A cluster that answers at `server`, an https address."""
    encoded = base64.b64encode(authority.encode()).decode()
    found = {
      "name": name,
      "location": location,
      "status": "RUNNING",
      "endpoint": urlsplit(server).netloc,
      "masterAuth": {"clusterCaCertificate": encoded},
      **fields,
    }
    self.projects.setdefault(project, []).append(found)

  def give_token(self, form: str) -> tuple[int, object]:
    """What the server of tokens answers to a key's signed request."""
    if self.revoked:
      return 400, {
        "error": "invalid_grant",
        "error_description": "Account has been deleted or disabled",
      }
    with self._lock:
      self.tokens.append(self.token())
      self.scopes.append(_scopes(form))
      return 200, {
        "access_token": self.tokens[-1],
        "expires_in": self.lifetime,
        "token_type": "Bearer",
      }

  def answer(self, path: str, bearer: str) -> tuple[int, object]:
    """What the Container API answers."""
    refused = self._refused(path, bearer)
    if refused:
      return refused
    asked = _CLUSTERS.fullmatch(path)
    if not asked:
      return 404, refusal("no such path")
    project, location, name = asked.groups()
    if project not in self.projects:
      return 404, refusal(f"Not found: projects/{project}.")
    found = [
      each
      for each in self.projects[project]
      if location in ("-", each["location"])
    ]
    if name is None:
      # Protobuf's JSON leaves empty lists out.
      return 200, dict(clusters=found) if found else dict[str, Any]()
    for each in found:
      if each["name"] == name:
        return 200, each
    return 404, refusal(f"Not found: {path.removeprefix('/v1/')}.")

  def permitted(self, path: str, bearer: str, asked: str) -> tuple[int, object]:
    """What the Resource Manager answers to somebody's permissions."""
    refused = self._refused(path, bearer)
    if refused:
      return refused
    names = json.loads(asked)["permissions"]
    found = [name for name in names if name not in self.lacking]
    # Protobuf's JSON leaves empty lists out.
    return 200, dict(permissions=found) if found else dict[str, Any]()

  def _refused(self, path: str, bearer: str) -> tuple[int, object] | None:
    if not self.tokens or bearer != f"Bearer {self.tokens[-1]}":
      return 401, refusal("Request had invalid authentication credentials.")
    return self.fault(path)


def _scopes(form: str) -> set[str]:
  """What the request asks for, in the claims that the key has signed."""
  claims = parse_qs(form)["assertion"][0].split(".")[1]
  padded = claims + "=" * (-len(claims) % 4)
  return set(json.loads(base64.urlsafe_b64decode(padded))["scope"].split())


def refusal(
  message: str, reason: str = "", metadata: Mapping[str, str] | None = None
) -> dict[str, Any]:
  """An error as Google's APIs write it."""
  detail = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": reason,
    "domain": "googleapis.com",
    "metadata": dict(metadata or {}),
  }
  return {"error": {"message": message, "details": [detail] if reason else []}}


def _handler(cloud: GoogleCloud) -> type[BaseHTTPRequestHandler]:
  class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
      pass

    def do_POST(self) -> None:  # noqa: N802
      length = int(self.headers.get("Content-Length") or 0)
      sent = self.rfile.read(length).decode()
      cloud.requests.append(self.path)
      if not _RIGHTS.fullmatch(self.path):
        self._send(*cloud.give_token(sent))
        return
      bearer = self.headers.get("Authorization", "")
      self._send(*cloud.permitted(self.path, bearer, sent))

    def do_GET(self) -> None:  # noqa: N802
      cloud.requests.append(self.path)
      bearer = self.headers.get("Authorization", "")
      self._send(*cloud.answer(urlsplit(self.path).path, bearer))

    def _send(self, status: int, body: object) -> None:
      data = json.dumps(body).encode()
      with contextlib.suppress(OSError):  # The client may be gone.
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

  return Handler
