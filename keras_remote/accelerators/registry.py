"""Every accelerator that GKE offers, as tables: `TPUS` and `GPUS`.

Source: the project's facts page on accelerators of 2026-11, which took GKE's
"Plan TPUs" tables from Kubernetes' GKE validators and from xpk; the largest
tpu7x slice, 144 cubes, is in xpk's tests alone. Check a new row against
cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus. A row is
all that a new accelerator needs: names, sizes and errors follow from it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Literal

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  GpuConfig,
  Topology,
  TpuConfig,
  topology_name,
)


@dataclass(frozen=True)
class TpuHost:
  """One kind of machine, and the slices that are built of it.

  Attributes:
    machine_type: its Compute Engine machine type.
    chips: chips on one machine.
    label: value of `cloud.google.com/gke-tpu-accelerator`.
    topologies: slices built of it, each as GKE writes it, spaces between.
    pods_up_to: chips of the largest slice by the 3-D rule; 0: it has none.
  """

  machine_type: str
  chips: int
  label: str
  topologies: str
  pods_up_to: int = 0

  def slices(self) -> Iterator[Topology]:
    """Every topology built of this host."""
    for name in self.topologies.split():
      yield tuple(map(int, name.split("x")))
    if self.pods_up_to:
      yield from three_dimensional(self.pods_up_to)


@dataclass(frozen=True)
class TpuGeneration:
  """One generation of TPUs.

  Attributes:
    name: canonical name, the first part of its slices' names.
    cores_per_chip: TensorCores of one chip: a name's size counts these.
    hbm_gib: memory of one chip, in GiB.
    hosts: the machines that it comes in.
  """

  name: str
  cores_per_chip: int
  hbm_gib: int
  hosts: tuple[TpuHost, ...]

  @cached_property
  def topologies(self) -> Mapping[Topology, TpuConfig]:
    """Every slice by its topology: small first, then most cubic first."""
    hosts = {shape: host for host in self.hosts for shape in host.slices()}
    slices: dict[Topology, TpuConfig] = {}
    sizes: set[int] = set()
    for shape in sorted(hosts, key=lambda t: (math.prod(t), sum(t), t)):
      chips = math.prod(shape)
      size = str(chips * self.cores_per_chip)
      suffix = topology_name(shape) if chips in sizes else size
      sizes.add(chips)
      slices[shape] = self._slice(shape, f"{self.name}-{suffix}", hosts[shape])
    return slices

  @cached_property
  def sizes(self) -> Mapping[int, TpuConfig]:
    """The most cubic slice of each size in TensorCores, small first."""
    sizes: dict[int, TpuConfig] = {}
    for tpu in self.topologies.values():
      sizes.setdefault(tpu.chips * tpu.cores_per_chip, tpu)
    return sizes

  @property
  def largest_on_one_host(self) -> TpuConfig:
    """The slice that the generation's bare name means."""
    return [tpu for tpu in self.sizes.values() if tpu.hosts == 1][-1]

  def _slice(self, topology: Topology, name: str, host: TpuHost) -> TpuConfig:
    chips = math.prod(topology)
    return TpuConfig(
      name=name,
      generation=self.name,
      chips=chips,
      hosts=chips // host.chips,
      chips_per_host=host.chips,
      topology=topology,
      label=host.label,
      machine_type=host.machine_type,
      hbm_gib=self.hbm_gib,
      cores_per_chip=self.cores_per_chip,
    )


@dataclass(frozen=True)
class Gpu:
  """One kind of GPU.

  Attributes:
    name: canonical name.
    label: value of `cloud.google.com/gke-accelerator`.
    memory_gib: memory of one GPU, in GiB.
    machine_types: the machine type for each count on offer, small first.
    architecture: of the hosts' processors.
  """

  name: str
  label: str
  memory_gib: int
  machine_types: Mapping[int, str]
  architecture: Literal["amd64", "arm64"] = "amd64"

  @cached_property
  def counts(self) -> Mapping[int, GpuConfig]:
    """What is on offer, by the number of GPUs, small first."""
    return {
      count: GpuConfig(
        name=self.name,
        count=count,
        label=self.label,
        machine_type=machine_type,
        memory_gib=self.memory_gib,
        architecture=self.architecture,
      )
      for count, machine_type in self.machine_types.items()
    }


def three_dimensional(most_chips: int) -> Iterator[Topology]:
  """The 3-D topologies AxBxC of several hosts, A<=B<=C, up to a size.

  Up to 64 chips each dimension is 2 or 4, above 64 a multiple of 4. The bound
  is on the chips alone: 4x4x32 is a slice of v4, as 8x8x8 is.
  """
  yield from combinations_with_replacement((2, 4), 3)
  for a in range(4, most_chips // 16 + 1, 4):
    for b in range(a, most_chips // (a * a) + 1, 4):
      for c in range(b, most_chips // (a * b) + 1, 4):
        if a * b * c > 64:
          yield a, b, c


def accelerators() -> tuple[Accelerator, ...]:
  """Every accelerator there is, not on spot: TPUs, GPUs, then the CPU."""
  return (
    *(tpu for kind in TPUS.values() for tpu in kind.topologies.values()),
    *(gpu for kind in GPUS.values() for gpu in kind.counts.values()),
    CpuConfig(),
  )


def _two_dimensional(machine: str, label: str) -> tuple[TpuHost, ...]:
  """The hosts of v5e and v6e: 2x4 is one host, all that is larger is not."""
  return (
    TpuHost(f"{machine}-1t", 1, label, "1x1"),
    TpuHost(f"{machine}-4t", 4, label, "2x2 4x4 4x8 8x8 8x16 16x16"),
    TpuHost(f"{machine}-8t", 8, label, "2x4"),
  )


_TPUS = (
  TpuGeneration(
    name="v3",
    cores_per_chip=2,
    hbm_gib=32,
    hosts=(
      TpuHost("ct3-hightpu-4t", 4, "tpu-v3-device", "2x2"),
      TpuHost(
        "ct3p-hightpu-4t",
        4,
        "tpu-v3-slice",
        "4x4 4x8 8x8 8x16 16x16 16x32 32x32",
      ),
    ),
  ),
  TpuGeneration(
    name="v4",
    cores_per_chip=2,
    hbm_gib=32,
    hosts=(
      TpuHost(
        "ct4p-hightpu-4t",
        4,
        "tpu-v4-podslice",
        "2x2x1",
        pods_up_to=16 * 16 * 16,
      ),
    ),
  ),
  TpuGeneration(
    name="v5e",
    cores_per_chip=1,
    hbm_gib=16,
    hosts=_two_dimensional("ct5lp-hightpu", "tpu-v5-lite-podslice"),
  ),
  TpuGeneration(
    name="v5p",
    cores_per_chip=2,
    hbm_gib=95,
    hosts=(
      TpuHost(
        "ct5p-hightpu-4t",
        4,
        "tpu-v5p-slice",
        "2x2x1",
        pods_up_to=16 * 16 * 24,
      ),
    ),
  ),
  TpuGeneration(
    name="v6e",
    cores_per_chip=1,
    hbm_gib=32,
    hosts=_two_dimensional("ct6e-standard", "tpu-v6e-slice"),
  ),
  TpuGeneration(
    name="tpu7x",
    cores_per_chip=2,
    hbm_gib=192,
    hosts=(
      TpuHost("tpu7x-standard-1t", 1, "tpu7x", "1x1x1"),
      TpuHost(
        "tpu7x-standard-4t", 4, "tpu7x", "2x2x1", pods_up_to=16 * 24 * 24
      ),
    ),
  ),
)


def _standard(family: str, *cpus: int) -> dict[int, str]:
  """Machine types of 1, 2, 4 and 8 GPUs, which are named by their CPUs."""
  return {
    count: f"{family}-standard-{n}"
    for count, n in zip((1, 2, 4, 8), cpus, strict=False)
  }


def _by_count(machine: str, *counts: int) -> dict[int, str]:
  """Machine types that are named by the number of their GPUs."""
  return {count: f"{machine}-{count}g" for count in counts}


_N1 = _standard("n1", 4, 8, 16)
_A2 = _by_count("a2-highgpu", 1, 2, 4, 8) | {16: "a2-megagpu-16g"}
_A2_80GB = _by_count("a2-ultragpu", 1, 2, 4, 8)
_A3 = _by_count("a3-highgpu", 1, 2, 4, 8)

_GPUS = (
  Gpu("t4", "nvidia-tesla-t4", 16, _N1),
  Gpu("p4", "nvidia-tesla-p4", 8, _N1),
  Gpu("p100", "nvidia-tesla-p100", 16, _N1),
  Gpu("v100", "nvidia-tesla-v100", 16, _standard("n1", 8, 16, 32, 64)),
  Gpu("l4", "nvidia-l4", 24, _standard("g2", 4, 24, 48, 96)),
  Gpu("a100", "nvidia-tesla-a100", 40, _A2),
  Gpu("a100-80gb", "nvidia-a100-80gb", 80, _A2_80GB),
  Gpu("h100", "nvidia-h100-80gb", 80, _A3),
  Gpu("h100-mega", "nvidia-h100-mega-80gb", 80, _by_count("a3-megagpu", 8)),
  Gpu("h200", "nvidia-h200-141gb", 141, _by_count("a3-ultragpu", 8)),
  Gpu("b200", "nvidia-b200", 180, _by_count("a4-highgpu", 8)),
  Gpu("gb200", "nvidia-gb200", 186, _by_count("a4x-highgpu", 4), "arm64"),
  Gpu(
    "rtx-pro-6000", "nvidia-rtx-pro-6000", 96, _standard("g4", 48, 96, 192, 384)
  ),
)

ON_DEMAND, SPOT, RESERVED = "on demand", "on spot machines", "reserved"
# Ways to have machines that are not to be had in every way, of those that a
# pool here can have. Source: Compute Engine's "GPU machine types", read
# 2026-11.
_WAYS: Mapping[str, tuple[str, ...]] = {
  "a3-highgpu-1g": (SPOT,),
  "a3-highgpu-2g": (SPOT,),
  "a3-highgpu-4g": (SPOT,),
  "a3-ultragpu-8g": (SPOT, RESERVED),
  "a4-highgpu-8g": (SPOT, RESERVED),
  "a4x-highgpu-4g": (RESERVED,),
}


def ways(accelerator: Accelerator) -> tuple[str, ...]:
  """How machines with it are to be had; all, where nothing else is known."""
  every = (ON_DEMAND, SPOT, RESERVED)
  if isinstance(accelerator, CpuConfig):
    return every
  return _WAYS.get(accelerator.machine_type, every)


TPUS: Mapping[str, TpuGeneration] = {kind.name: kind for kind in _TPUS}
GPUS: Mapping[str, Gpu] = {kind.name: kind for kind in _GPUS}

# What "tpu" and "gpu" mean.
DEFAULT_TPU = "v5e"
DEFAULT_GPU = "l4"

TPU_ALIASES: Mapping[str, str] = {
  "v5litepod": "v5e",
  "trillium": "v6e",
  "ironwood": "tpu7x",
}
# "nvidia-" before any of these is read like "gpu-"; so a label is a name too.
GPU_ALIASES: Mapping[str, str] = {
  "a100-40gb": "a100",
  **{kind.label.removeprefix("nvidia-"): kind.name for kind in _GPUS},
}
