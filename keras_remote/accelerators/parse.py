"""`parse_accelerator`: any spelling of an accelerator, as its config.

    accelerator = (category | [category (":" | "-")] what) [":spot"]
    category    = "tpu" | "gpu" | "nvidia" | "cpu"
    what        = generation ["-" (size | topology)]
                | gpu ["x" count]
                | size | count | devices          (only after a category)

A size counts TensorCores, as in GKE's own names; a topology counts chips.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  GpuConfig,
  Topology,
  TpuConfig,
  topology_name,
)
from keras_remote.accelerators.registry import (
  DEFAULT_GPU,
  DEFAULT_TPU,
  GPU_ALIASES,
  GPUS,
  TPU_ALIASES,
  TPUS,
  Gpu,
  TpuGeneration,
  accelerators,
)
from keras_remote.errors import AcceleratorError

# What a category alone means, and what a number after it counts.
_BARE: Final = {
  "tpu": DEFAULT_TPU,
  "gpu": DEFAULT_GPU,
  "nvidia": DEFAULT_GPU,
  "cpu": "1",
}
_NUMBERED: Final = {
  "tpu": f"{DEFAULT_TPU}-",
  "gpu": f"{DEFAULT_GPU}x",
  "nvidia": f"{DEFAULT_GPU}x",
  "cpu": "",
}

_LIST_THEM: Final = "`keras-remote accelerators` lists them all"


def parse_accelerator(text: str | Accelerator | None) -> Accelerator:
  """The accelerator of this name; None is the plain CPU.

  Case and outer spaces do not matter. A bare TPU generation is its largest
  slice on one host, a bare GPU the fewest that one machine comes with.

  Raises:
    AcceleratorError: no accelerator has this name or this size; it says which
      are right and which is nearest.
  """
  if text is None:
    return CpuConfig()
  if isinstance(text, Accelerator):
    return text
  if not isinstance(text, str):
    raise AcceleratorError(
      f"an accelerator is a name such as 'v5e-8', 'l4' or 'cpu', not {text!r}"
    )
  name = text.strip().lower()
  plain = name.removesuffix(":spot")
  spot = plain != name
  category, what = _split(plain)
  for find in _FINDERS[category]:
    if found := find(what):
      return replace(found, spot=spot)
  raise AcceleratorError(_unknown(text, what, spot))


def _split(plain: str) -> tuple[str, str]:
  """The category, empty if none is named, and what of it is meant."""
  match = re.fullmatch(r"(tpu|gpu|nvidia|cpu)(?:[:-](.+))?", plain)
  if match is None:
    return "", plain
  category, what = match[1], match[2]
  if what is None:
    return category, _BARE[category]
  if re.match("[0-9]", what):
    return category, _NUMBERED[category] + what
  return category, what


def _tpu(what: str) -> TpuConfig | None:
  generation, dash, size = what.partition("-")
  if generation == "v2":
    raise AcceleratorError(
      f"no TPU {what}: GKE offers no v2; the oldest it has is v3-8"
    )
  kind = TPUS.get(TPU_ALIASES.get(generation, generation))
  if kind is None:
    return None
  if not dash:
    return kind.largest_on_one_host
  if re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}){1,2}", size):
    topology = tuple(map(int, size.split("x")))
    if topology not in kind.topologies:
      raise AcceleratorError(_no_topology(kind, topology))
    return kind.topologies[topology]
  cores = _number(size)
  if cores not in kind.sizes:
    raise AcceleratorError(_no_size(kind, size))
  return kind.sizes[cores]


def _gpu(what: str) -> GpuConfig | None:
  kind = GPUS.get(GPU_ALIASES.get(what, what))
  if kind:
    return next(iter(kind.counts.values()))
  name, _, digits = what.rpartition("x")
  kind = GPUS.get(GPU_ALIASES.get(name, name))
  if kind is None:
    return None
  count = _number(digits)
  if count not in kind.counts:
    raise AcceleratorError(_no_count(kind, digits))
  return kind.counts[count]


def _cpu(what: str) -> CpuConfig:
  devices = _number(what)
  if not devices:
    raise AcceleratorError(
      f"no accelerator cpu:{what}: a CPU has one device or more, as in cpu:8"
    )
  return CpuConfig(devices)


def _number(digits: str) -> int:
  """The number; 0, which is no size of anything, where it is none."""
  return int(digits) if re.fullmatch("[0-9]{1,9}", digits) else 0


_FINDERS: Final[
  Mapping[str, tuple[Callable[[str], Accelerator | None], ...]]
] = {
  "": (_tpu, _gpu),
  "tpu": (_tpu,),
  "gpu": (_gpu,),
  "nvidia": (_gpu,),
  "cpu": (_cpu,),
}


def _no_size(kind: TpuGeneration, size: str) -> str:
  cores = ", in TensorCores (two a chip)," if kind.cores_per_chip == 2 else ""
  return (
    f"no TPU slice {kind.name}-{size}: sizes of {kind.name}{cores} are"
    f" {_listed(kind.sizes)}{_nearest(kind.sizes, size)}"
  )


def _no_topology(kind: TpuGeneration, wrong: Topology) -> str:
  def distance(right: Topology) -> tuple[int, int]:
    chips = abs(math.prod(right) - math.prod(wrong))
    return chips, abs(sum(right) - sum(wrong))

  right = [topology_name(tpu.topology) for tpu in kind.sizes.values()]
  nearest = topology_name(min(kind.topologies, key=distance))
  return (
    f"no TPU slice {kind.name}-{topology_name(wrong)}: topologies of"
    f" {kind.name} are {_listed(right)}; the nearest is {kind.name}-{nearest}"
  )


def _no_count(kind: Gpu, count: str) -> str:
  return (
    f"no accelerator {kind.name}x{count}: {kind.name} comes in"
    f" {_listed(kind.counts)}{_nearest(kind.counts, count)}"
  )


def _listed(right: Iterable[object]) -> str:
  """All of a few; the first eight and the last of many."""
  names = [str(each) for each in right]
  if len(names) > 9:
    names[8:-1] = ["…"]
  return ", ".join(names)


def _nearest(right: Mapping[int, Accelerator], wrong: str) -> str:
  """The next smaller and the next larger, if `wrong` is a number at all."""
  number = _number(wrong)
  smaller = [name for size, name in right.items() if size < number][-1:]
  larger = [name for size, name in right.items() if size > number > 0][:1]
  names = " and ".join(map(str, smaller + larger))
  if not names:
    return ""
  return f"; the nearest {'are' if ' ' in names else 'is'} {names}"


def _unknown(text: str, what: str, spot: bool) -> str:
  from difflib import SequenceMatcher

  names = [*TPUS, *GPUS, *TPU_ALIASES, *GPU_ALIASES, "tpu", "gpu", "cpu"]
  names += map(str, accelerators())
  likeness = SequenceMatcher(b=what)

  def like(name: str) -> tuple[float, int]:
    likeness.set_seq1(name)
    return likeness.ratio(), len(name)

  nearest = max(names, key=like)
  if like(nearest) < (0.6,):
    return f"unknown accelerator {text!r}; {_LIST_THEM}"
  nearest += ":spot" * spot
  return f"unknown accelerator {text!r}; did you mean {nearest}? {_LIST_THEM}"
