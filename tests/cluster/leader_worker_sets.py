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
  """Tells the API server of the kind and the webhooks; they may be there."""
  for each in json.loads((built / "manifests.json").read_text()):
    if each["kind"] != "CustomResourceDefinition":
      each = _pointed_here(each)
    path = f"{_PATHS[each['kind']]}/{each['metadata']['name']}"
    query = "fieldManager=keras-remote-test&force=true"
    patch = "application/apply-patch+yaml"
    api.request("PATCH", f"{path}?{query}", each, patch)
  path = f"{_PATHS['CustomResourceDefinition']}/{_KIND}"
  deadline = time.monotonic() + _READY_SECONDS
  while not _is_established(api.request("GET", path)):
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


def _is_established(kind: dict[str, Any]) -> bool:
  return any(
    each["type"] == "Established" and each["status"] == "True"
    for each in kind.get("status", {}).get("conditions") or ()
  )
