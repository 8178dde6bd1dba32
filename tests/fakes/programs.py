"""A program for engines: as much of what `up` makes as tests look at."""

from collections.abc import Mapping
from typing import Any

import pulumi

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Program
from keras_remote.cli.infra.kinds import (
  BUCKET,
  CLUSTER,
  IMAGES,
  POOL,
  REPOSITORY,
)


class _Resource(pulumi.CustomResource):
  def __init__(self, kind: str, name: str, inputs: dict[str, Any]) -> None:
    super().__init__(kind, name, inputs)


def small(
  config: InfraConfig, *, adopted: Mapping[str, str] | None = None
) -> Program:
  """A cluster with its bucket, images and pools, and no more."""

  def program() -> None:
    cluster = {"name": config.cluster, "location": config.location}
    if "cluster" not in (adopted or {}):
      cluster["network"] = "private" if config.private_nodes else "public"
    _Resource(CLUSTER, "cluster", cluster)
    _Resource(BUCKET, "jobs", {"name": config.bucket})
    _Resource(
      REPOSITORY,
      IMAGES,
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


def ids(config: InfraConfig) -> dict[str, str]:
  """What Google may know before, by the names here."""
  names = ("cluster", "jobs", IMAGES, *(p.name for p in config.every_pool))
  return {name: f"{config.project}/{name}" for name in names}
