"""How the pods of a job ask GKE for an accelerator.

Source: the project's facts page on accelerators, 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  GpuConfig,
  TpuConfig,
  topology_name,
)

_LABEL = "cloud.google.com/gke-"
_SPOT = f"{_LABEL}spot"
# Of every node; GKE taints those whose processor most images are not for.
_ARCHITECTURE, _ARM = "kubernetes.io/arch", "arm64"
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
    domain: a label of nodes: those with one value of it hold one slice, which
      shares them with nobody; "" where hosts of a job may be anywhere.
  """

  limits: Mapping[str, str] = field(default_factory=dict)
  selector: Mapping[str, str] = field(default_factory=dict)
  tolerations: tuple[Mapping[str, str], ...] = ()
  domain: str = ""


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
  if isinstance(accelerator, GpuConfig) and accelerator.architecture == _ARM:
    selector[_ARCHITECTURE] = _ARM
    tolerations.append(_exactly(_ARCHITECTURE, _ARM))
  if accelerator.spot:
    selector[_SPOT] = "true"
    tolerations.append(_exactly(_SPOT, "true"))
  # A pool of hosts that are wired together is one slice.
  wired = isinstance(accelerator, TpuConfig) and accelerator.hosts > 1
  domain = POOL_LABEL if wired else ""
  return Placement(limits, selector, tuple(tolerations), domain)


def apart(accelerator: Accelerator) -> Mapping[str, str]:
  """Variables of a pod that is in a group, and a whole slice by itself.

  Without them a LeaderWorkerSet's controller tells the chips that the whole
  group is their slice.
  """
  if isinstance(accelerator, TpuConfig) and accelerator.hosts == 1:
    return {"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost"}
  return {}


def described(labels: Mapping[str, str]) -> str:
  """What a node with these labels has, in GKE's words; "" for none of it."""
  words = [labels[name] for name in _TELLING if name in labels]
  return " ".join([*words, *["spot"] * (labels.get(_SPOT) == "true")])


def _exactly(key: str, value: str) -> Mapping[str, str]:
  """Tolerates a taint with that value: without it, it would not match."""
  return {
    "key": key,
    "operator": "Equal",
    "value": value,
    "effect": "NoSchedule",
  }
