"""The GKE cluster itself: its control plane and what holds for all pools."""

from collections.abc import Sequence

import pulumi
from pulumi_gcp import container, serviceaccount

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.kinds import GKE
from keras_remote.cli.infra.machines import cpu_machine
from keras_remote.cli.infra.network import (
  PODS_RANGE,
  SERVICES_RANGE,
  Network,
)
from keras_remote.cli.infra.ownership import Ownership, all_but

NAME = GKE
_SETTLED = (
  # Of the machines that it is made with, and that go at once.
  "initial_node_count",
  "node_config",
  # GKE says it of a cluster without addresses, which never asked for it.
  "privateClusterConfig.enablePrivateEndpoint",
)
# Of somebody else's only what jobs need is changed.
_FOREIGN = all_but(
  container.ClusterArgs,
  "addons_config",
  "authenticator_groups_config",
  "cost_management_config",
  "workload_identity_config",
)


def cluster(
  config: InfraConfig,
  nodes: serviceaccount.Account,
  network: Network | None,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> container.Cluster:
  """The cluster, without a pool.

  Args:
    nodes: what machines are towards Google Cloud.
    network: where it is; None for one that is adopted, and is somewhere.
  """
  return container.Cluster(
    NAME,
    name=config.cluster,
    project=config.project,
    description=config.description,
    location=config.location,
    # Of a zone it is that zone; of a region it would be all of them.
    node_locations=[config.zone] if config.regional else None,
    network=network.network.id if network else None,
    subnetwork=network.subnet.id if network else None,
    networking_mode="VPC_NATIVE",
    ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
      cluster_secondary_range_name=PODS_RANGE,
      services_secondary_range_name=SERVICES_RANGE,
    ),
    private_cluster_config=_private() if config.private_nodes else None,
    control_plane_endpoints_config=_endpoints(config),
    release_channel=container.ClusterReleaseChannelArgs(
      channel=config.release_channel
    ),
    workload_identity_config=container.ClusterWorkloadIdentityConfigArgs(
      workload_pool=config.workload_pool
    ),
    authenticator_groups_config=_groups(config),
    addons_config=container.ClusterAddonsConfigArgs(
      gcs_fuse_csi_driver_config=(
        container.ClusterAddonsConfigGcsFuseCsiDriverConfigArgs(enabled=True)
      )
    ),
    # A job starts while its image still streams.
    node_pool_defaults=container.ClusterNodePoolDefaultsArgs(
      node_config_defaults=(
        container.ClusterNodePoolDefaultsNodeConfigDefaultsArgs(
          gcfs_config=(
            container.ClusterNodePoolDefaultsNodeConfigDefaultsGcfsConfigArgs(
              enabled=True
            )
          )
        )
      )
    ),
    cost_management_config=container.ClusterCostManagementConfigArgs(
      enabled=True
    ),
    # Pools are those that somebody asked for.
    cluster_autoscaling=container.ClusterClusterAutoscalingArgs(enabled=False),
    # Of one of ours that was interrupted before that, it goes now.
    remove_default_node_pool=True,
    initial_node_count=1,
    node_config=container.ClusterNodeConfigArgs(
      machine_type=cpu_machine(config), service_account=nodes.email
    ),
    resource_labels=config.labels,
    # `down` asks, and once is enough.
    deletion_protection=False,
    opts=ownership.options(
      NAME,
      after=[*after, *(network.ready if network else ())],
      settled=_SETTLED,
      foreign=_FOREIGN,
    ),
  )


def _groups(
  config: InfraConfig,
) -> container.ClusterAuthenticatorGroupsConfigArgs | None:
  """What tells the cluster of which groups somebody is."""
  if not config.security_group:
    return None
  return container.ClusterAuthenticatorGroupsConfigArgs(
    security_group=config.security_group
  )


def _private() -> container.ClusterPrivateClusterConfigArgs:
  return container.ClusterPrivateClusterConfigArgs(enable_private_nodes=True)


def _endpoints(
  config: InfraConfig,
) -> container.ClusterControlPlaneEndpointsConfigArgs:
  """By name, of anywhere, for whoever may; by address only where that helps."""
  by_name = container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
    allow_external_traffic=True
  )
  by_address = (
    container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(
      enabled=not config.private_nodes
    )
  )
  return container.ClusterControlPlaneEndpointsConfigArgs(
    dns_endpoint_config=by_name, ip_endpoints_config=by_address
  )
