"""Which machines a pool has, as GKE is told; facts, and no Pulumi.

Source: the project's facts page on provisioning, 2026-11-22.
"""

from keras_remote.accelerators.config import GpuConfig
from keras_remote.cli.config import InfraConfig

_CPU_MACHINE = "e2-standard-4"
# Zones without it, and what they have in its place.
_CPU_MACHINES = {"us-central2-b": "n2-standard-4"}
# What images bring for GPUs, CUDA 13, is for none of these; their driver must
# only know them still.
_OLD_GPUS = frozenset({"p4", "p100", "v100"})


def cpu_machine(config: InfraConfig) -> str:
  """The machine type of machines without an accelerator."""
  return _CPU_MACHINES.get(config.zone, _CPU_MACHINE)


def driver(gpu: GpuConfig) -> str:
  """Which of its drivers GKE installs: new CUDA needs the latest."""
  return "DEFAULT" if gpu.name in _OLD_GPUS else "LATEST"
