"""A namespace of a cluster: the one importer of the kubernetes client.

Objects are plain dicts, as the API writes them. Retries of requests happen
here: they are urllib3's own.
"""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError, ReadTimeoutError
from yaml import YAMLError

from keras_remote import errors
from keras_remote.backend.k8s import refusals
from keras_remote.backend.k8s.objects import PODS, Kind, Listing, Object
from keras_remote.backend.k8s.stream import Stream

# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = urllib3.Timeout(connect=10.0, read=30.0)
# Seconds after which the server ends a watch; a quiet one is given a few more.
_WATCH_SECONDS = 240
_STREAM_TIMEOUT = urllib3.Timeout(connect=10.0, read=_WATCH_SECONDS + 30.0)
# An API server may be away for a minute. Also what creates is tried again: a
# name can be taken only once.
PATIENT = urllib3.Retry(
  total=12,
  backoff_factor=0.2,
  backoff_max=8.0,
  status_forcelist=(429, 500, 502, 503, 504),
  allowed_methods=None,
  raise_on_status=False,
)
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MERGE = "application/merge-patch+json"

_TOO_EARLY, _NOT_FOUND, _EXISTS = 400, 404, 409

# What the client raises of a kubeconfig that it does not like.
_UNREADABLE = (ConfigException, OSError, TypeError, ValueError, YAMLError)


@dataclass(frozen=True)
class Cluster:
  """A namespace of the cluster that a context of the kubeconfig names.

  Every method raises ClusterError where the cluster cannot be reached or
  refuses, and CredentialsError where it does not know the user.
  """

  context: str
  namespace: str
  _api: Any = dataclasses.field(repr=False, compare=False)

  @property
  def identity(self) -> tuple[int, str]:
    """What is the same for a namespace's every client of this process."""
    return id(self._api), self.namespace

  def get(self, kind: Kind, name: str) -> Object | None:
    """The object, or None."""
    with _allowing(_NOT_FOUND):
      return self._ask("GET", kind, name)
    return None

  def has(self, kind: Kind, name: str) -> bool:
    """Whether there is the object, however large it is."""
    with _allowing(_NOT_FOUND):
      self._ask("GET", kind, name, accept=_METADATA)
      return True
    return False

  def create(self, kind: Kind, body: Object) -> Object | None:
    """The new object; None where there is one of this name."""
    with _allowing(_EXISTS):
      return self._ask("POST", kind, body=body)
    return None

  def patch(self, kind: Kind, name: str, body: Object) -> None:
    """Merges the fields into the object, if it is there."""
    with _allowing(_NOT_FOUND):
      self._ask("PATCH", kind, name, body=body)

  def delete(self, kind: Kind, name: str) -> None:
    """Removes the object, if it is there, and then what it owns."""
    body = {"propagationPolicy": "Background"}
    with _allowing(_NOT_FOUND):
      self._ask("DELETE", kind, name, body=body)

  def kill(self, kind: Kind, selector: str) -> None:
    """Removes the objects at once, without time to end well."""
    body = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    self._ask("DELETE", kind, body=body, query={"labelSelector": selector})

  def list(
    self, kind: Kind, selector: str, *, fields: str = "", once: bool = False
  ) -> Listing:
    """The objects with these labels and fields.

    Args:
      once: without trying again.
    """
    query = _selecting(selector, fields)
    retries = False if once else PATIENT
    answer = self._ask("GET", kind, query=query, retries=retries)
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

  def _ask(self, method: str, kind: Kind, name: str = "", **how: Any) -> Object:
    response = self._send(method, kind, name, **how)
    with contextlib.closing(response), self._translated():
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
    retries: urllib3.Retry | bool = PATIENT,
  ) -> Any:
    path = f"/{kind.group}/namespaces/{self.namespace}/{kind.plural}/{name}"
    merges = method == "PATCH"
    stream = query is not None and not {"watch", "follow"}.isdisjoint(query)
    with self._translated():
      method, url, headers, _, _ = self._api.param_serialize(
        method=method,
        resource_path=path.rstrip("/"),
        query_params=list((query or {}).items()),
        header_params={
          "Accept": accept,
          "Content-Type": _MERGE if merges else "application/json",
        },
        auth_settings=["BearerToken"],
      )
      response = self._api.rest_client.pool_manager.urlopen(
        method,
        url,
        body=None if body is None else json.dumps(body).encode(),
        headers=headers,
        timeout=_STREAM_TIMEOUT if stream else _TIMEOUT,
        retries=retries,
        preload_content=False,
      )
      if response.status < 400:
        return response
      with contextlib.closing(response):
        said = response.read()
    raise refusals.refusal(response.status, said, self.context, self.namespace)

  @contextlib.contextmanager
  def _translated(self) -> Generator[None]:
    try:
      yield
    except (HTTPError, OSError, ConfigException, ValueError) as error:
      why = "it does not answer" if isinstance(error, ReadTimeoutError) else ""
      reason = getattr(error, "reason", None) or error
      raise errors.ClusterError(
        f"the cluster of context '{self.context}' cannot be reached: "
        f"{why or reason}; `kubectl --context={self.context} get pods` tells "
        "whether it is up"
      ) from error


def _selecting(labels: str, fields: str) -> dict[str, str]:
  query = {"labelSelector": labels, "fieldSelector": fields}
  return {name: value for name, value in query.items() if value}


@contextlib.contextmanager
def _allowing(*statuses: int) -> Generator[None]:
  """Passes over the refusals of these statuses."""
  try:
    yield
  except errors.ClusterError as error:
    if error.status not in statuses:
      raise


def open_cluster(context: str, namespace: str | None) -> Cluster:
  """The namespace; None is the context's own, else "default".

  Raises:
    ConfigError: the kubeconfig has no such context, or cannot be read.
  """
  own, api = _connect(os.getpid(), os.environ.get("KUBECONFIG"), context)
  return Cluster(context, namespace or own, api)


def contexts() -> dict[str, str]:
  """The namespace of each context of the kubeconfig.

  Raises:
    ConfigError: it cannot be read.
  """
  try:
    found, _ = config.list_kube_config_contexts(_kubeconfig())
  except _UNREADABLE as error:
    raise errors.ConfigError(
      f"no cluster is known here: the kubeconfig cannot be read ({error}); "
      "`gcloud container clusters get-credentials` writes one"
    ) from error
  return {
    each["name"]: each["context"].get("namespace") or "default"
    for each in found
  }


def _kubeconfig() -> str:
  return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")


@functools.cache
def _connect(
  process: int, kubeconfig: str | None, context: str
) -> tuple[str, Any]:
  """The one client of a process for a context, and the context's namespace."""
  known = contexts()
  if context not in known:
    raise errors.ConfigError(
      f"the kubeconfig has no context '{context}': there is "
      f"{', '.join(known) or 'none'}"
    )
  # Its constructor copies a default that other code in here may have changed.
  settings: Any = type.__call__(client.Configuration)
  settings.keep_alive = True
  try:
    config.load_kube_config(
      config_file=_kubeconfig(),
      context=context,
      client_configuration=settings,
      persist_config=False,
    )
  except _UNREADABLE as error:
    raise errors.ConfigError(
      f"context '{context}' of the kubeconfig cannot be used: {error}"
    ) from error
  return known[context], client.ApiClient(settings)
