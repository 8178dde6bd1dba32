"""What is in a cluster for jobs: its objects as data, and how they get there.

It is applied after Google Cloud's side, over the connection that jobs use, so
that one way serves the cluster that `up` made and any other. NVIDIA's driver
needs nothing here: GKE installs it on each machine that has GPUs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keras_remote import clock, errors
from keras_remote.backend.k8s import rights
from keras_remote.backend.k8s.cluster import MANAGER, Cluster
from keras_remote.backend.k8s.objects import (
  QUOTAS,
  SETS,
  Applied,
  Kind,
  Object,
)
from keras_remote.cli.config import InfraConfig
from keras_remote.progress import Report, Step, silent

_RBAC = "rbac.authorization.k8s.io"
# What Workload Identity reads: whom the service account is in Google Cloud.
_IDENTITY = "iam.gke.io/gcp-service-account"
# Of the role of members, its binding, and the quota.
_NAME = "keras-remote"
_DEFINITION = "CustomResourceDefinition"
_DEFINITIONS = Kind(
  "apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
)
_SETS_NAME = f"{SETS.plural}.{SETS.api_group}"
# On their definition: what they were installed of.
_SOURCE = "keras-remote/source"
# Seconds for which a new controller may take to answer, which has an image to
# pull and a certificate to make, and between looks: it pushes nothing.
_PATIENCE, _LOOK = 300.0, 2.0


@dataclass(frozen=True)
class Done:
  """What became of an object.

  Attributes:
    namespace: "" for one that is in none.
  """

  kind: str
  name: str
  namespace: str
  how: Applied


def objects(config: InfraConfig) -> list[Object]:
  """What jobs and members need, in the order of its making."""
  made = [
    _account(config),
    _of(config, f"{_RBAC}/v1", "Role", _NAME, rules=rights.rules()),
    _binding(config, "RoleBinding", "Role"),
    _cluster_role(config),
    _binding(config, "ClusterRoleBinding", "ClusterRole"),
  ]
  if config.namespace != "default":
    made.insert(0, _of(config, "v1", "Namespace", config.namespace))
  if config.quota:
    hard = {"hard": dict(config.quota)}
    made.append(_of(config, "v1", "ResourceQuota", _NAME, spec=hard))
  return made


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


def provision(
  cluster: Cluster,
  config: InfraConfig,
  report: Report = silent,
  *,
  source: str = "",
) -> tuple[Done, ...]:
  """Has all of it be there, LeaderWorkerSets too.

  Args:
    source: of their manifest: a file or a URL; "" for their project's page.

  Raises:
    ClusterError: the cluster cannot be reached or refuses, or the controller
      of sets does not answer.
    ConfigError: the manifest cannot be had.
  """
  done = apply(cluster, config, report)
  there = replace(cluster, namespace=config.namespace)
  return *done, *have_sets(there, source, report)


def apply(
  cluster: Cluster, config: InfraConfig, report: Report = silent
) -> tuple[Done, ...]:
  """Has what jobs and members need be there; twice changes nothing.

  Raises:
    ClusterError: the cluster cannot be reached or refuses.
  """
  there = replace(cluster, namespace=config.namespace)
  done = install(there, objects(config), report)
  if config.quota or not there.has(QUOTAS, _NAME):
    return done
  there.delete(QUOTAS, _NAME)
  gone = Done("ResourceQuota", _NAME, config.namespace, Applied.CHANGED)
  return *done, gone


def have_sets(
  cluster: Cluster, source: str = "", report: Report = silent
) -> tuple[Done, ...]:
  """Has LeaderWorkerSets be installed, and wait for their controller.

  Those that somebody else has installed are left as they are, and those of
  the same source that answer are not looked at any further.

  Args:
    source: as of `provision`.

  Raises:
    ClusterError, ConfigError: as `provision`.
  """
  from keras_remote.cli.infra import releases

  source = source or releases.address()
  found = cluster.metadata(_DEFINITIONS, _SETS_NAME)
  if found is not None:
    if MANAGER not in {each["manager"] for each in found["managedFields"]}:
      left = "LeaderWorkerSets are there, by somebody else: left as they are"
      report(Step(left))
      return ()
    same = (found.get("annotations") or {}).get(_SOURCE) == source
    if same and _refusal_of_sets(cluster) is None:
      return ()
  report(Step("fetching the manifest of LeaderWorkerSets"))
  bodies = releases.manifest(source)
  for body in bodies:
    if body["metadata"]["name"] == _SETS_NAME:
      body["metadata"].setdefault("annotations", {})[_SOURCE] = source
  done = install(cluster, bodies, report)
  wait_for_sets(cluster, report)
  return done


def install(
  cluster: Cluster, bodies: Sequence[Object], report: Report = silent
) -> tuple[Done, ...]:
  """Has the objects of a manifest be there, each in its own namespace.

  Raises:
    ClusterError: the cluster cannot be reached, refuses, or lacks a kind.
  """
  ordered = _first(bodies)
  return tuple(_applied(cluster, Kinds(cluster), ordered, report))


def summary(done: Iterable[Done]) -> str:
  """How many objects were made, how many changed, how many left."""
  count = Counter(each.how for each in done)
  same = count[Applied.SAME]
  if not count[Applied.MADE] and not count[Applied.CHANGED]:
    return f"Kubernetes: all {same} objects are as they were"
  return (
    f"Kubernetes: {count[Applied.MADE]} objects made, "
    f"{count[Applied.CHANGED]} changed, {same} as they were"
  )


def wait_for_sets(
  cluster: Cluster,
  report: Report = silent,
  *,
  patience: float = _PATIENCE,
  sleep: Callable[[float], object] = time.sleep,
) -> None:
  """Returns once the cluster would take a LeaderWorkerSet.

  Raises:
    ClusterError: it does not, after so many seconds.
  """
  began = clock.monotonic()
  while refusal := _refusal_of_sets(cluster):
    waited = clock.monotonic() - began
    if waited > patience:
      raise errors.ClusterError(
        f"{cluster.name.words} has LeaderWorkerSets now, but their controller "
        f"has not answered for {waited:.0f} s: `{cluster.name.kubectl} "
        "--namespace=lws-system get pods,events` shows why; then type the "
        f"same command again. It said: {refusal}",
        status=refusal.status,
      ) from refusal
    report(Step("waiting for the controller of sets", int(waited), unit="s"))
    sleep(_LOOK)


def _refusal_of_sets(cluster: Cluster) -> errors.ClusterError | None:
  """Why the cluster would not take a set now; None where it would.

  Raises:
    ClusterAccessError: this user may not have it do so.
  """
  try:
    cluster.warnings(SETS, _trial(), once=True)
  except errors.ClusterAccessError:
    raise
  except errors.ClusterError as error:
    return error
  return None


@dataclass(frozen=True)
class Kinds:
  """The kinds that a cluster has, each group asked for once."""

  cluster: Cluster
  known: dict[str, Mapping[str, Kind]] = field(default_factory=dict)

  def of(self, body: Object) -> Kind:
    """Where objects such as this one are.

    Raises:
      ClusterError: the cluster has no such kind.
    """
    version, name = body["apiVersion"], body["kind"]
    group = f"apis/{version}" if "/" in version else f"api/{version}"
    if group not in self.known:
      answer = self.cluster.api("GET", f"/{group}") or {}
      self.known[group] = {
        each["kind"]: Kind(group, each["name"], each["namespaced"])
        for each in answer.get("resources", ())
        if "/" not in each["name"]
      }
    if name not in self.known[group]:
      raise errors.ClusterError(
        f"{self.cluster.name.words} has no {name} of {version}: it is too old "
        "or too new for this manifest; give that of another version"
      )
    return self.known[group][name]


def _applied(
  cluster: Cluster, kinds: Kinds, bodies: Sequence[Object], report: Report
) -> Iterable[Done]:
  for number, body in enumerate(bodies, start=1):
    kind, metadata = kinds.of(body), body["metadata"]
    what = f"{body['kind']} {metadata['name']}"
    report(Step(f"applying {what} ({number} of {len(bodies)})"))
    namespace = metadata.get("namespace") or cluster.namespace
    there = replace(cluster, namespace=namespace)
    how = there.apply(kind, body)
    within = namespace if kind.namespaced else ""
    yield Done(body["kind"], metadata["name"], within, how)


def _first(bodies: Iterable[Object]) -> list[Object]:
  """What others are in, or are of, before them."""
  order = ("Namespace", _DEFINITION)

  def place(body: Object) -> int:
    kind = body["kind"]
    return order.index(kind) if kind in order else len(order)

  return sorted(bodies, key=place)


def _trial() -> Object:
  """A set that is never made."""
  pod = {"spec": {"containers": [{"name": "main", "image": "none"}]}}
  template = {"size": 1, "workerTemplate": pod}
  return {
    "apiVersion": f"{SETS.api_group}/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": "keras-remote-trial"},
    "spec": {"replicas": 1, "leaderWorkerTemplate": template},
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
  name = _NAME if role == "Role" else _cluster_name(config)
  return _of(
    config,
    f"{_RBAC}/v1",
    kind,
    name,
    roleRef={"apiGroup": _RBAC, "kind": role, "name": name},
    subjects=[subject(member) for member in config.members],
  )


def _cluster_name(config: InfraConfig) -> str:
  return f"{_NAME}-{config.namespace}"


def _of(
  config: InfraConfig, version: str, kind: str, name: str, **fields: object
) -> Object:
  return {
    "apiVersion": version,
    "kind": kind,
    "metadata": {"name": name, "labels": dict(config.labels)},
    **fields,
  }
