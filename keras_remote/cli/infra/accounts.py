"""Service accounts: what machines, jobs and builds are towards Google Cloud."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import serviceaccount

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.ownership import Ownership


@dataclass(frozen=True)
class Accounts:
  """The three, each with no right but those of `grants.py`."""

  nodes: serviceaccount.Account
  jobs: serviceaccount.Account
  builds: serviceaccount.Account


def accounts(
  config: InfraConfig,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> Accounts:
  """The accounts of a cluster."""

  def account(name: str, account_id: str, what: str) -> serviceaccount.Account:
    return serviceaccount.Account(
      name,
      project=config.project,
      account_id=account_id,
      display_name=f"keras_remote: {what} of {config.cluster}",
      description=config.description,
      # By its description whose it is is told later.
      opts=ownership.options(
        name, after=after, foreign=["description", "display_name"]
      ),
    )

  return Accounts(
    account("account-nodes", config.node_account, "machines"),
    account("account-jobs", config.job_account, "jobs"),
    account("account-builds", config.build_account, "builds of images"),
  )
