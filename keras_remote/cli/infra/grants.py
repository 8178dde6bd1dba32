"""Who may do what: every binding, as a table, and as resources."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import (
  artifactregistry,
  container,
  projects,
  serviceaccount,
  storage,
)

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.accounts import Accounts


class On(enum.Enum):
  """What a right is a right to."""

  PROJECT = "project"
  BUCKET = "bucket"
  STATE = "state"
  REPOSITORY = "repository"
  JOBS = "jobs"
  BUILDS = "builds"


@dataclass(frozen=True)
class Grant:
  """One right of one member."""

  on: On
  role: str
  member: str

  @property
  def name(self) -> str:
    """What the program calls it."""
    role = self.role.removeprefix("roles/")
    return f"grant-{self.on.value}-{role}-{self.member}"


# What machines need to tell how they are.
_NODES = "roles/container.defaultNodeServiceAccount"
_READS_IMAGES = "roles/artifactregistry.reader"
_WRITES_IMAGES = "roles/artifactregistry.writer"
_READS_OBJECTS = "roles/storage.objectViewer"
_USES_OBJECTS = "roles/storage.objectUser"
# Cloud Build looks at the bucket itself before it writes a log there.
_SEES_BUCKET = "roles/storage.legacyBucketReader"
_WRITES_LOGS = "roles/logging.logWriter"
_IS_ACCOUNT = "roles/iam.workloadIdentityUser"
# Of somebody who runs jobs, and only that.
_MEMBER = (
  # Has container.clusters.connect too, which a control plane's name asks for.
  (On.PROJECT, "roles/container.clusterViewer"),
  (On.PROJECT, "roles/cloudbuild.builds.editor"),
  (On.PROJECT, "roles/serviceusage.serviceUsageConsumer"),
  # Lists buckets, by which `init` knows that theirs is of this project.
  (On.PROJECT, "roles/storage.bucketViewer"),
  (On.BUCKET, _USES_OBJECTS),
  # Where the clusters are written that `init` finds.
  (On.STATE, _READS_OBJECTS),
  (On.REPOSITORY, _READS_IMAGES),
  (On.BUILDS, "roles/iam.serviceAccountUser"),
)


def table(config: InfraConfig) -> Iterator[Grant]:
  """Every right that the program gives, and to whom."""
  nodes = _account(config, config.node_account)
  jobs = _account(config, config.job_account)
  builds = _account(config, config.build_account)
  yield Grant(On.PROJECT, _NODES, nodes)
  yield Grant(On.REPOSITORY, _READS_IMAGES, nodes)
  yield Grant(On.BUCKET, _USES_OBJECTS, jobs)
  yield Grant(On.JOBS, _IS_ACCOUNT, _in_cluster(config))
  yield Grant(On.REPOSITORY, _WRITES_IMAGES, builds)
  yield Grant(On.BUCKET, _USES_OBJECTS, builds)
  yield Grant(On.BUCKET, _SEES_BUCKET, builds)
  yield Grant(On.PROJECT, _WRITES_LOGS, builds)
  for member in sorted(set(config.members)):
    for on, role in _MEMBER:
      yield Grant(on, role, member)


def shared(of: InfraConfig, where: InfraConfig) -> set[str]:
  """Names of rights of one config that are rights to what another has too.

  Whoever may use several clusters of a project has such a right once.
  """
  on = {On.PROJECT, On.STATE}
  if of.repository_location == where.repository_location:
    on.add(On.REPOSITORY)
  return {grant.name for grant in table(of) if grant.on in on}


def _account(config: InfraConfig, account: str) -> str:
  return f"serviceAccount:{config.email(account)}"


def _in_cluster(config: InfraConfig) -> str:
  """Who a job is before it is somebody towards Google Cloud."""
  who = f"{config.namespace}/{config.kubernetes_account}"
  return f"serviceAccount:{config.workload_pool}[{who}]"


@dataclass(frozen=True)
class Granted:
  """What rights are given to, once it is there."""

  accounts: Accounts
  bucket: storage.Bucket
  repository: artifactregistry.Repository
  cluster: container.Cluster


def grants(config: InfraConfig, there: Granted) -> list[pulumi.Resource]:
  """Every right of the table; none of somebody else is touched."""
  first = _first(config, there)
  return [_grant(config, there, each, first) for each in table(config)]


def _first(config: InfraConfig, there: Granted) -> dict[str, pulumi.Resource]:
  """What must be there for a member."""
  accounts = there.accounts
  return {
    _account(config, config.node_account): accounts.nodes,
    _account(config, config.job_account): accounts.jobs,
    _account(config, config.build_account): accounts.builds,
    # The pool of identities that it is of comes with a first cluster.
    _in_cluster(config): there.cluster,
  }


def _grant(
  config: InfraConfig,
  there: Granted,
  grant: Grant,
  first: Mapping[str, pulumi.Resource],
) -> pulumi.Resource:
  name, role, member = grant.name, grant.role, grant.member
  before = [first[member]] if member in first else []
  # An account is there once the project's services are enabled.
  opts = pulumi.ResourceOptions(depends_on=[*before, there.accounts.nodes])
  if grant.on is On.PROJECT:
    return projects.IAMMember(
      name, project=config.project, role=role, member=member, opts=opts
    )
  if grant.on is On.REPOSITORY:
    return artifactregistry.RepositoryIamMember(
      name,
      project=config.project,
      location=there.repository.location,
      repository=there.repository.name,
      role=role,
      member=member,
      opts=opts,
    )
  if grant.on in (On.BUCKET, On.STATE):
    ours = grant.on is On.BUCKET
    return storage.BucketIAMMember(
      name,
      bucket=there.bucket.name if ours else config.state_bucket,
      role=role,
      member=member,
      opts=opts,
    )
  accounts = there.accounts
  account = accounts.jobs if grant.on is On.JOBS else accounts.builds
  return serviceaccount.IAMMember(
    name,
    service_account_id=account.name,
    role=role,
    member=member,
    opts=opts,
  )
