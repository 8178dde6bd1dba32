"""How what jobs need gets into a cluster, LeaderWorkerSets too.

It is applied after Google Cloud's side, over the connection that jobs use, so
that one way serves the cluster that `up` made and any other. NVIDIA's driver
needs nothing here: GKE installs it on each machine that has GPUs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keras_remote import clock, errors
from keras_remote.backend.k8s.cluster import MANAGER, Cluster
from keras_remote.backend.k8s.objects import (
  QUOTAS,
  SETS,
  Applied,
  Kind,
  Object,
)
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import manifests
from keras_remote.progress import Report, Step, silent

_DEFINITION = "CustomResourceDefinition"
_DEFINITIONS = Kind(
  "apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
)
_CLUSTER_BINDINGS = Kind(
  "apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False
)
_NAMESPACES = Kind("api/v1", "namespaces", namespaced=False)
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
  done = install(there, manifests.objects(config), report)
  done += _left(cluster, config, report)
  if config.quota or not there.has(QUOTAS, manifests.NAME):
    return done
  there.delete(QUOTAS, manifests.NAME)
  gone = Done(
    "ResourceQuota", manifests.NAME, config.namespace, Applied.CHANGED
  )
  return *done, gone


def withdraw(
  cluster: Cluster, config: InfraConfig, report: Report = silent
) -> None:
  """Takes out of a cluster that stays what `apply` alone has put there.

  Of what others have written in too only members lose what they had.
  Namespaces stay, and LeaderWorkerSets: others may use them.

  Raises:
    ClusterError: the cluster cannot be reached or refuses.
  """
  kinds = Kinds(cluster)
  before = map(manifests.namespace_of, _bindings(cluster, config))
  for namespace in {config.namespace, *before}:
    there = replace(cluster, namespace=namespace)
    nobody = replace(config, namespace=namespace, members=())
    for body in manifests.objects(nobody):
      kind, name = kinds.of(body), body["metadata"]["name"]
      found = there.metadata(kind, name) or {}
      labels = found.get("labels") or {}
      ours = config.labels.items() <= labels.items()
      if not ours or body["kind"] == "Namespace":
        continue
      report(Step(f"removing {body['kind']} {name}"))
      if _managers(found) == {MANAGER}:
        there.delete(kind, name)
      elif "subjects" in body:
        there.apply(kind, body)


def _managers(metadata: Object) -> set[str]:
  """Who has written in the object, beside who keeps its status."""
  fields = metadata.get("managedFields") or ()
  return {each["manager"] for each in fields if not each.get("subresource")}


def _bindings(cluster: Cluster, config: InfraConfig) -> Sequence[Object]:
  """The cluster's bindings that are ours: one a namespace that had jobs."""
  labels = ",".join(f"{name}={value}" for name, value in config.labels.items())
  return cluster.list(_CLUSTER_BINDINGS, labels).items


def _left(
  cluster: Cluster, config: InfraConfig, report: Report
) -> tuple[Done, ...]:
  """Members have rights no more in namespaces where jobs were before."""
  done: tuple[Done, ...] = ()
  for binding in _bindings(cluster, config):
    namespace = manifests.namespace_of(binding)
    if namespace == config.namespace or not binding.get("subjects"):
      continue
    old = manifests.withdrawn(replace(config, namespace=namespace))
    if cluster.metadata(_NAMESPACES, namespace) is None:
      del old[0]
    done += install(replace(cluster, namespace=namespace), old, report)
  return done


def have_sets(
  cluster: Cluster, source: str = "", report: Report = silent
) -> tuple[Done, ...]:
  """Has LeaderWorkerSets be installed, and wait for their controller.

  Those that somebody else has installed are left as they are, and those of
  the same source that answer are not looked at any further. Where no source
  is named, those of a file or of another page are left, too.

  Args:
    source: as of `provision`.

  Raises:
    ClusterError, ConfigError: as `provision`.
  """
  from keras_remote.cli.infra import releases

  wanted, answer = source or releases.address(), False
  found = cluster.metadata(_DEFINITIONS, _SETS_NAME)
  if found is not None:
    if MANAGER not in _managers(found):
      left = "LeaderWorkerSets are there, by somebody else: left as they are"
      report(Step(left))
      return ()
    there = (found.get("annotations") or {}).get(_SOURCE, "")
    if not source and there and not releases.is_released(there):
      wait_for_sets(cluster, report)
      return ()
    answer = _refusal_of_sets(cluster) is None
    if answer and there == wanted:
      return ()
  report(Step("fetching the manifest of LeaderWorkerSets"))
  try:
    bodies = releases.manifest(wanted)
  except errors.ConfigError as error:
    if source or not answer:
      raise
    # An older release will do.
    report(Step(f"LeaderWorkerSets stay as they are: {error}", warning=True))
    return ()
  for body in bodies:
    if body["metadata"]["name"] == _SETS_NAME:
      body["metadata"].setdefault("annotations", {})[_SOURCE] = wanted
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
