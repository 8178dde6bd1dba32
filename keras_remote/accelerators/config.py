"""One accelerator that a job can ask for: a TPU slice, GPUs, or plain CPU.

`parse.py` makes these from names, `registry.py` from the table of facts.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

Topology = tuple[int, ...]


def topology_name(topology: Topology) -> str:
  """The topology as GKE writes it: "2x4", "2x2x1"."""
  return "x".join(map(str, topology))


@dataclass(frozen=True)
class TpuConfig:
  """A TPU slice: chips wired together, spread evenly over hosts.

  Attributes:
    name: canonical name without ":spot". Its number is a size in TensorCores,
      not in chips, so nothing but `str` should read it.
    generation: "v3", "v4", "v5e", "v5p", "v6e" or "tpu7x".
    chips: chips in the whole slice.
    hosts: machines that hold them.
    chips_per_host: what each host's pod asks for as `google.com/tpu`.
    topology: chips along each dimension.
    label: value of `cloud.google.com/gke-tpu-accelerator`.
    machine_type: the hosts' Compute Engine machine type.
    hbm_gib: memory of one chip, in GiB.
    cores_per_chip: TensorCores of one chip.
    spot: may be taken away at any time, and costs less.
  """

  name: str
  generation: str
  chips: int
  hosts: int
  chips_per_host: int
  topology: Topology
  label: str
  machine_type: str
  hbm_gib: int
  cores_per_chip: int
  spot: bool = False

  category: ClassVar[Literal["tpu"]] = "tpu"

  @property
  def devices_per_host(self) -> int:
    """Devices that JAX sees on one host: its chips."""
    return self.chips_per_host

  def describe(self) -> str:
    """A phrase for people: "TPU v5e, 8 chips (2x4) on 1 host"."""
    generation = self.generation.removeprefix("tpu")
    chips = _counted(self.chips, "chip")
    hosts = _counted(self.hosts, "host")
    topology = topology_name(self.topology)
    phrase = f"TPU {generation}, {chips} ({topology}) on {hosts}"
    return phrase + ", spot" * self.spot

  def __str__(self) -> str:
    return self.name + ":spot" * self.spot


@dataclass(frozen=True)
class GpuConfig:
  """One or more GPUs of one kind on one host.

  Attributes:
    name: the kind's canonical name, such as "a100-80gb".
    count: GPUs on the host: what its pod asks for as `nvidia.com/gpu`.
    label: value of `cloud.google.com/gke-accelerator`.
    machine_type: the host's Compute Engine machine type.
    memory_gib: memory of one GPU, in GiB.
    spot: may be taken away at any time, and costs less.
    hosts: machines.
    architecture: of the host's processor, as in an image's platform.
  """

  name: str
  count: int
  label: str
  machine_type: str
  memory_gib: int
  spot: bool = False
  hosts: int = 1
  architecture: Literal["amd64", "arm64"] = "amd64"

  category: ClassVar[Literal["gpu"]] = "gpu"

  @property
  def devices_per_host(self) -> int:
    """Devices that JAX sees on one host: its GPUs."""
    return self.count

  def describe(self) -> str:
    """A phrase for people: "2 NVIDIA L4 GPUs"."""
    model = self.name.upper().replace("-", " ")
    return _counted(self.count, f"NVIDIA {model} GPU") + ", spot" * self.spot

  def __str__(self) -> str:
    count = f"x{self.count}" if self.count > 1 else ""
    return self.name + count + ":spot" * self.spot


@dataclass(frozen=True)
class CpuConfig:
  """No accelerator: CPU devices on one host.

  Attributes:
    devices: devices that JAX sees there.
    spot: may be taken away at any time, and costs less.
    hosts: machines.
  """

  devices: int = 1
  spot: bool = False
  hosts: int = 1

  category: ClassVar[Literal["cpu"]] = "cpu"

  @property
  def devices_per_host(self) -> int:
    """Devices that JAX sees on one host."""
    return self.devices

  def describe(self) -> str:
    """A phrase for people: "CPU, 8 devices"."""
    return f"CPU, {_counted(self.devices, 'device')}" + ", spot" * self.spot

  def __str__(self) -> str:
    count = f":{self.devices}" if self.devices > 1 else ""
    return "cpu" + count + ":spot" * self.spot


Accelerator = TpuConfig | GpuConfig | CpuConfig


def _counted(count: int, noun: str) -> str:
  return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
