"""What is in a cluster for jobs and for members, as data."""

from dataclasses import replace

from keras_remote.backend.k8s import rights
from keras_remote.backend.k8s.objects import Object
from keras_remote.cli.config import InfraConfig

# Of the role of members, its binding, and the quota.
NAME = "keras-remote"
_RBAC = "rbac.authorization.k8s.io"
# What Workload Identity reads: whom the service account is in Google Cloud.
_IDENTITY = "iam.gke.io/gcp-service-account"


def objects(config: InfraConfig) -> list[Object]:
  """What jobs and members need, in the order of its making."""
  made = [
    _account(config),
    _of(config, f"{_RBAC}/v1", "Role", NAME, rules=rights.rules()),
    _binding(config, "RoleBinding", "Role"),
    _cluster_role(config),
    _binding(config, "ClusterRoleBinding", "ClusterRole"),
  ]
  if config.namespace != "default":
    made.insert(0, _of(config, "v1", "Namespace", config.namespace))
  if config.quota:
    hard = {"hard": dict(config.quota)}
    made.append(_of(config, "v1", "ResourceQuota", NAME, spec=hard))
  return made


def withdrawn(config: InfraConfig) -> list[Object]:
  """The bindings of the config's namespace without any member."""
  nobody = replace(config, members=())
  return [
    _binding(nobody, "RoleBinding", "Role"),
    _binding(nobody, "ClusterRoleBinding", "ClusterRole"),
  ]


def namespace_of(binding: Object) -> str:
  """The namespace that a ClusterRoleBinding of ours is for."""
  return str(binding["metadata"]["name"]).removeprefix(f"{NAME}-")


def subject(member: str) -> Object:
  """Whom a member is to the cluster, to which Google tells an address.

  A group is known there where the cluster has Google Groups for RBAC, as one
  that `up` made has where a member is a group.
  """
  kind, _, address = member.partition(":")
  return {
    "apiGroup": _RBAC,
    "kind": "Group" if kind == "group" else "User",
    "name": address,
  }


def _account(config: InfraConfig) -> Object:
  """Whom jobs are: in the cluster nobody, in Google Cloud the job account."""
  found = _of(config, "v1", "ServiceAccount", config.kubernetes_account)
  address = config.email(config.job_account)
  found["metadata"]["annotations"] = {_IDENTITY: address}
  return {**found, "automountServiceAccountToken": False}


def _cluster_role(config: InfraConfig) -> Object:
  """What members are told why a job waits by: machines, and the namespace."""
  rules = [
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
    {
      "apiGroups": [""],
      "resources": ["namespaces"],
      "resourceNames": [config.namespace],
      "verbs": ["get"],
    },
  ]
  name = _cluster_name(config)
  return _of(config, f"{_RBAC}/v1", "ClusterRole", name, rules=rules)


def _binding(config: InfraConfig, kind: str, role: str) -> Object:
  """Who has the role; also where that is nobody, or members would stay."""
  name = NAME if role == "Role" else _cluster_name(config)
  return _of(
    config,
    f"{_RBAC}/v1",
    kind,
    name,
    roleRef={"apiGroup": _RBAC, "kind": role, "name": name},
    subjects=[subject(member) for member in config.members],
  )


def _cluster_name(config: InfraConfig) -> str:
  return f"{NAME}-{config.namespace}"


def _of(
  config: InfraConfig, version: str, kind: str, name: str, **fields: object
) -> Object:
  return {
    "apiVersion": version,
    "kind": kind,
    "metadata": {"name": name, "labels": dict(config.labels)},
    **fields,
  }
