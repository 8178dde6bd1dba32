"""What whoever makes a cluster must be allowed to, and who lacks that."""

import os
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import quote

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Change, Op

# gcloud's own variable, as that of the Container API.
OVERRIDE_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER"
_SERVICE = "cloudresourcemanager.googleapis.com"
# Seconds to connect, and for the answer.
_TIMEOUT = (10.0, 20.0)

# What making one of a kind takes, with the role that has it. Only what nobody
# can have but to the whole project: what one has made, or is given by itself,
# is not in Google's answer, and would be missed there.
MAKING: Mapping[str, Mapping[str, str]] = {
  "gcp:artifactregistry/repository:Repository": {
    "artifactregistry.repositories.create": "artifactregistry.admin",
    "artifactregistry.repositories.setIamPolicy": "artifactregistry.admin",
  },
  "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": {},
  "gcp:compute/firewall:Firewall": {
    "compute.firewalls.create": "compute.admin"
  },
  "gcp:compute/network:Network": {"compute.networks.create": "compute.admin"},
  "gcp:compute/resourcePolicy:ResourcePolicy": {
    "compute.resourcePolicies.create": "compute.admin"
  },
  "gcp:compute/router:Router": {"compute.routers.create": "compute.admin"},
  "gcp:compute/routerNat:RouterNat": {
    "compute.routers.update": "compute.admin"
  },
  "gcp:compute/subnetwork:Subnetwork": {
    "compute.subnetworks.create": "compute.admin"
  },
  "gcp:container/cluster:Cluster": {
    "container.clusters.create": "container.admin",
    # Of what is put into it: LeaderWorkerSets, and the rights of members.
    "container.clusterRoles.bind": "container.admin",
    "container.clusterRoles.escalate": "container.admin",
    "iam.serviceAccounts.actAs": "iam.serviceAccountUser",
  },
  "gcp:container/nodePool:NodePool": {
    "container.clusters.update": "container.admin"
  },
  "gcp:projects/iAMMember:IAMMember": {
    "resourcemanager.projects.setIamPolicy": "resourcemanager.projectIamAdmin"
  },
  # They come first, with nothing made, and those that are enabled take none.
  "gcp:projects/service:Service": {},
  "gcp:serviceaccount/account:Account": {
    "iam.serviceAccounts.create": "iam.serviceAccountAdmin",
    "iam.serviceAccounts.setIamPolicy": "iam.serviceAccountAdmin",
  },
  "gcp:serviceaccount/iAMMember:IAMMember": {},
  "gcp:storage/bucket:Bucket": {"storage.buckets.create": "storage.admin"},
  "gcp:storage/bucketIAMMember:BucketIAMMember": {},
}


def check(changes: Iterable[Change], config: InfraConfig) -> None:
  """Passes unless whoever is logged in is known to lack a right for the plan.

  Where Google does not say, as its API for that is not enabled in the project
  yet, what is lacking is found out when it is used.

  Raises:
    CredentialsError: a right is lacking; says which roles have it.
  """
  needed = {
    permission: role
    for change in changes
    if change.op is Op.CREATE
    for permission, role in MAKING.get(change.resource.kind, {}).items()
  }
  granted = _granted(config.project, needed) if needed else ()
  lacking: dict[str, list[str]] = {}
  for permission in sorted(needed):
    if granted is not None and permission not in granted:
      lacking.setdefault(needed[permission], []).append(permission)
  if not lacking:
    return
  rows = "\n".join(
    f"- {', '.join(names)}: roles/{role} has "
    f"{'them' if len(names) > 1 else 'it'}"
    for role, names in lacking.items()
  )
  raise errors.CredentialsError(
    f"whoever is logged in may not make all this in project {config.project}, "
    f"and nothing was made; what is missing:\n{rows}\n"
    "Who owns the project can grant each role, or roles/owner, which has all: "
    f"`gcloud projects add-iam-policy-binding {config.project} "
    f"--member=user:YOU --role=roles/{next(iter(lacking))}`"
  )


def _granted(
  project: str, permissions: Collection[str]
) -> Collection[str] | None:
  """Those that whoever is logged in has; None where Google does not say."""
  from keras_remote import credentials  # Here somebody is logged in.

  base = os.environ.get(OVERRIDE_VARIABLE) or f"https://{_SERVICE}/"
  name = quote(project, safe=":")
  url = f"{base.rstrip('/')}/v1/projects/{name}:testIamPermissions"
  asked = {"permissions": sorted(permissions)}
  try:
    with credentials.AccessToken().session() as session:
      answer = session.post(url, json=asked, timeout=_TIMEOUT)
      answer.raise_for_status()
      return set(answer.json().get("permissions", ()))
  except (credentials.GoogleAuthError, OSError, ValueError):
    return None
