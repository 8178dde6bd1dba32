"""`keras-remote accelerators`: what a job can ask for."""

import fnmatch
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from keras_remote.cli.output import Output, Table, prints

if TYPE_CHECKING:
  from keras_remote.accelerators.config import Accelerator

_SIZES_SHOWN = 6


@click.command(short_help="List what a job can ask for.")
@click.argument("pattern", required=False)
@prints
def command(out: Output, pattern: str | None) -> None:
  """Lists accelerators: every kind, or each one that PATTERN is a part of.

  PATTERN may have wildcards: '*' matches every single one.
  """
  from keras_remote.accelerators.registry import accelerators

  if pattern is None:
    out.show(
      list(accelerators()),
      Table(("KIND", "NAMES", "MEMORY"), list(_kinds()), fold=1),
      "\n`keras-remote accelerators v5e` says more of each; "
      "`:spot` may end any name.",
    )
    return
  found = _matching(pattern)
  header = ("NAME", "WHAT", "MACHINE")
  out.show(found, Table(header, [_row(one) for one in found], fold=1))


def _kinds() -> Iterator[tuple[str, str, str]]:
  from keras_remote.accelerators.registry import GPUS, TPUS

  for tpu in TPUS.values():
    names = [str(one) for one in tpu.sizes.values()]
    yield f"TPU {tpu.name}", _some(names), f"{tpu.hbm_gib} GiB a chip"
  for gpu in GPUS.values():
    names = [str(one) for one in gpu.counts.values()]
    yield f"GPU {gpu.name}", _some(names), f"{gpu.memory_gib} GiB"
  yield "CPU", "cpu cpu:8 …", ""


def _some(names: list[str]) -> str:
  if len(names) > _SIZES_SHOWN:
    names = [*names[: _SIZES_SHOWN - 1], "…", names[-1]]
  return " ".join(names)


def _matching(pattern: str) -> "list[Accelerator]":
  """Those that the pattern names.

  Raises:
    AcceleratorError: there is none; it says the nearest.
  """
  from keras_remote.accelerators.parse import parse_accelerator
  from keras_remote.accelerators.registry import accelerators

  wild = (
    pattern.lower() if set(pattern) & set("*?[") else f"*{pattern.lower()}*"
  )
  found = [one for one in accelerators() if fnmatch.fnmatchcase(str(one), wild)]
  return found or [parse_accelerator(pattern)]


def _row(one: "Accelerator") -> tuple[str, str, str]:
  return str(one), one.describe(), getattr(one, "machine_type", "")
