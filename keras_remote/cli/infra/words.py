"""What kinds of resources are called, for people."""

from keras_remote.cli.infra.engine import Resource

_NOUNS = {
  "gcp:artifactregistry/repository:Repository": "image repository",
  "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": "right",
  "gcp:compute/firewall:Firewall": "firewall rule",
  "gcp:compute/network:Network": "network",
  "gcp:compute/resourcePolicy:ResourcePolicy": "placement policy",
  "gcp:compute/router:Router": "router",
  "gcp:compute/routerNat:RouterNat": "address translation",
  "gcp:compute/subnetwork:Subnetwork": "subnetwork",
  "gcp:container/cluster:Cluster": "cluster",
  "gcp:container/nodePool:NodePool": "node pool",
  "gcp:projects/iAMMember:IAMMember": "right",
  "gcp:projects/service:Service": "API",
  "gcp:serviceaccount/account:Account": "service account",
  "gcp:serviceaccount/iAMMember:IAMMember": "right",
  "gcp:storage/bucket:Bucket": "bucket",
  "gcp:storage/bucketIAMMember:BucketIAMMember": "right",
}
# What says what a resource is really called, by what it is.
_NAMES = ("service", "repositoryId", "accountId", "role", "name")


def noun(kind: str) -> str:
  """What a kind is, such as "node pool"; else the kind's own last word."""
  return _NOUNS.get(kind) or kind.rpartition(":")[2]


def title(resource: Resource) -> str:
  """What the resource itself is called, else the program's name of it."""
  for key in _NAMES:
    value = resource.inputs.get(key)
    if isinstance(value, str) and value:
      return value.removeprefix("roles/")
  return resource.name


def named(resource: Resource) -> str:
  """The resource in a sentence, such as "the node pool tpu-v5e-8"."""
  return f"the {noun(resource.kind)} {title(resource)}"
