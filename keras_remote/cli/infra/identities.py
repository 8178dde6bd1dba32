"""What Google knows a resource by, from what the program says of it."""

from collections.abc import Callable, Mapping
from typing import Any

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Resource

ACCOUNT = "gcp:serviceaccount/account:Account"
BUCKET = "gcp:storage/bucket:Bucket"
CLUSTER = "gcp:container/cluster:Cluster"
POOL = "gcp:container/nodePool:NodePool"
REPOSITORY = "gcp:artifactregistry/repository:Repository"

_Inputs = Mapping[str, Any]


def identity(resource: Resource, config: InfraConfig) -> str | None:
  """What `Engine.adopt` takes for it; None of what cannot be taken over."""
  write = _WRITTEN.get(resource.kind)
  try:
    return write(resource.inputs, config) if write else None
  except KeyError:  # Google was to give it a name.
    return None


def _account(inputs: _Inputs, config: InfraConfig) -> str:
  email = config.email(inputs["accountId"])
  return f"projects/{config.project}/serviceAccounts/{email}"


def _bucket(inputs: _Inputs, config: InfraConfig) -> str:
  return inputs["name"]


def _cluster(inputs: _Inputs, config: InfraConfig) -> str:
  place = f"projects/{config.project}/locations/{config.location}"
  return f"{place}/clusters/{inputs['name']}"


def _pool(inputs: _Inputs, config: InfraConfig) -> str:
  place = f"{config.project}/{config.location}/{config.cluster}"
  return f"{place}/{inputs['name']}"


def _repository(inputs: _Inputs, config: InfraConfig) -> str:
  place = f"projects/{config.project}/locations/{inputs['location']}"
  return f"{place}/repositories/{inputs['repositoryId']}"


_WRITTEN: Mapping[str, Callable[[_Inputs, InfraConfig], str]] = {
  ACCOUNT: _account,
  BUCKET: _bucket,
  CLUSTER: _cluster,
  POOL: _pool,
  REPOSITORY: _repository,
}
