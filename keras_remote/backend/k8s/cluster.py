"""A namespace of a cluster, and the objects that are there.

Objects are plain dicts, as the API writes them.
"""

import contextlib
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from keras_remote import errors
from keras_remote.backend.k8s import connection, container_api
from keras_remote.backend.k8s.connection import PATIENT, Connection
from keras_remote.backend.k8s.names import ClusterName, GkeCluster
from keras_remote.backend.k8s.objects import (
  PODS,
  Applied,
  Kind,
  Listing,
  Object,
)
from keras_remote.backend.k8s.stream import Stream
from keras_remote.home import Home

# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = urllib3.Timeout(connect=10.0, read=30.0)
# Seconds after which the server ends a watch; a quiet one is given a few more.
_WATCH_SECONDS = 240
_STREAM_TIMEOUT = urllib3.Timeout(connect=10.0, read=_WATCH_SECONDS + 30.0)
# For who only looks whether all is well.
_QUICK = urllib3.Timeout(connect=5.0, read=10.0)
_IMPATIENT = PATIENT.new(total=2)
_CONTENDING = PATIENT.new(
  status_forcelist=[*(PATIENT.status_forcelist or ()), 409]
)
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_LIST_METADATA = _METADATA.replace("Metadata;", "MetadataList;")
_MERGE = "application/merge-patch+json"
# JSON is YAML.
_APPLY = "application/apply-patch+yaml"
# Whose the fields are that `apply` writes.
MANAGER = "keras-remote"

_TOO_EARLY, _NOT_FOUND = 400, 404
# Both are 409, and say which in a word.
_EXISTS, _CONTENDED = "AlreadyExists", "Conflict"


@dataclass(frozen=True)
class Cluster:
  """A namespace of a cluster.

  Every method raises ClusterError where the cluster cannot be reached or
  refuses, CredentialsError where it does not know the user, and ConfigError
  where Google knows no such cluster.
  """

  connection: Connection
  namespace: str

  @property
  def name(self) -> ClusterName:
    """What the cluster is called."""
    return self.connection.name

  @property
  def identity(self) -> tuple[int, str]:
    """What is the same for a namespace's every client of this process."""
    return id(self.connection), self.namespace

  def get(self, kind: Kind, name: str) -> Object | None:
    """The object, or None."""
    with _allowing(_NOT_FOUND):
      return self._ask("GET", kind, name)
    return None

  def has(self, kind: Kind, name: str) -> bool:
    """Whether there is the object, however large it is."""
    return self.metadata(kind, name) is not None

  def metadata(self, kind: Kind, name: str) -> Object | None:
    """What is said of the object, however large it is, or None."""
    with _allowing(_NOT_FOUND):
      return self._ask("GET", kind, name, accept=_METADATA)["metadata"]
    return None

  def create(self, kind: Kind, body: Object) -> Object | None:
    """The new object; None where there is one of this name."""
    with _allowing(_EXISTS):
      try:
        return self._ask("POST", kind, body=body)
      except errors.ClusterError as error:
        if error.reason != _CONTENDED:
          raise
      # Others create at the same time: the quota could not be counted.
      return self._ask("POST", kind, body=body, retries=_CONTENDING)
    return None

  def apply(self, kind: Kind, body: Object) -> Applied:
    """Has there be the object, with these fields, whoever wrote them before.

    Fields that an earlier call wrote, and this one does not have, go; those
    that only others have written stay.
    """
    name = body["metadata"]["name"]
    before = self.metadata(kind, name)
    query = {"fieldManager": MANAGER, "force": "true"}
    after = self._ask("PATCH", kind, name, query=query, body=body, sends=_APPLY)
    if before is None:
      return Applied.MADE
    # An object that nothing was changed of keeps its version.
    version = after["metadata"]["resourceVersion"]
    same = before["resourceVersion"] == version
    return Applied.SAME if same else Applied.CHANGED

  def warnings(
    self, kind: Kind, body: Object, *, once: bool = False
  ) -> tuple[str, ...]:
    """What the server would warn of if it created the object; it does not.

    Args:
      once: without trying again.
    """
    response = self._send(
      "POST",
      kind,
      query={"dryRun": "All"},
      body=body,
      retries=False if once else PATIENT,
    )
    with contextlib.closing(response), self.connection.translated():
      response.read()
      return tuple(response.headers.getlist("Warning"))

  def patch(self, kind: Kind, name: str, body: Object) -> None:
    """Merges the fields into the object, if it is there."""
    with _allowing(_NOT_FOUND):
      self._ask("PATCH", kind, name, body=body)

  def delete(
    self,
    kind: Kind,
    name: str,
    *,
    uid: str | None = None,
    last: bool = False,
  ) -> None:
    """Removes the object, if it is there, and then what it owns.

    Args:
      uid: of the only one that it may be; None for whichever is there.
      last: what it owns is removed at once, and it when that is gone.
    """
    policy = "Foreground" if last else "Background"
    body: Object = {"propagationPolicy": policy}
    if uid is not None:
      body["preconditions"] = {"uid": uid}
    with _allowing(_NOT_FOUND, _CONTENDED):
      self._ask("DELETE", kind, name, body=body)

  def kill(self, kind: Kind, selector: str) -> None:
    """Removes the objects at once, without time to end well."""
    body = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    self._ask("DELETE", kind, body=body, query={"labelSelector": selector})

  def list(
    self,
    kind: Kind,
    selector: str,
    *,
    fields: str = "",
    once: bool = False,
    brief: bool = False,
  ) -> Listing:
    """The objects with these labels and fields.

    Args:
      once: without trying again.
      brief: with their metadata alone.
    """
    answer = self._ask(
      "GET",
      kind,
      query=_selecting(selector, fields),
      retries=False if once else PATIENT,
      accept=_LIST_METADATA if brief else "application/json",
    )
    version = answer["metadata"]["resourceVersion"]
    return Listing(tuple(answer["items"] or ()), version)

  def watch(
    self, kind: Kind, selector: str, version: str, *, fields: str = ""
  ) -> Stream:
    """The changes from `version` on, as lines of JSON; tried once."""
    query = {
      "watch": "true",
      "allowWatchBookmarks": "true",
      "timeoutSeconds": str(_WATCH_SECONDS),
      "resourceVersion": version,
      **_selecting(selector, fields),
    }
    return Stream(self._send("GET", kind, query=query, retries=False))

  def log(self, pod: str, *, follow: bool) -> Stream | None:
    """What the pod's container prints; None where there is none to read."""
    query = {"follow": "true"} if follow else {}
    with _allowing(_NOT_FOUND, _TOO_EARLY):
      return Stream(self._send("GET", PODS, f"{pod}/log", query=query))
    return None

  def api(
    self, method: str, path: str, body: Object | None = None
  ) -> Object | None:
    """What a path of the API answers, soon; None where there is none."""
    with _allowing(_NOT_FOUND):
      response = self.connection.send(
        method,
        path,
        body=body,
        headers={"Accept": _JSON, "Content-Type": _JSON},
        timeout=_QUICK,
        retries=_IMPATIENT,
        namespace=self.namespace,
      )
      with contextlib.closing(response), self.connection.translated():
        return json.loads(response.read())
    return None

  def _ask(self, method: str, kind: Kind, name: str = "", **how: Any) -> Object:
    response = self._send(method, kind, name, **how)
    with contextlib.closing(response), self.connection.translated():
      return json.loads(response.read())

  def _send(
    self,
    method: str,
    kind: Kind,
    name: str = "",
    *,
    query: Mapping[str, str] | None = None,
    body: Object | None = None,
    accept: str = "application/json",
    sends: str = "",
    retries: urllib3.Retry | bool = PATIENT,
  ) -> Any:
    within = f"namespaces/{self.namespace}/" if kind.namespaced else ""
    path = f"/{kind.group}/{within}{kind.plural}/{name}"
    usual = _MERGE if method == "PATCH" else "application/json"
    stream = query is not None and not {"watch", "follow"}.isdisjoint(query)
    return self.connection.send(
      method,
      path.rstrip("/"),
      query=query,
      body=body,
      headers={
        "Accept": accept,
        "Content-Type": sends or usual,
      },
      timeout=_STREAM_TIMEOUT if stream else _TIMEOUT,
      retries=retries,
      namespace=self.namespace,
    )


def _selecting(labels: str, fields: str) -> dict[str, str]:
  query = {"labelSelector": labels, "fieldSelector": fields}
  return {name: value for name, value in query.items() if value}


@contextlib.contextmanager
def _allowing(*refusals: int | str) -> Generator[None]:
  """Passes over the refusals of these statuses and reasons."""
  try:
    yield
  except errors.ClusterError as error:
    if error.status not in refusals and error.reason not in refusals:
      raise


def open_cluster(context: str, namespace: str | None) -> Cluster:
  """The namespace; None is the context's own, else "default".

  Raises:
    ConfigError: the kubeconfig has no such context, or cannot be read.
  """
  kubeconfig = os.environ.get("KUBECONFIG")
  own, found = connection.by_context(os.getpid(), kubeconfig, context)
  return Cluster(found, namespace or own)


def open_gke(home: Home, gke: GkeCluster, namespace: str | None) -> Cluster:
  """The namespace, by default "default", of a cluster of GKE.

  Nothing is asked before it is used: it is then that there may be none.
  """
  override = os.environ.get(container_api.OVERRIDE_VARIABLE)
  found = connection.by_location(os.getpid(), override, home, gke)
  return Cluster(found, namespace or "default")
