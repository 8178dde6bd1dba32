"""A program for engines: as much of what `up` makes as tests look at."""

from typing import Any

import pulumi

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Program
from keras_remote.cli.infra.identities import (
  BUCKET,
  CLUSTER,
  POOL,
  REPOSITORY,
)

_SERVICE = "gcp:projects/service:Service"
_RIGHT = "gcp:projects/iAMMember:IAMMember"


class _Resource(pulumi.CustomResource):
  def __init__(self, kind: str, name: str, inputs: dict[str, Any]) -> None:
    super().__init__(kind, name, inputs)


def small(config: InfraConfig) -> Program:
  """A cluster with its bucket, images and pools, and no more."""

  def program() -> None:
    _Resource(
      CLUSTER,
      "cluster",
      {
        "name": config.cluster,
        "location": config.location,
        "network": "private" if config.private_nodes else "public",
      },
    )
    _Resource(BUCKET, "jobs", {"name": config.bucket})
    _Resource(
      REPOSITORY,
      "images",
      {
        "repositoryId": config.repository,
        "location": config.repository_location,
      },
    )
    for pool in config.every_pool:
      _Resource(
        POOL,
        pool.name,
        {
          "name": pool.name,
          "cluster": config.cluster,
          "maxNodeCount": pool.most,
        },
      )

  return program


def large(config: InfraConfig) -> Program:
  """The same with several of what nobody reads one by one."""

  def program() -> None:
    small(config)()
    for name in ("compute", "container"):
      _Resource(_SERVICE, name, {"service": f"{name}.googleapis.com"})
    for role in ("roles/logging.logWriter", "roles/monitoring.viewer"):
      _Resource(_RIGHT, role, {"role": role, "member": "nodes"})

  return program
