"""How a pod asks GKE for an accelerator.

Source: the project's facts page on accelerators, 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  GpuConfig,
  topology_name,
)

_LABEL = "cloud.google.com/gke-"
_SPOT = f"{_LABEL}spot"
_GPU, _TPU = "nvidia.com/gpu", "google.com/tpu"
# The name of a node's pool.
POOL_LABEL = f"{_LABEL}nodepool"
# Labels that tell what a node has.
_TELLING = tuple(
  f"{_LABEL}{each}"
  for each in (
    "accelerator",
    "accelerator-count",
    "tpu-accelerator",
    "tpu-topology",
  )
)


@dataclass(frozen=True)
class Placement:
  """What a pod says of the node that it needs.

  Attributes:
    limits: resources beside CPU and memory.
    selector: labels of the node.
    tolerations: taints of the node, as Kubernetes writes them.
  """

  limits: Mapping[str, str] = field(default_factory=dict)
  selector: Mapping[str, str] = field(default_factory=dict)
  tolerations: tuple[Mapping[str, str], ...] = ()


def placement(accelerator: Accelerator) -> Placement:
  """Which node a host of the accelerator is."""
  limits: dict[str, str] = {}
  selector: dict[str, str] = {}
  if isinstance(accelerator, GpuConfig):
    limits = {_GPU: str(accelerator.count)}
    selector = {
      f"{_LABEL}accelerator": accelerator.label,
      f"{_LABEL}accelerator-count": str(accelerator.count),
    }
  elif not isinstance(accelerator, CpuConfig):
    limits = {_TPU: str(accelerator.chips_per_host)}
    selector = {
      f"{_LABEL}tpu-accelerator": accelerator.label,
      f"{_LABEL}tpu-topology": topology_name(accelerator.topology),
    }
  tolerations: list[Mapping[str, str]] = [
    {"key": name, "operator": "Exists", "effect": "NoSchedule"}
    for name in limits
  ]
  if accelerator.spot:
    selector[_SPOT] = "true"
    # The value matters: without it the taint is not matched.
    tolerations.append(
      {
        "key": _SPOT,
        "operator": "Equal",
        "value": "true",
        "effect": "NoSchedule",
      }
    )
  return Placement(limits, selector, tuple(tolerations))


def described(labels: Mapping[str, str]) -> str:
  """What a node with these labels has, in GKE's words; "" for none of it."""
  words = [labels[name] for name in _TELLING if name in labels]
  return " ".join([*words, *["spot"] * (labels.get(_SPOT) == "true")])
