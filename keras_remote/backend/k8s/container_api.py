"""Where a GKE cluster is: one request to Google's Container API."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from keras_remote import credentials, errors
from keras_remote.backend.k8s.names import GkeCluster

if TYPE_CHECKING:
  import requests

# gcloud's own variable: tests and private endpoints of Google's have it.
OVERRIDE_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER"
_SERVICE = "container.googleapis.com"
# Seconds to connect, and for the answer.
_TIMEOUT = (10.0, 20.0)
_NO_SUCH = (400, 404)


@dataclass(frozen=True)
class Endpoint:
  """Where a cluster answers.

  Attributes:
    authority: signs its certificate, as PEM; None for one that all trust.
  """

  location: str
  url: str
  authority: str | None


def find(cluster: GkeCluster, token: credentials.AccessToken) -> Endpoint:
  """Where the cluster answers now.

  Raises:
    ConfigError: there is no such project or cluster; names those there are.
    CredentialsError: whoever is logged in may not look.
    ClusterError: the API does not answer or is not enabled, or the cluster
      is not up.
  """
  with _session(token) as session:
    if cluster.location is None:
      found = [c for c in _all(session, cluster) if c["name"] == cluster.name]
      if len(found) != 1:
        raise _no_such(cluster, _all(session, cluster))
      return _endpoint(cluster, found[0])
    path = (
      f"locations/{_quoted(cluster.location)}/clusters/{_quoted(cluster.name)}"
    )
    status, answer = _get(session, cluster.project, path)
    if status in _NO_SUCH:
      raise _no_such(cluster, _all(session, cluster))
    if status != 200:
      raise _refusal(cluster.project, status, answer)
    return _endpoint(cluster, answer)


def _all(session: "requests.Session", cluster: GkeCluster) -> list[Any]:
  status, answer = _get(session, cluster.project, "locations/-/clusters")
  if status in _NO_SUCH:
    raise errors.ConfigError(
      f"there is no project '{cluster.project}': set project= or "
      "KERAS_REMOTE_PROJECT to one that `gcloud projects list` shows"
    )
  if status != 200:
    raise _refusal(cluster.project, status, answer)
  return answer.get("clusters") or []


def _no_such(cluster: GkeCluster, all_of_it: list[Any]) -> errors.ConfigError:
  names = [f"{each['name']} in {each['location']}" for each in all_of_it]
  same = [c["location"] for c in all_of_it if c["name"] == cluster.name]
  problem = f"no cluster '{cluster.name}'"
  if cluster.location:
    problem += f" in {cluster.location}"
  if same:
    cure = f"set zone= or KERAS_REMOTE_ZONE to {' or '.join(same)}"
    if not cluster.location:
      problem = f"{len(same)} clusters '{cluster.name}'"
  elif names:
    cure = "set cluster= and zone= to one of them"
  else:
    cure = f"`keras-remote up --project {cluster.project}` makes one"
  return errors.ConfigError(
    f"project '{cluster.project}' has {problem}: "
    f"there is {', '.join(names) or 'none at all'}; {cure}"
  )


def _endpoint(cluster: GkeCluster, found: Mapping[str, Any]) -> Endpoint:
  """The endpoint that can be reached: the DNS one where no IP is public."""
  location = found.get("location") or cluster.location or ""
  ways = found.get("controlPlaneEndpointsConfig") or {}
  dns = ways.get("dnsEndpointConfig") or {}
  if dns.get("allowExternalTraffic") and not _public(found, ways):
    return Endpoint(location, f"https://{dns['endpoint']}", None)
  address = found.get("endpoint")
  if not address:
    raise errors.ClusterError(
      f"the cluster '{cluster.name}' of project '{cluster.project}' cannot be "
      f"reached: it is {found.get('status', 'not up')}; `gcloud container "
      f"clusters describe {cluster.name} --location={location} "
      f"--project={cluster.project}` shows when it is RUNNING"
    )
  encoded = (found.get("masterAuth") or {}).get("clusterCaCertificate", "")
  try:
    authority = base64.b64decode(encoded, validate=True).decode() or None
  except (binascii.Error, UnicodeDecodeError):
    authority = None
  return Endpoint(location, f"https://{address}", authority)


def _public(found: Mapping[str, Any], ways: Mapping[str, Any]) -> bool:
  """Whether its address can be reached from outside its network."""
  by_address = ways.get("ipEndpointsConfig")
  if by_address is not None:
    return bool(
      by_address.get("enabled") and by_address.get("enablePublicEndpoint")
    )
  private = found.get("privateClusterConfig") or {}
  return not private.get("enablePrivateEndpoint")


def _quoted(name: str) -> str:
  """A part of a path; projects of a domain have a colon."""
  return quote(name, safe=":")


def _session(token: credentials.AccessToken) -> "requests.Session":
  import requests
  import urllib3

  session = token.session()
  retries = urllib3.Retry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    raise_on_status=False,
  )
  for scheme in ("https://", "http://"):
    session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
  return session


def _get(
  session: "requests.Session", project: str, path: str
) -> tuple[int, Any]:
  import requests

  base = os.environ.get(OVERRIDE_VARIABLE) or f"https://{_SERVICE}/"
  url = f"{base.rstrip('/')}/v1/projects/{_quoted(project)}/{path}"
  try:
    response = session.get(url, timeout=_TIMEOUT)
    return response.status_code, _document(response.text)
  except credentials.GoogleAuthError as error:
    if isinstance(error, credentials.LOGGED_OUT) and not error.retryable:
      raise errors.CredentialsError(credentials.CURE) from error
    raise _unreachable(error) from error
  except (requests.RequestException, OSError) as error:
    raise _unreachable(error) from error


def _unreachable(error: Exception) -> errors.ClusterError:
  return errors.ClusterError(
    "Google's Container API, which tells where a cluster is, cannot be "
    f"reached: {error}; look at this machine's network, or name a cluster of "
    "your kubeconfig with context="
  )


def _document(text: str) -> Any:
  try:
    found = json.loads(text)
  except ValueError:
    found = None
  return found if isinstance(found, dict) else {"error": {"message": text}}


def _refusal(
  project: str, status: int, answer: Mapping[str, Any]
) -> errors.KerasRemoteError:
  said = answer.get("error")
  said = said if isinstance(said, dict) else {}
  message = str(said.get("message") or f"status {status}").strip()
  reasons = {
    detail.get("reason")
    for detail in said.get("details") or ()
    if isinstance(detail, dict)
  }
  if status == 401:
    return errors.CredentialsError(credentials.CURE)
  if "SERVICE_DISABLED" in reasons and "quota project" not in message:
    return errors.ClusterAccessError(
      f"the Container API is not enabled in project '{project}': `gcloud "
      f"services enable {_SERVICE} --project={project}`",
      status=status,
    )
  if "quota project" in message or "USER_PROJECT_DENIED" in reasons:
    return errors.ClusterAccessError(
      f"the log-in names no project that may count its requests ({message}): "
      "`gcloud auth application-default set-quota-project "
      f"{project}`",
      status=status,
    )
  if status == 403:
    return errors.ClusterAccessError(
      f"whoever is logged in may not look at the clusters of project "
      f"'{project}', if there is such a project ({message}); who owns it can "
      f"allow it: `gcloud projects add-iam-policy-binding {project} "
      "--member=user:YOU --role=roles/container.developer`",
      status=status,
    )
  return errors.ClusterError(
    f"Google's Container API refuses ({status}): {message}", status=status
  )
