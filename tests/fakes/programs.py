"""Programs for engines: as much of what `up` makes as tests look at, or all."""

from collections.abc import Mapping
from typing import Any

import pulumi

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Program
from keras_remote.cli.infra.kinds import (
  BUCKET,
  CLUSTER,
  GKE,
  IMAGES,
  IMAGES_DESCRIPTION,
  JOBS,
  POOL,
  REPOSITORY,
)
from keras_remote.cli.infra.program import program
from tests.fakes.pulumi_monitor import once


def whole(
  config: InfraConfig, *, adopted: Mapping[str, str] | None = None
) -> Program:
  """All that `up` makes, for the fake engine."""
  adopted = adopted or {}
  key = (config, tuple(sorted(adopted.items())))
  return once(program(config, adopted=adopted), key)


def small(
  config: InfraConfig, *, adopted: Mapping[str, str] | None = None
) -> Program:
  """A cluster with its bucket, images and pools, and no more."""

  def made(kind: str, name: str, marks: str, /, **inputs: Any) -> None:
    """Whose it is is written in the argument that is called so."""
    foreign = name in (adopted or {})
    opts = pulumi.ResourceOptions(ignore_changes=[marks] if foreign else [])
    pulumi.CustomResource(kind, name, inputs, opts)

  def run() -> None:
    cluster = {"name": config.cluster, "location": config.location}
    if GKE not in (adopted or {}):
      cluster["network"] = "private" if config.private_nodes else "public"
    made(
      CLUSTER, GKE, "resourceLabels", **cluster, resourceLabels=config.labels
    )
    made(BUCKET, JOBS, "labels", name=config.bucket, labels=config.labels)
    made(
      REPOSITORY,
      IMAGES,
      "description",
      repositoryId=config.repository,
      location=config.repository_location,
      description=IMAGES_DESCRIPTION,
    )
    for pool in config.every_pool:
      made(
        POOL,
        pool.name,
        "nodeConfig",
        name=pool.name,
        cluster=config.cluster,
        maxNodeCount=pool.most,
        nodeConfig={"resourceLabels": config.labels},
      )

  return run


def ids(config: InfraConfig) -> dict[str, str]:
  """What Google may know before, by the names here."""
  names = (GKE, JOBS, IMAGES, *(p.name for p in config.every_pool))
  return {name: f"{config.project}/{name}" for name in names}
