"""All that a cluster consists of, in order: the program that Pulumi runs."""

from collections.abc import Callable, Mapping

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import bucket as buckets
from keras_remote.cli.infra import cluster as clusters
from keras_remote.cli.infra import network as networks
from keras_remote.cli.infra import pools as all_pools
from keras_remote.cli.infra import registry
from keras_remote.cli.infra.accounts import accounts
from keras_remote.cli.infra.bucket import bucket
from keras_remote.cli.infra.cluster import cluster
from keras_remote.cli.infra.grants import Granted, grants
from keras_remote.cli.infra.ownership import Ownership
from keras_remote.cli.infra.registry import repository
from keras_remote.cli.infra.services import services


def program(
  config: InfraConfig, *, adopted: Mapping[str, str] | None = None
) -> Callable[[], None]:
  """The program for a cluster.

  Args:
    adopted: what was there before, as some of `import_ids`: it is joined, not
      made, and not taken down; to be said each time. What the config does not
      ask for any more counts for nothing here.
  """
  ownership = Ownership(adopted or {})

  def run() -> None:
    enabled = services(config)
    who = accounts(config, ownership, enabled)
    images = repository(config, ownership, enabled)
    jobs = bucket(config, ownership, enabled)
    foreign = clusters.NAME in ownership.adopted
    where = None if foreign else networks.network(config, ownership, enabled)
    made = cluster(config, who.nodes, where, ownership, enabled)
    grants(config, Granted(who, jobs, images, made))
    all_pools.pools(config, made, who.nodes, ownership)

  return run


def import_ids(config: InfraConfig) -> Mapping[str, str]:
  """What may have been there before: its id, by the program's name for it."""
  project, location = config.project, config.location
  accounts = f"projects/{project}/serviceAccounts"
  place = f"projects/{project}/locations"
  return {
    clusters.NAME: f"{place}/{location}/clusters/{config.cluster}",
    **networks.import_ids(config),
    **all_pools.import_ids(config),
    buckets.NAME: f"{project}/{config.bucket}",
    registry.NAME: (
      f"{place}/{config.repository_location}/repositories/{config.repository}"
    ),
    "account-nodes": f"{accounts}/{config.email(config.node_account)}",
    "account-jobs": f"{accounts}/{config.email(config.job_account)}",
    "account-builds": f"{accounts}/{config.email(config.build_account)}",
  }
