"""The cluster's own network, so that nothing of the project's can be in its way.

Addresses: the machines' own, and for each of them a block of 256 for its pods.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from keras_remote.cli.config import InfraConfig

# 4096 machines, and as many blocks; services are few.
_NODES, _PODS, _SERVICES = "10.0.0.0/20", "10.16.0.0/12", "10.8.0.0/20"
PODS_RANGE, SERVICES_RANGE = "pods", "services"
# Where controllers have their webhooks, LeaderWorkerSet's among them.
_WEBHOOK_PORT = "9443"


@dataclass(frozen=True)
class Network:
  """Where a cluster is.

  Attributes:
    ready: what machines need before they can reach anything.
  """

  network: compute.Network
  subnet: compute.Subnetwork
  ready: Sequence[pulumi.Resource]


def network(config: InfraConfig, after: Sequence[pulumi.Resource]) -> Network:
  """A network with one subnet, and a way out for machines that are private."""
  made = compute.Network(
    "network",
    name=f"{config.cluster}-network",
    project=config.project,
    description=config.description,
    auto_create_subnetworks=False,
    opts=pulumi.ResourceOptions(depends_on=list(after)),
  )
  subnet = compute.Subnetwork(
    "subnet",
    name=f"{config.cluster}-subnet",
    project=config.project,
    description=config.description,
    region=config.region,
    network=made.id,
    ip_cidr_range=_NODES,
    # Google's services, of machines without a public address too.
    private_ip_google_access=True,
    secondary_ip_ranges=[
      compute.SubnetworkSecondaryIpRangeArgs(
        range_name=PODS_RANGE, ip_cidr_range=_PODS
      ),
      compute.SubnetworkSecondaryIpRangeArgs(
        range_name=SERVICES_RANGE, ip_cidr_range=_SERVICES
      ),
    ],
  )
  # GKE lets the control plane reach ports 443 and 10250 only.
  webhooks = compute.Firewall(
    "webhooks",
    name=f"{config.cluster}-webhooks",
    project=config.project,
    description=config.description,
    network=made.id,
    direction="INGRESS",
    source_ranges=[_NODES],
    allows=[compute.FirewallAllowArgs(protocol="tcp", ports=[_WEBHOOK_PORT])],
  )
  out = _way_out(config, made) if config.private_nodes else []
  return Network(made, subnet, [webhooks, *out])


def _way_out(
  config: InfraConfig, made: compute.Network
) -> list[pulumi.Resource]:
  router = compute.Router(
    "router",
    name=f"{config.cluster}-router",
    project=config.project,
    description=config.description,
    region=config.region,
    network=made.id,
  )
  nat = compute.RouterNat(
    "nat",
    name=f"{config.cluster}-nat",
    project=config.project,
    region=config.region,
    router=router.name,
    nat_ip_allocate_option="AUTO_ONLY",
    source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
  )
  return [nat]
