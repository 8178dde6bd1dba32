"""The cluster's own network, so that nothing of the project's can be in its way.

Addresses: the machines' own, and for each of them a block of 256 for its pods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.ownership import Ownership

# 4096 machines, and as many blocks; services are few.
_NODES, _PODS, _SERVICES = "10.0.0.0/20", "10.16.0.0/12", "10.8.0.0/20"
PODS_RANGE, SERVICES_RANGE = "pods", "services"
# Where controllers have their webhooks, LeaderWorkerSet's among them.
_WEBHOOK_PORT = "9443"
NETWORK, SUBNET, WEBHOOKS = "network", "subnet", "webhooks"
ROUTER, NAT = "router", "nat"
# What would make somebody else's anew.
_FOREIGN = (
  "auto_create_subnetworks",
  "description",
  "ip_cidr_range",
  "network",
  "secondary_ip_ranges",
)


@dataclass(frozen=True)
class Network:
  """Where a cluster is.

  Attributes:
    ready: what machines need before they can reach anything.
  """

  network: compute.Network
  subnet: compute.Subnetwork
  ready: Sequence[pulumi.Resource]


def import_ids(config: InfraConfig) -> Mapping[str, str]:
  """What Google knows each of these by, by the program's name for it."""
  project = f"projects/{config.project}"
  region = f"{project}/regions/{config.region}"
  router = f"{region}/routers/{_name(config, ROUTER)}"
  ids = {
    NETWORK: f"{project}/global/networks/{_name(config, NETWORK)}",
    SUBNET: f"{region}/subnetworks/{_name(config, SUBNET)}",
    WEBHOOKS: f"{project}/global/firewalls/{_name(config, WEBHOOKS)}",
  }
  if config.private_nodes:
    ids |= {ROUTER: router, NAT: f"{router}/{_name(config, NAT)}"}
  return ids


def _name(config: InfraConfig, what: str) -> str:
  return f"{config.cluster}-{what}"


def network(
  config: InfraConfig,
  ownership: Ownership,
  after: Sequence[pulumi.Resource],
) -> Network:
  """A network with one subnet, and a way out for machines that are private."""
  made = compute.Network(
    NETWORK,
    name=_name(config, NETWORK),
    project=config.project,
    description=config.description,
    auto_create_subnetworks=False,
    opts=ownership.options(NETWORK, after=after, foreign=_FOREIGN),
  )
  subnet = compute.Subnetwork(
    SUBNET,
    name=_name(config, SUBNET),
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
    opts=ownership.options(SUBNET, foreign=_FOREIGN),
  )
  # GKE lets the control plane reach ports 443 and 10250 only.
  webhooks = compute.Firewall(
    WEBHOOKS,
    name=_name(config, WEBHOOKS),
    project=config.project,
    description=config.description,
    network=made.id,
    direction="INGRESS",
    source_ranges=[_NODES],
    allows=[compute.FirewallAllowArgs(protocol="tcp", ports=[_WEBHOOK_PORT])],
    opts=ownership.options(WEBHOOKS, foreign=_FOREIGN),
  )
  out = _way_out(config, made, ownership) if config.private_nodes else []
  return Network(made, subnet, [webhooks, *out])


def _way_out(
  config: InfraConfig, made: compute.Network, ownership: Ownership
) -> list[pulumi.Resource]:
  router = compute.Router(
    ROUTER,
    name=_name(config, ROUTER),
    project=config.project,
    description=config.description,
    region=config.region,
    network=made.id,
    opts=ownership.options(ROUTER, foreign=_FOREIGN),
  )
  nat = compute.RouterNat(
    NAT,
    name=_name(config, NAT),
    project=config.project,
    region=config.region,
    router=router.name,
    nat_ip_allocate_option="AUTO_ONLY",
    source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
    opts=ownership.options(NAT),
  )
  return [nat]
