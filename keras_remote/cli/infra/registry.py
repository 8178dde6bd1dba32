"""The repository of images, in Artifact Registry."""

from collections.abc import Sequence

import pulumi
from pulumi_gcp import artifactregistry

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.kinds import IMAGES, IMAGES_DESCRIPTION
from keras_remote.cli.infra.ownership import Ownership, all_but

NAME = IMAGES
_DAY = 24 * 60 * 60
# What was built so long ago is built anew when it is asked for; the latest
# stay.
_DAYS, _KEPT = 90, 20
_FOREIGN = all_but(
  artifactregistry.RepositoryArgs,
  "cleanup_policies",
  "cleanup_policy_dry_run",
  "labels",
)


def repository(
  config: InfraConfig,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> artifactregistry.Repository:
  """The repository, which forgets images by itself.

  All clusters of a project share it, as their images have one name if they
  have one content.
  """
  return artifactregistry.Repository(
    NAME,
    project=config.project,
    location=config.repository_location,
    repository_id=config.repository,
    format="DOCKER",
    description=IMAGES_DESCRIPTION,
    cleanup_policy_dry_run=False,
    cleanup_policies=[
      artifactregistry.RepositoryCleanupPolicyArgs(
        id="old",
        action="DELETE",
        condition=artifactregistry.RepositoryCleanupPolicyConditionArgs(
          tag_state="ANY", older_than=f"{_DAYS * _DAY}s"
        ),
      ),
      artifactregistry.RepositoryCleanupPolicyArgs(
        id="latest",
        action="KEEP",
        most_recent_versions=(
          artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
            keep_count=_KEPT
          )
        ),
      ),
    ],
    labels={"managed-by": config.labels["managed-by"]},
    opts=ownership.options(NAME, after=after, foreign=_FOREIGN),
  )
