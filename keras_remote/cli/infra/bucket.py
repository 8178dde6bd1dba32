"""The bucket of jobs: what they are, what they left, and for how long."""

from collections.abc import Sequence

import pulumi
from pulumi_gcp import storage

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.kinds import JOBS
from keras_remote.cli.infra.ownership import Ownership, all_but
from keras_remote.job import layout

NAME = JOBS
# All that the layout has: what is left of a job is of no use without it, and
# what is shared is put there again by the next job that needs it: a project
# also when it is old, and an environment by whoever finds none.
PREFIXES = (
  layout.JOBS,
  layout.INDEX,
  layout.CONTEXTS,
  layout.ENVIRONMENTS,
  layout.RUNNERS,
  f"{layout.BUILDS}/",
)
# What its maker has in it stays for as long as they said; by its labels whose
# it is is told later.
_FOREIGN = all_but(storage.BucketArgs)


def bucket(
  config: InfraConfig,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> storage.Bucket:
  """The bucket; one of ours is emptied when it is taken down."""
  return storage.Bucket(
    NAME,
    name=config.bucket,
    project=config.project,
    location=config.region.upper(),
    uniform_bucket_level_access=True,
    public_access_prevention="enforced",
    # What is deleted is gone, and costs nothing.
    soft_delete_policy=storage.BucketSoftDeletePolicyArgs(
      retention_duration_seconds=0
    ),
    lifecycle_rules=[
      storage.BucketLifecycleRuleArgs(
        action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
        condition=storage.BucketLifecycleRuleConditionArgs(
          age=config.retention_days, matches_prefixes=list(PREFIXES)
        ),
      )
    ],
    force_destroy=NAME not in ownership.adopted,
    labels=config.labels,
    opts=ownership.options(
      NAME,
      after=after,
      settled=["location"],
      foreign=_FOREIGN,
    ),
  )
