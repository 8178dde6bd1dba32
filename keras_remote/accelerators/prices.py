"""What machines and clusters cost, where that is known.

`prices.json` has each figure with its date and source. What is not in it is
unknown, and never worked out from a smaller or a larger machine.
"""

import calendar
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  TpuConfig,
)

_FILE = Path(__file__).with_name("prices.json")
_HOUR = 60 * 60


@dataclass(frozen=True)
class Price:
  """What something costs while it is there.

  Attributes:
    usd: an hour.
    region: where it costs that.
    date: when it did: "2026-07-30", or "2026-03" where no day is known.
    source: who says it.
  """

  usd: float
  region: str
  date: str
  source: str

  def of(self, seconds: float) -> float:
    """USD for so long."""
    return self.usd * seconds / _HOUR

  @property
  def origin(self) -> str:
    """Where and when it was that, for people: "us-central1, July 2026"."""
    return origins([self])


def origins(prices: Iterable[Price]) -> str:
  """The same of several: "us-central1, March to July 2026"."""
  dates: dict[str, list[str]] = {}
  for price in prices:
    dates.setdefault(price.region, []).append(price.date)
  texts: list[str] = []
  for region, each in sorted(dates.items()):
    first, last = _month(min(each)), _month(max(each))
    month, year = first.split()
    since = month if last.endswith(year) else first
    texts.append(f"{region}, {last if first == last else f'{since} to {last}'}")
  return "; ".join(texts)


def _month(date: str) -> str:
  year, month = date.split("-")[:2]
  return f"{calendar.month_name[int(month)]} {year}"


def fee() -> Price:
  """What a cluster costs beside its machines."""
  return _prices()["gke", "on_demand"]


def hourly(
  accelerator: Accelerator, hosts: int | None = None, *, cpu_machine: str = ""
) -> Price | None:
  """What so many machines with the accelerator cost; None where not known.

  Args:
    hosts: in all slices together; None for the accelerator's own.
    cpu_machine: what machines without an accelerator are, which it cannot say.
  """
  hosts = accelerator.hosts if hosts is None else hosts
  if isinstance(accelerator, CpuConfig):
    one, count = cpu_machine, hosts
  elif isinstance(accelerator, TpuConfig):
    one, count = accelerator.generation, accelerator.chips_per_host * hosts
  else:
    one, count = accelerator.machine_type, hosts
  kind = "spot" if accelerator.spot else "on_demand"
  price = _prices().get((one, kind))
  return price and Price(
    round(price.usd * count, 2), price.region, price.date, price.source
  )


@functools.cache
def _prices() -> Mapping[tuple[str, str], Price]:
  """Each price by generation or machine type, and "on_demand" or "spot"."""
  content = json.loads(_FILE.read_text(encoding="utf-8"))
  return {
    (one, kind): Price(
      usd,
      table.get("region", content["region"]),
      table["date"],
      table["source"],
    )
    for table in content["tables"]
    for one, kinds in table["usd_an_hour"].items()
    for kind, usd in kinds.items()
  }
