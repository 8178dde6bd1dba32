"""Node pools: machines that come when jobs wait and go when none is left."""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import pulumi
from pulumi_gcp import compute, container, serviceaccount

from keras_remote.accelerators.config import (
  Accelerator,
  GpuConfig,
  TpuConfig,
  topology_name,
)
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.machines import cpu_machine, driver
from keras_remote.cli.infra.ownership import Ownership, all_but

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# GKE taints machines with accelerators itself, spot ones it only labels.
_SPOT = "cloud.google.com/gke-spot"
_RESERVATION = "compute.googleapis.com/reservation-name"
# A pool has one kind of machine for ever, of which GKE says more than we, or
# less: some come with disks, and placements and taints are not all given back.
_SETTLED = (
  "initial_node_count",
  "placement_policy",
  "nodeConfig.ephemeralStorageLocalSsdConfig",
  "nodeConfig.localNvmeSsdBlockConfig",
  "nodeConfig.taints",
)
_FOREIGN = all_but(container.NodePoolArgs, "autoscaling")
# Of several hosts its slices want another kind of placement than others'.
_BY_WORKLOAD = "tpu7x"


def pools(
  config: InfraConfig,
  cluster: container.Cluster,
  nodes: serviceaccount.Account,
  ownership: Ownership,
) -> list[container.NodePool]:
  """Each pool of the config, that of CPUs first.

  The others come after it: GKE taints GPUs only where there are other machines.
  """
  cpu, *others = config.every_pool
  first = _pool(config, cpu, cluster, nodes, ownership, [])
  return [
    first,
    *(_pool(config, p, cluster, nodes, ownership, [first]) for p in others),
  ]


def import_ids(config: InfraConfig) -> Mapping[str, str]:
  """What Google knows each of these by, by the program's name for it."""
  place = f"{config.project}/{config.location}/{config.cluster}"
  policies = f"projects/{config.project}/regions/{config.region}"
  return {
    **{resource_name(p): f"{place}/{p.name}" for p in config.every_pool},
    **{
      _policy_resource(p): (
        f"{policies}/resourcePolicies/{config.policy_name(p)}"
      )
      for p in config.every_pool
      if _needs_policy(p.kind)
    },
  }


def resource_name(pool: NodePool) -> str:
  """What the program calls it."""
  return f"pool-{pool.name}"


def _pool(
  config: InfraConfig,
  pool: NodePool,
  cluster: container.Cluster,
  nodes: serviceaccount.Account,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> container.NodePool:
  name = resource_name(pool)
  return container.NodePool(
    name,
    name=pool.name,
    project=config.project,
    cluster=cluster.name,
    location=config.location,
    node_locations=[config.zone],
    # It counts once: nothing fills a pool up to its minimum by itself.
    initial_node_count=pool.min_nodes,
    # In one zone this is all of them; a total is refused for TPUs.
    autoscaling=container.NodePoolAutoscalingArgs(
      min_node_count=pool.min_nodes,
      max_node_count=pool.most,
      location_policy="ANY",
    ),
    management=container.NodePoolManagementArgs(
      auto_repair=True, auto_upgrade=True
    ),
    maintenance_policies=_maintenance(pool.kind),
    placement_policy=placement(
      pool.kind, _policy(config, pool, cluster, ownership)
    ),
    node_config=machines(config, pool, nodes.email),
    # Of the cluster it holds only for pools that are made later.
    network_config=_private() if config.private_nodes else None,
    opts=ownership.options(
      name, after=after, settled=_SETTLED, foreign=_FOREIGN
    ),
  )


def machines(
  config: InfraConfig, pool: NodePool, account: pulumi.Input[str]
) -> container.NodePoolNodeConfigArgs:
  """What each machine of a pool is.

  Args:
    account: what it is towards Google Cloud.
  """
  kind = pool.kind
  return container.NodePoolNodeConfigArgs(
    machine_type=_machine_type(config, kind),
    # The only one that streams images and takes any driver.
    image_type="COS_CONTAINERD",
    spot=kind.spot,
    taints=_taints(kind),
    guest_accelerators=_gpus(kind),
    reservation_affinity=_reservation(pool),
    gcfs_config=container.NodePoolNodeConfigGcfsConfigArgs(enabled=True),
    service_account=account,
    oauth_scopes=[_SCOPE],
    # A job is its own account, never the machine's.
    workload_metadata_config=(
      container.NodePoolNodeConfigWorkloadMetadataConfigArgs(
        mode="GKE_METADATA"
      )
    ),
    resource_labels=config.labels,
  )


def _private() -> container.NodePoolNetworkConfigArgs:
  return container.NodePoolNetworkConfigArgs(enable_private_nodes=True)


def _maintenance(
  kind: Accelerator,
) -> list[container.NodePoolMaintenancePolicyArgs] | None:
  """What has GKE upgrade no machines under a job while it supports them.

  It says no times, which GKE itself works out: they would change each day.
  """
  if kind.category == "cpu":
    # What the cluster itself runs there moves to another machine.
    return None
  return [
    container.NodePoolMaintenancePolicyArgs(
      exclusion_until_end_of_supports=[
        container.NodePoolMaintenancePolicyExclusionUntilEndOfSupportArgs(
          enabled=True
        )
      ]
    )
  ]


def _machine_type(config: InfraConfig, kind: Accelerator) -> str:
  if isinstance(kind, GpuConfig | TpuConfig):
    return kind.machine_type
  return cpu_machine(config)


def _taints(
  kind: Accelerator,
) -> list[container.NodePoolNodeConfigTaintArgs] | None:
  if not kind.spot:
    return None
  return [
    container.NodePoolNodeConfigTaintArgs(
      key=_SPOT, value="true", effect="NO_SCHEDULE"
    )
  ]


def _gpus(
  kind: Accelerator,
) -> list[container.NodePoolNodeConfigGuestAcceleratorArgs] | None:
  if not isinstance(kind, GpuConfig):
    return None
  installs = (
    container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
      gpu_driver_version=driver(kind)
    )
  )
  return [
    container.NodePoolNodeConfigGuestAcceleratorArgs(
      type=kind.label, count=kind.count, gpu_driver_installation_config=installs
    )
  ]


def _reservation(
  pool: NodePool,
) -> container.NodePoolNodeConfigReservationAffinityArgs | None:
  if not pool.reservation:
    return None
  return container.NodePoolNodeConfigReservationAffinityArgs(
    consume_reservation_type="SPECIFIC_RESERVATION",
    key=_RESERVATION,
    values=[pool.reservation],
  )


def placement(
  kind: Accelerator, policy: pulumi.Input[str] | None
) -> container.NodePoolPlacementPolicyArgs | None:
  """What makes one slice of several hosts; a single host says its own.

  Args:
    policy: the name of the policy that some kinds need.
  """
  if not _is_wired(kind):
    return None
  return container.NodePoolPlacementPolicyArgs(
    type="" if policy else "COMPACT",
    policy_name=policy,
    tpu_topology=topology_name(kind.topology),
  )


def _policy(
  config: InfraConfig,
  pool: NodePool,
  cluster: container.Cluster,
  ownership: Ownership,
) -> pulumi.Output[str] | None:
  kind = pool.kind
  if not _needs_policy(kind):
    return None
  name = _policy_resource(pool)
  policy = compute.ResourcePolicy(
    name,
    name=config.policy_name(pool),
    project=config.project,
    region=config.region,
    description=config.description,
    workload_policy=compute.ResourcePolicyWorkloadPolicyArgs(
      type="HIGH_THROUGHPUT", accelerator_topology=topology_name(kind.topology)
    ),
    opts=ownership.options(
      name, after=[cluster], foreign=["description", "workload_policy"]
    ),
  )
  return policy.name


def _policy_resource(pool: NodePool) -> str:
  return f"policy-{pool.name}"


def _needs_policy(kind: Accelerator) -> TypeGuard[TpuConfig]:
  """Whether it says its placement by a policy, which is a thing of its own."""
  return _is_wired(kind) and kind.generation == _BY_WORKLOAD


def _is_wired(kind: Accelerator) -> TypeGuard[TpuConfig]:
  """Whether it is a slice of several hosts."""
  return isinstance(kind, TpuConfig) and kind.hosts > 1
