"""Certificates, keys and tokens by which the cluster's parts trust each other."""

import base64
import json
import secrets
from pathlib import Path

from tests.cluster.api import SERVER
from tests.cluster.layout import API, CONTEXT, HOST, KUBECONFIG, PKI
from tests.cluster.process import run

CA = PKI / "ca.crt"
TOKENS = PKI / "tokens.csv"
# Signs the tokens of service accounts.
ACCOUNTS = PKI / "accounts.key"
# Of webhooks on this machine; controllers ask for the names in it.
WEBHOOKS = PKI / "webhooks"

# 127.0.0.1 for whoever puts a proxy between.
_NAMES = f"IP:{API},IP:{HOST},IP:127.0.0.1,DNS:localhost,DNS:kubernetes" + (
  ",DNS:kubernetes.default,DNS:kubernetes.default.svc"
)
_DAYS = "3650"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def up() -> None:
  """Makes all of it, and the kubeconfig, unless it is there."""
  if not KUBECONFIG.exists():
    _make()
  if not WEBHOOKS.exists():
    WEBHOOKS.mkdir()
    _certificate(
      "webhooks/tls", "/CN=webhooks", ("subjectAltName=IP:127.0.0.1",)
    )


def _make() -> None:
  PKI.mkdir(parents=True, exist_ok=True)
  _certificate("ca", "/CN=keras-remote-test", ())
  _certificate("server", "/CN=kube-apiserver", (f"subjectAltName={_NAMES}",))
  # What the API server shows to kubelets.
  _certificate(
    "client",
    "/O=system:masters/CN=kube-apiserver",
    ("extendedKeyUsage=clientAuth",),
  )
  run("openssl", "genrsa", "-out", ACCOUNTS, "2048")
  token = secrets.token_urlsafe()
  (PKI / "token").write_text(token)
  TOKENS.write_text(f"{token},admin,admin,system:masters\n")
  for path in PKI.iterdir():
    path.chmod(0o600)
  KUBECONFIG.touch(0o600)
  KUBECONFIG.write_text(json.dumps(_kubeconfig(token), indent=2))


def certificate(name: str) -> Path:
  """Of "server" or "client"."""
  return PKI / f"{name}.crt"


def key(name: str) -> Path:
  return PKI / f"{name}.key"


def _certificate(name: str, subject: str, extensions: tuple[str, ...]) -> None:
  """Signed by the CA, or by itself if it is the CA."""
  by_ca = () if name == "ca" else ("-CA", CA, "-CAkey", key("ca"))
  added = (part for each in extensions for part in ("-addext", each))
  run(
    *("openssl", "req", "-x509", "-nodes", "-days", _DAYS, *_CURVE),
    *("-subj", subject, *added, *by_ca),
    *("-keyout", key(name), "-out", certificate(name)),
  )


def _kubeconfig(token: str) -> dict[str, object]:
  authority = base64.b64encode(CA.read_bytes()).decode()
  return {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
      {
        "name": CONTEXT,
        "cluster": {
          "server": SERVER,
          "certificate-authority-data": authority,
        },
      }
    ],
    "users": [{"name": "admin", "user": {"token": token}}],
    "contexts": [
      {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}
    ],
    "current-context": CONTEXT,
  }
