"""LeaderWorkerSets: their kind, their controller, and the webhooks in it.

The controller is the real one. The API server asks it about each set, and
about each pod of one: it is what tells a pod which host of the group it is.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.cluster import api, pki
from tests.cluster.layout import KUBECONFIG, LWS_PORT, STATE
from tests.cluster.process import ClusterError, Process

_URL = f"https://127.0.0.1:{LWS_PORT}"
# The last one that the controller opens.
_LAST = "/validate--v1-pod"
_KIND = "leaderworkersets.leaderworkerset.x-k8s.io"
# Pods of no set are not asked about, as where it is installed from its release.
_PODS_OF_SETS = {
  "matchExpressions": [
    {"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}
  ]
}
_PATHS = {
  "CustomResourceDefinition": (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
  ),
  "MutatingWebhookConfiguration": (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
  ),
  "ValidatingWebhookConfiguration": (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
  ),
}
_LOOK = 0.05
_READY_SECONDS = 30.0


def controller(built: Path) -> Process:
  """Its process.

  Args:
    built: the folder of `install.lws`.
  """
  config = STATE / "lws.json"
  return Process(
    name="lws",
    command=(
      *(built / "manager", "--kubeconfig", KUBECONFIG, "--config", config),
      *("--zap-devel=false", "--zap-stacktrace-level=panic"),
    ),
    ready=lambda: api.answers(f"{_URL}{_LAST}"),
    files={config: json.dumps(_CONFIG)},
  )


def install(built: Path) -> None:
  """Tells the API server of the kind and the webhooks, if it has them not."""
  kind, *webhooks = json.loads((built / "manifests.json").read_text())
  if not _is_established():
    _apply(kind)
  for each in webhooks:
    _apply(_pointed_here(each))
  deadline = time.monotonic() + _READY_SECONDS
  while not _is_established():
    if time.monotonic() > deadline:
      raise ClusterError("the API server does not take LeaderWorkerSets")
    time.sleep(_LOOK)


_CONFIG = {
  "apiVersion": "config.lws.x-k8s.io/v1alpha1",
  "kind": "Configuration",
  # There is one.
  "leaderElection": {"leaderElect": False},
  "internalCertManagement": {"enable": False},
  "webhook": {
    "host": "127.0.0.1",
    "port": LWS_PORT,
    "certDir": str(pki.WEBHOOKS),
  },
  "metrics": {"bindAddress": "0"},
  "health": {"healthProbeBindAddress": "0"},
}


def _pointed_here(configuration: dict[str, Any]) -> dict[str, Any]:
  """The module's webhooks, which it expects behind a service, as ours."""
  authority = base64.b64encode(pki.CA.read_bytes()).decode()
  webhooks = []
  for webhook in configuration["webhooks"]:
    path = webhook["clientConfig"]["service"]["path"]
    client = {"url": f"{_URL}{path}", "caBundle": authority}
    of_pods = any("pods" in rule["resources"] for rule in webhook["rules"])
    selector = {"objectSelector": _PODS_OF_SETS} if of_pods else {}
    webhooks.append({**webhook, "clientConfig": client, **selector})
  metadata = {"name": f"lws-{configuration['metadata']['name']}"}
  return {**configuration, "metadata": metadata, "webhooks": webhooks}


def _apply(made: dict[str, Any]) -> None:
  path = f"{_PATHS[made['kind']]}/{made['metadata']['name']}"
  query = "fieldManager=keras-remote-test&force=true"
  api.request("PATCH", f"{path}?{query}", made, "application/apply-patch+yaml")


def _is_established() -> bool:
  """Whether the API server takes objects of the kind."""
  kinds = _PATHS["CustomResourceDefinition"]
  kind = api.request("GET", f"{kinds}/{_KIND}") or {"status": {}}
  return any(
    each["type"] == "Established" and each["status"] == "True"
    for each in kind["status"].get("conditions") or ()
  )
