"""What `keras-remote up` makes, as data: InfraConfig.

All that is made gets its name here, in one place. A config that exists is well
formed; `check_zone` says also whether its zone has what it asks for.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from keras_remote import errors
from keras_remote.accelerators import zones
from keras_remote.cli.node_pool import NodePool
from keras_remote.job import quantity

# As images/ has it, which is not imported for this: it loads much.
REPOSITORY = "keras-remote"
# The service account of Kubernetes that jobs are.
KUBERNETES_ACCOUNT = "keras-remote"
# As GKE's API calls them, without UNSPECIFIED.
RELEASE_CHANNELS = ("RAPID", "REGULAR", "STABLE", "EXTENDED")
# The CPU pool has one for what the cluster itself runs.
_CPU_LEAST, _CPU_MOST = 1, 8
# A project that was stored days ago is needed until its job has started.
_SHORTEST_RETENTION, _LONGEST_RETENTION = 14, 3650

_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z][a-z0-9]*")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_CLUSTER = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MEMBER = re.compile(r"(user|group|serviceAccount):[^@\s:]+@[^@\s:]+\.[^@\s:]+")
_RESOURCE = re.compile(r"[a-z][A-Za-z0-9./-]{0,252}")
# What Google lets these be called.
_BUCKET_LENGTH, _ACCOUNT_LENGTH = 63, 30
_HASH = 6


@dataclass(frozen=True)
class InfraConfig:
  """A cluster and all that belongs to it.

  Attributes:
    project: of Google Cloud, by its id.
    zone: where its machines are; the control plane too, unless `regional`.
    cluster: its name; everything else is named after it.
    regional: the control plane is in all zones of the region.
    pools: beside that of CPUs, which is always made; one for "cpu" here says
      how large that is.
    namespace: of Kubernetes, where jobs are.
    private_nodes: machines have no address that the internet reaches.
    retention_days: after which the bucket deletes what jobs left.
    quota: resources of the namespace and how much of each there may be, as
      Kubernetes writes them; none without.
    members: who may run jobs, as "user:ada@example.com", "group:…" or
      "serviceAccount:…".
    release_channel: when GKE upgrades it.
  """

  project: str
  zone: str
  cluster: str = "keras-remote"
  regional: bool = False
  pools: tuple[NodePool, ...] = ()
  namespace: str = "default"
  private_nodes: bool = False
  retention_days: int = 30
  quota: tuple[tuple[str, str], ...] = ()
  members: tuple[str, ...] = ()
  release_channel: str = "REGULAR"

  def __post_init__(self) -> None:
    _check_project(self.project)
    _check_place(self.zone)
    if not _CLUSTER.fullmatch(self.cluster):
      raise errors.ConfigError(
        f"no cluster can be called {self.cluster!r}: use up to 40 lowercase "
        "letters, digits and dashes, a letter first and no dash last"
      )
    self._check_pools()
    if not _NAMESPACE.fullmatch(self.namespace):
      raise errors.ConfigError(
        f"no namespace can be called {self.namespace!r}: use up to 63 "
        "lowercase letters, digits and dashes, no dash first or last"
      )
    if self.namespace.startswith(("kube-", "gke-", "gmp-")):
      raise errors.ConfigError(
        f"the namespace {self.namespace!r} is the cluster's own: give jobs "
        "another, such as 'default'"
      )
    if not _SHORTEST_RETENTION <= self.retention_days <= _LONGEST_RETENTION:
      raise errors.ConfigError(
        f"jobs cannot be kept for {self.retention_days} days: use "
        f"{_SHORTEST_RETENTION}, as one may wait for a week, to "
        f"{_LONGEST_RETENTION}"
      )
    self._check_quota()
    for member in self.members:
      _check_member(member)
    self._check_groups()
    if self.release_channel not in RELEASE_CHANNELS:
      raise errors.ConfigError(
        f"GKE has no release channel {self.release_channel!r}: use "
        f"{', '.join(RELEASE_CHANNELS)}"
      )

  def _check_pools(self) -> None:
    names: set[str] = set()
    for pool in self.pools:
      if pool.name in names:
        raise errors.ConfigError(
          f"two pools are called {pool.name}: give the second another number"
        )
      names.add(pool.name)
      if pool.accelerator == "cpu" and pool.number > 1:
        raise errors.ConfigError(
          f"the pool {pool.name} is a second one of plain CPUs: make the "
          "first larger, which jobs cannot tell from it"
        )
      if pool.accelerator == "cpu" and pool.min_nodes < 1:
        raise errors.ConfigError(
          "the pool of CPUs is to have no machine at times, but the cluster "
          "itself runs there: let it have 1 or more"
        )

  def _check_quota(self) -> None:
    for resource, amount in self.quota:
      try:
        quantity.number(amount)
      except ValueError:
        raise errors.ConfigError(
          f"the quota of {resource} is {amount!r}, which is no amount: use "
          "such as '8', '500m' or '64Gi'"
        ) from None
      if not _RESOURCE.fullmatch(resource):
        raise errors.ConfigError(
          f"no resource is called {resource!r}: use such as 'requests.cpu', "
          "'requests.nvidia.com/gpu' or 'requests.google.com/tpu'"
        )
    if len(dict(self.quota)) < len(self.quota):
      raise errors.ConfigError(
        "the quota names a resource twice: say once how much there may be"
      )

  def _check_groups(self) -> None:
    domains = sorted({_domain(group) for group in self.groups})
    if len(domains) > 1:
      raise errors.ConfigError(
        f"the groups among the members are of {' and '.join(domains)}, but a "
        "cluster knows groups of one domain only: name those people of the "
        "others each, as 'user:ada@example.com'"
      )

  def check_change(self, new: "InfraConfig") -> None:
    """Passes where a cluster that is this one can become that.

    What only a new cluster can be is told by the plan, which replaces it.

    Raises:
      ConfigError: it cannot: GKE would leave it as it is, and its machines
        would lose what they reach the internet by.
    """
    if self.private_nodes and not new.private_nodes:
      raise errors.ConfigError(
        f"the machines of {self.cluster} are private and stay so: leave "
        "--public-nodes out, or give --cluster another name"
      )

  def check_zone(self, table: zones.Offers | None = None) -> None:
    """Passes unless the zone is known to lack an accelerator.

    Apart from the other checks, as the table may be older than the zone's
    machines: what is there can always be shown and taken down.

    Args:
      table: which zones have what; None for ours.

    Raises:
      ConfigError: it does; the sentence names zones that have it.
    """
    table = table or zones.offers()
    for pool in self.pools:
      if not table.lacks(self.zone, pool.kind):
        continue
      others = table.zones(pool.kind)
      raise errors.ConfigError(
        f"{self.zone} has no {pool.accelerator}, as of {table.date}: "
        f"{zones.some(self.zone, others)} "
        f"{'has' if len(others) == 1 else 'have'} it"
      )

  def adding(self, pool: NodePool) -> "InfraConfig":
    """The same with one pool more, whose number is the next free one.

    Raises:
      ConfigError: there can be no other pool of this kind.
    """
    taken = {each.name for each in self.pools}
    while pool.name in taken:
      pool = replace(pool, number=pool.number + 1)
    return replace(self, pools=(*self.pools, pool))

  def having(self, pool: NodePool) -> "InfraConfig":
    """The same with the pool in place of the one of its name, or beside all."""
    if pool.name not in [each.name for each in self.pools]:
      return replace(self, pools=(*self.pools, pool))
    pools = tuple(pool if p.name == pool.name else p for p in self.pools)
    return replace(self, pools=pools)

  def without(self, name: str) -> "InfraConfig":
    """The same without the pool of this name.

    Raises:
      ConfigError: it has none.
    """
    left = tuple(each for each in self.pools if each.name != name)
    if len(left) == len(self.pools):
      names = ", ".join(each.name for each in self.pools) or "none"
      raise errors.ConfigError(
        f"the cluster {self.cluster} has no pool {name!r} that can be removed: "
        f"those are {names}"
      )
    return replace(self, pools=left)

  @property
  def cpu_pool(self) -> NodePool:
    """The pool for jobs without an accelerator, and for the cluster itself."""
    given = [each for each in self.pools if each.accelerator == "cpu"]
    return given[0] if given else NodePool("cpu", _CPU_LEAST, _CPU_MOST)

  @property
  def every_pool(self) -> tuple[NodePool, ...]:
    """All that are made, that of CPUs first."""
    cpu = self.cpu_pool
    return cpu, *(each for each in self.pools if each.name != cpu.name)

  @property
  def region(self) -> str:
    """The region of its zone."""
    return zones.zone_to_region(self.zone)

  @property
  def location(self) -> str:
    """Where GKE has the cluster: its zone, or its region."""
    return self.region if self.regional else self.zone

  @property
  def bucket(self) -> str:
    """The bucket of its jobs, without gs://."""
    return _short(f"{_folded(self.project)}-{self.cluster}", "-jobs")

  @property
  def state_bucket(self) -> str:
    """The bucket with the state of every cluster of the project."""
    return state_bucket(self.project)

  @property
  def repository(self) -> str:
    """The repository of images, which all clusters of the project share."""
    return REPOSITORY

  @property
  def repository_location(self) -> str:
    """Where Artifact Registry has it."""
    return zones.zone_to_ar_location(self.zone)

  @property
  def node_account(self) -> str:
    """The id of the service account that machines are."""
    return self._account("-nodes")

  @property
  def job_account(self) -> str:
    """The id of the service account that jobs are towards Google Cloud."""
    return self._account("-jobs")

  @property
  def build_account(self) -> str:
    """The id of the service account that builds images."""
    return self._account("-builds")

  @property
  def kubernetes_account(self) -> str:
    """The service account that jobs are in the cluster."""
    return KUBERNETES_ACCOUNT

  @property
  def labels(self) -> Mapping[str, str]:
    """What marks all that belongs to it."""
    return {"managed-by": "keras-remote", "keras-remote-cluster": self.cluster}

  @property
  def description(self) -> str:
    """The same for what takes no labels."""
    return f"Made by keras_remote for the cluster {self.cluster}"

  @property
  def groups(self) -> tuple[str, ...]:
    """The addresses of the groups among its members."""
    kind = "group:"
    return tuple(
      member.removeprefix(kind)
      for member in self.members
      if member.startswith(kind)
    )

  @property
  def security_group(self) -> str:
    """The group whose groups the cluster knows; "" where it needs none.

    Google has it be called so, in each domain.
    """
    return (
      f"gke-security-groups@{_domain(self.groups[0])}" if self.groups else ""
    )

  @property
  def workload_pool(self) -> str:
    """The identities that jobs have in the cluster."""
    return f"{self.project}.svc.id.goog"

  def email(self, account: str) -> str:
    """The address of a service account of the project, from its id."""
    domain, _, name = self.project.rpartition(":")
    whole = f"{name}.{domain}" if domain else name
    return f"{account}@{whole}.iam.gserviceaccount.com"

  def policy_name(self, pool: NodePool) -> str:
    """What a pool's placement policy is called, of which the region has one."""
    return _short(self.cluster, f"-{pool.name}")

  def _account(self, suffix: str) -> str:
    return _short(self.cluster, suffix, _ACCOUNT_LENGTH)


def state_bucket(project: str) -> str:
  """The bucket with the state of every cluster of the project."""
  return _short(_folded(project), "-keras-remote-state")


def _folded(project: str) -> str:
  """The project's id as part of a bucket's name: example.com:p has no dot."""
  return re.sub(r"[^a-z0-9]+", "-", project)


def _short(name: str, suffix: str, longest: int = _BUCKET_LENGTH) -> str:
  """The name with its suffix; what is too long ends in a digest of itself."""
  whole = name + suffix
  if len(whole) <= longest:
    return whole
  digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
  room = longest - len(suffix) - len(digest) - 1
  return f"{name[:room].rstrip('-')}-{digest}{suffix}"


def _check_project(project: str) -> None:
  if project.isdecimal():
    raise errors.ConfigError(
      f"{project} is the number of a project: give its id, which "
      f"`gcloud projects describe {project}` tells"
    )
  if not _PROJECT.fullmatch(project):
    raise errors.ConfigError(
      f"no project has the id {project!r}: it has 6 to 30 lowercase letters, "
      "digits and dashes; `gcloud projects list` shows yours"
    )


def _check_place(zone: str) -> None:
  if _REGION.fullmatch(zone):
    raise errors.ConfigError(
      f"{zone} is a region, but machines are in one zone of it: give that, "
      f"such as '{zone}-a'; the control plane can be in the whole region"
    )
  if not _ZONE.fullmatch(zone):
    raise errors.ConfigError(
      f"no zone is called {zone!r}: use one such as "
      f"'{zones.get_default_zone()}'"
    )


def _domain(address: str) -> str:
  return address.rpartition("@")[2].lower()


def _check_member(member: str) -> None:
  if _MEMBER.fullmatch(member):
    return
  kind, _, address = member.rpartition(":")
  hint = (
    f"'user:{address}'"
    if "@" in address and not kind
    else ("such as 'user:ada@example.com' or 'group:ml@example.com'")
  )
  raise errors.ConfigError(f"nobody is called {member!r}: write {hint}")
