"""What of a job is secret, and the key that signs for the namespace."""

import base64
import os
import re
from collections.abc import Iterable, Mapping

from keras_remote import errors
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import SECRETS, Object
from keras_remote.home import KEY_BYTES

KEY_SECRET = "keras-remote-key"
# The item of a Secret that holds a key; names of variables have a prefix.
KEY = "key"
# The item of a job's Secret that says what it installs.
RECIPE = "recipe"
_VARIABLE = "env."
# The annotation that says which of two jobs of one id it is of.
_SPEC = "keras-remote/spec"
# What every version of Kubernetes takes for a variable's name.
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*", re.ASCII)


def check_names(environ: Mapping[str, str]) -> None:
  """Passes for variables that a pod can have.

  Raises:
    ConfigError: one cannot be; its value is not shown.
  """
  for name, value in environ.items():
    if not _NAME.fullmatch(name):
      raise errors.ConfigError(
        f"Kubernetes takes no variable of the name {name!r}: letters, digits, "
        "'_', '-' and '.' may be in it, and no digit at its begin"
      )
    try:
      value.encode()
    except UnicodeEncodeError as error:
      raise errors.ConfigError(
        f"Kubernetes takes no variable such as {name}, whose value is no UTF-8"
      ) from error


def variables(secret: str, names: Iterable[str]) -> list[Object]:
  """The variables of a container that come from the Secret of its job."""
  return [
    {
      "name": name,
      "valueFrom": {"secretKeyRef": {"name": secret, "key": _VARIABLE + name}},
    }
    for name in names
  ]


def job_secret(
  name: str,
  labels: Mapping[str, str],
  key: bytes,
  environ: Mapping[str, str],
  recipe: bytes = b"",
  *,
  spec: str = "",
) -> Object:
  """The Secret of a job: its key, and the values of its variables.

  Args:
    recipe: of what it installs, with another key; empty where it does not.
    spec: the digest of the job's spec.
  """
  values = {_VARIABLE + each: text.encode() for each, text in environ.items()}
  if recipe:
    values[RECIPE] = recipe
  secret = _secret(name, labels, {KEY: key, **values})
  secret["metadata"]["annotations"] = {_SPEC: spec}
  return secret


def own(cluster: Cluster, secret: Object) -> None:
  """Has a job that is stored get this Secret, where there was one.

  Another job of its id, which could not be stored, may have been faster.
  """
  name = secret["metadata"]["name"]
  found = cluster.get(SECRETS, name)
  while found is None or not _is_same(found, secret):
    if found:
      cluster.delete(SECRETS, name, uid=found["metadata"]["uid"])
    found = cluster.create(SECRETS, secret) or cluster.get(SECRETS, name)


def disown(cluster: Cluster, secret: Object, created: Object | None) -> None:
  """Removes the Secret of a job that is not stored, but no other job's."""
  name = secret["metadata"]["name"]
  found = created or cluster.get(SECRETS, name)
  if found and _is_same(found, secret):
    cluster.delete(SECRETS, name, uid=found["metadata"]["uid"])


def _is_same(found: Object, secret: Object) -> bool:
  """Whether both are of the same job, not of the same id alone."""
  there = found["metadata"].get("annotations") or {}
  return there.get(_SPEC) == secret["metadata"]["annotations"][_SPEC]


def cluster_key(cluster: Cluster, labels: Mapping[str, str]) -> bytes:
  """The key from which the keys of jobs are made; the first caller makes it.

  Raises:
    ClusterAccessError: this user may not read it.
    ClusterError: it is no key.
  """
  try:
    found = cluster.get(SECRETS, KEY_SECRET)
  except errors.ClusterAccessError as error:
    raise errors.ClusterAccessError(
      f"{error}. Without the Secret {KEY_SECRET} nobody knows whose an ending "
      "or a result is, so nothing of it is used: states and logs are shown "
      "all the same. Whoever owns the namespace gives the right to it: "
      f"`{cluster.name.kubectl} -n {cluster.namespace} create role "
      f"{KEY_SECRET}-reader --verb=get --resource=secrets "
      f"--resource-name={KEY_SECRET}`, and a rolebinding of that to you",
      status=error.status,
    ) from error
  if found is None:
    body = _secret(KEY_SECRET, labels, {KEY: os.urandom(KEY_BYTES)})
    # Who is faster gives it to all.
    found = cluster.create(SECRETS, body | {"immutable": True})
    found = found or cluster.get(SECRETS, KEY_SECRET)
  data = (found or {}).get("data") or {}
  key = base64.b64decode(data.get(KEY, ""))
  if len(key) != KEY_BYTES:
    raise errors.ClusterError(
      f"the Secret {KEY_SECRET} of namespace '{cluster.namespace}' holds no "
      "key of keras_remote: delete it; results that were signed with it can "
      "then no longer be checked"
    )
  return key


def _secret(
  name: str, labels: Mapping[str, str], data: Mapping[str, bytes]
) -> Object:
  return {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": name, "labels": dict(labels)},
    "type": "Opaque",
    "data": {
      each: base64.b64encode(value).decode() for each, value in data.items()
    },
  }
