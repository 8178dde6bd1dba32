"""Ways to a cluster: the one importer of the kubernetes client.

Retries of requests happen here: they are urllib3's own.
"""

import contextlib
import dataclasses
import functools
import json
import os
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import urllib3
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from kubernetes.utils.keepalive import tcp_keepalive_socket_options
from urllib3.exceptions import HTTPError, ReadTimeoutError
from yaml import YAMLError

from keras_remote import errors
from keras_remote.backend.k8s import container_api, names, refusals
from keras_remote.backend.k8s.names import ClusterName, GkeCluster
from keras_remote.credentials import AccessToken
from keras_remote.home import ENDPOINTS, Home

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
# Seconds of silence, seconds between probes, and how many are not answered
# before a connection is given up: a laptop that slept finds out soon.
_KEEP_ALIVE = (20, 5, 3)
# So many are kept for what comes next: each log that is followed has one.
_CONNECTIONS = 50

# What the client raises of a kubeconfig that it does not like.
_UNREADABLE = (ConfigException, OSError, TypeError, ValueError, YAMLError)


class Way(Protocol):
  """How a cluster is reached."""

  @property
  def name(self) -> ClusterName:
    """What the cluster is called; it may have to be asked for.

    Raises:
      KerasRemoteError: as `Connection.send`.
    """
    ...

  def dial(self, *, anew: bool) -> tuple[Any, bool]:
    """A client of the cluster, and whether another process found it.

    Args:
      anew: trust nothing that is known: the log-in or the address is old.

    Raises:
      KerasRemoteError: as `Connection.send`.
    """
    ...


class Connection:
  """Requests to a cluster, signed by whoever is logged in.

  Any thread may use it, but no fork. It is made without a request.

  Attributes:
    way: how the cluster is reached.
  """

  def __init__(self, way: Way) -> None:
    self.way = way
    self._lock = threading.Lock()
    self._client: Any = None
    # Whether the client has ever had an answer, or is as new as can be.
    self._proven = False

  @property
  def name(self) -> ClusterName:
    """What the cluster is called.

    Raises:
      KerasRemoteError: as `send`.
    """
    return self.way.name

  def send(
    self,
    method: str,
    path: str,
    *,
    timeout: urllib3.Timeout,
    retries: urllib3.Retry | bool = PATIENT,
    query: Mapping[str, str] | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    namespace: str = "",
  ) -> Any:
    """The answer, with a status below 400, to be read and closed.

    Args:
      namespace: that it is about, for what is said if it is refused.

    Raises:
      ConfigError: there is no such cluster.
      ClusterError: it cannot be reached, or refuses.
      CredentialsError: it does not know who asks.
    """

    def ask(used: Any, retries: urllib3.Retry | bool) -> Any:
      _, url, signed, _, _ = used.param_serialize(
        method=method,
        resource_path=path,
        query_params=list((query or {}).items()),
        header_params=dict(headers or {}),
        auth_settings=["BearerToken"],
      )
      return used.rest_client.pool_manager.urlopen(
        method,
        url,
        body=None if body is None else json.dumps(body).encode(),
        headers=signed,
        timeout=timeout,
        retries=retries,
        preload_content=False,
      )

    with self.translated():
      used, response = self._first(ask, retries)
      if response.status == 401:
        _drop(response)
        response = ask(self._dialled(used), retries)
      if response.status < 400:
        return response
      with contextlib.closing(response):
        said = response.read()
    raise refusals.refusal(response.status, said, self.name, namespace)

  @contextlib.contextmanager
  def translated(self) -> Generator[None]:
    """Raises what goes wrong in the block with an answer as our errors."""
    try:
      yield
    except (HTTPError, OSError, ConfigException, ValueError) as error:
      why = "it does not answer" if isinstance(error, ReadTimeoutError) else ""
      reason = getattr(error, "reason", None) or error
      raise errors.ClusterError(
        f"{self.name.words} cannot be reached: {why or reason}; "
        f"`{self.name.look}` tells whether it is up"
      ) from error

  def _first(
    self,
    ask: Callable[[Any, urllib3.Retry | bool], Any],
    retries: urllib3.Retry | bool,
  ) -> tuple[Any, Any]:
    """The client that was used, and what the cluster answers.

    Nobody waits for what another process remembers: the cluster may have
    moved.
    """
    used = self._dialled(None)
    if self._proven:
      return used, ask(used, retries)
    try:
      response = ask(used, False)
    except HTTPError:
      used = self._dialled(used)
      response = ask(used, retries)
    else:
      if retries and response.status in PATIENT.status_forcelist:
        _drop(response)
        response = ask(used, retries)
    self._proven = True
    return used, response

  def _dialled(self, old: Any) -> Any:
    """A client other than `old`; of several threads one makes it for all."""
    with self._lock:
      if self._client is old:
        anew = old is not None
        self._client, recalled = self.way.dial(anew=anew)
        self._proven = not recalled
      return self._client


def _drop(response: Any) -> None:
  """Leaves the connection to the next request."""
  response.drain_conn()
  response.release_conn()


@dataclass(frozen=True)
class ContextWay:
  """By a context of a kubeconfig, which is never written."""

  context: str
  kubeconfig: str

  @property
  def name(self) -> ClusterName:
    return names.of_context(self.context)

  def dial(self, *, anew: bool) -> tuple[Any, bool]:
    # Read each time: what logs in, such as a plugin, then does so again.
    settings = _settings()
    try:
      config.load_kube_config(
        config_file=self.kubeconfig,
        context=self.context,
        client_configuration=settings,
        persist_config=False,
      )
    except _UNREADABLE as error:
      raise errors.ConfigError(
        f"context '{self.context}' of the kubeconfig cannot be used: {error}"
      ) from error
    return client.ApiClient(settings), False


class GkeWay:
  """By Google's Container API, which is asked for the address once a day."""

  def __init__(self, home: Home, cluster: GkeCluster) -> None:
    self._home = home
    self._cluster = cluster
    override = os.environ.get(container_api.OVERRIDE_VARIABLE, "")
    self._key = f"{override} {cluster}"

  @functools.cached_property
  def _token(self) -> AccessToken:
    return AccessToken()

  @functools.cached_property
  def name(self) -> ClusterName:
    location = self._cluster.location
    if location is None:
      location = (self._recalled() or self.look()).location
    return names.of_gke(dataclasses.replace(self._cluster, location=location))

  def look(self) -> container_api.Endpoint:
    """Where the cluster answers now.

    Raises:
      KerasRemoteError: as `container_api.find`.
    """
    self._home.forget(ENDPOINTS, self._key)
    found = container_api.find(self._cluster, self._token)
    text = json.dumps(dataclasses.asdict(found))
    self._home.remember(ENDPOINTS, self._key, text.encode())
    return found

  def dial(self, *, anew: bool) -> tuple[Any, bool]:
    recalled = None
    if anew:
      self._token.renew()
    else:
      recalled = self._recalled()
    endpoint = recalled or self.look()
    settings = _settings()
    settings.host = endpoint.url
    settings.ca_cert_data = endpoint.authority
    # It asks the hook only where there is something to renew.
    settings.api_key["BearerToken"] = ""
    settings.refresh_api_key_hook = self._sign
    return client.ApiClient(settings), recalled is not None

  def _sign(self, settings: Any) -> None:
    settings.api_key["BearerToken"] = f"Bearer {self._token.text()}"

  def _recalled(self) -> container_api.Endpoint | None:
    noted = self._home.recall(ENDPOINTS, self._key)
    if noted is None:
      return None
    try:
      return container_api.Endpoint(**json.loads(noted))
    except (TypeError, ValueError):  # Of another version.
      return None


@functools.cache
def by_context(
  process: int, kubeconfig: str | None, context: str
) -> tuple[str, Connection]:
  """The context's namespace, and the one connection of a process for it.

  Raises:
    ConfigError: the kubeconfig has no such context, or cannot be read.
  """
  known = contexts()
  if context not in known:
    raise errors.ConfigError(
      f"the kubeconfig has no context '{context}': there is "
      f"{', '.join(known) or 'none'}"
    )
  return known[context], Connection(ContextWay(context, _kubeconfig()))


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
      "name a GKE cluster with project= and cluster=, or `gcloud container "
      "clusters get-credentials` writes one"
    ) from error
  return {
    each["name"]: each["context"].get("namespace") or "default"
    for each in found
  }


@functools.cache
def by_location(
  process: int, override: str | None, home: Home, cluster: GkeCluster
) -> Connection:
  """The one connection of a process to a GKE cluster; it needs no kubeconfig."""
  return Connection(GkeWay(home, cluster))


def _settings() -> Any:
  # Its constructor copies a default that other code in here may have changed.
  settings: Any = type.__call__(client.Configuration)
  settings.socket_options = tcp_keepalive_socket_options(*_KEEP_ALIVE)
  settings.connection_pool_maxsize = _CONNECTIONS
  return settings


def _kubeconfig() -> str:
  return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
