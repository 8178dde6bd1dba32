"""What GKE makes of a node pool: labels, taints and devices of its nodes.

Written out again from the project's facts pages on accelerators and on
provisioning, 2026-11, not from our registry: a pool that the registry
describes wrongly is another one here than the pods ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_GKE = "cloud.google.com/gke-"
# A machine type's family, what GKE calls its TPU, and its topology alone by
# the chips that end its name.
_TPUS: Mapping[str, tuple[str, Mapping[str, str]]] = {
  "ct3-hightpu": ("tpu-v3-device", {"4t": "2x2"}),
  "ct3p-hightpu": ("tpu-v3-slice", {}),
  "ct4p-hightpu": ("tpu-v4-podslice", {"4t": "2x2x1"}),
  "ct5lp-hightpu": (
    "tpu-v5-lite-podslice",
    {"1t": "1x1", "4t": "2x2", "8t": "2x4"},
  ),
  "ct5p-hightpu": ("tpu-v5p-slice", {"4t": "2x2x1"}),
  "ct6e-standard": (
    "tpu-v6e-slice",
    {"1t": "1x1", "4t": "2x2", "8t": "2x4"},
  ),
  "tpu7x-standard": ("tpu7x", {"1t": "1x1x1", "4t": "2x2x1"}),
}
# Families of machine types whose processor is an Arm one.
_ARM = ("a4x-", "c4a-", "n4a-", "t2a-")
_EFFECTS = {
  "NO_SCHEDULE": "NoSchedule",
  "PREFER_NO_SCHEDULE": "PreferNoSchedule",
  "NO_EXECUTE": "NoExecute",
}


@dataclass(frozen=True)
class Nodes:
  """The nodes of a pool, which are all alike.

  Attributes:
    taints: as (key, value, effect).
    devices: what of each resource a node has, CPU and memory apart.
  """

  labels: Mapping[str, str]
  taints: frozenset[tuple[str, str, str]]
  devices: Mapping[str, int]

  def takes(self, pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler may place a pod of this spec there."""
    selector = pod.get("nodeSelector") or {}
    tolerations = pod.get("tolerations") or ()
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    return (
      selector.items() <= self.labels.items()
      and all(_tolerated(taint, tolerations) for taint in self.taints)
      and all(
        int(amount) <= self.devices.get(name, 0)
        for name, amount in limits.items()
        if "/" in name
      )
    )


def nodes(pool: Mapping[str, Any]) -> Nodes:
  """The nodes of a pool, from what the provider is told of it."""
  config = pool["nodeConfig"]
  labels = {f"{_GKE}nodepool": pool["name"]}
  taints = {
    (taint["key"], taint["value"], _EFFECTS[taint["effect"]])
    for taint in config.get("taints") or ()
  }
  devices: dict[str, int] = {}
  # Spot nodes get a label of their own accord, and no taint.
  if config.get("spot"):
    labels[f"{_GKE}spot"] = "true"
  for gpu in config.get("guestAccelerators") or ():
    labels[f"{_GKE}accelerator"] = gpu["type"]
    labels[f"{_GKE}accelerator-count"] = str(int(gpu["count"]))
    taints.add(("nvidia.com/gpu", "present", "NoSchedule"))
    devices["nvidia.com/gpu"] = int(gpu["count"])
  # A pod must say that its image is for this one.
  arm = config["machineType"].startswith(_ARM)
  labels["kubernetes.io/arch"] = "arm64" if arm else "amd64"
  if arm:
    taints.add(("kubernetes.io/arch", "arm64", "NoSchedule"))
  family, _, chips = config["machineType"].rpartition("-")
  if family in _TPUS:
    name, alone = _TPUS[family]
    placement = pool.get("placementPolicy") or {}
    labels[f"{_GKE}tpu-accelerator"] = name
    labels[f"{_GKE}tpu-topology"] = placement.get("tpuTopology") or alone[chips]
    taints.add(("google.com/tpu", "present", "NoSchedule"))
    devices["google.com/tpu"] = int(chips.removesuffix("t"))
  return Nodes(labels, frozenset(taints), devices)


def _tolerated(taint: tuple[str, str, str], tolerations: Any) -> bool:
  key, value, effect = taint
  return effect == "PreferNoSchedule" or any(
    each["key"] == key
    and each.get("effect") in (None, effect)
    and (each["operator"] == "Exists" or each.get("value", "") == value)
    for each in tolerations
  )
