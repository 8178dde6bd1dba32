"""A proxy before the real API server, which counts, and fails when told to.

  with ApiProxy(folder) as proxy, environment(KUBECONFIG=str(proxy.kubeconfig)):
    proxy.fault = times(3, Fault(503), creates("jobs"))
    ...
    print(len([r for r in proxy.requests if r.watches]))

`fault` is asked of every request; `cut` ends answers that go on, such as
watches; `away` is a block in which nobody can connect: see http_proxy.py.
"""

import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes import client, config

from tests.cluster import harness
from tests.cluster.process import run
from tests.fakes.http_proxy import HttpProxy, Request
from tests.fakes.local_server import LOOPBACK


class ApiProxy(HttpProxy):
  """Speaks TLS to clients, and to the API server that a test runs on.

  Who sends no credentials of its own comes as the user of the cluster's own
  kubeconfig, with that one's token or certificate.

  Args:
    folder: where its certificate and kubeconfig are written.

  Attributes:
    kubeconfig: leads here, by the name of the cluster's context.
  """

  def __init__(self, folder: str | Path) -> None:
    cluster = harness.cluster()
    settings: Any = client.Configuration()
    config.load_kube_config(
      config_file=cluster.kubeconfig and str(cluster.kubeconfig),
      context=cluster.context,
      client_configuration=settings,
      persist_config=False,
    )
    certificate, key = Path(folder, "proxy.crt"), Path(folder, "proxy.key")
    run(
      *("openssl", "req", "-x509", "-nodes", "-days", "1", "-newkey", "ec"),
      *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=proxy"),
      *("-addext", f"subjectAltName=IP:{LOOPBACK}"),
      *("-keyout", key, "-out", certificate),
    )
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
      trust.load_cert_chain(settings.cert_file, settings.key_file)
    super().__init__(settings.host, trust=trust, tls=shown)
    self.headers = _as_user(settings)
    self.kubeconfig = Path(folder, "proxied")
    self.kubeconfig.write_text(
      json.dumps(_kubeconfig(cluster.context, self.url, certificate))
    )


def creates(plural: str) -> Callable[[Request], bool]:
  """Requests that create an object of a kind, such as "jobs"."""
  return lambda request: (
    request.method == "POST"
    and urlsplit(request.path).path.endswith(f"/{plural}")
    and "dryRun" not in request.path
  )


def watches(request: Request) -> bool:
  """Requests that watch."""
  return request.watches


def _as_user(settings: Any) -> Callable[[dict[str, str]], dict[str, str]]:
  def add(headers: dict[str, str]) -> dict[str, str]:
    if "authorization" in {name.lower() for name in headers}:
      return {}
    found = settings.auth_settings().get("BearerToken")
    return {found["key"]: found["value"]} if found else {}

  return add


def _kubeconfig(context: str, url: str, certificate: Path) -> dict[str, object]:
  authority = base64.b64encode(certificate.read_bytes()).decode()
  cluster = {"server": url, "certificate-authority-data": authority}
  return {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "proxied", "cluster": cluster}],
    "users": [{"name": "anyone", "user": {}}],
    "contexts": [
      {"name": context, "context": {"cluster": "proxied", "user": "anyone"}}
    ],
    "current-context": context,
  }
