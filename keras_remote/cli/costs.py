"""What a cluster costs an hour, as far as that is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_remote.accelerators.prices import Price, fee, hourly, origins
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.machines import cpu_machine
from keras_remote.cli.node_pool import NodePool
from keras_remote.job.line import joined

# What no price here has.
LEFT_OUT = ("disks", "network")
BESIDE = "with GKE's fee for the cluster; disks and the network come to it"


@dataclass(frozen=True)
class Cost:
  """USD an hour of some machines.

  Attributes:
    usd: of those whose price is known.
    unknown: the others, for people.
    prices: those that it is made of.
  """

  usd: float
  unknown: tuple[str, ...]
  prices: tuple[Price, ...]

  @property
  def sentence(self) -> str:
    """The figure with all that it does not say."""
    return self._said("")

  @property
  def at_most(self) -> str:
    """The same of machines of which there may be fewer."""
    return self._said("at most ")

  def _said(self, begin: str) -> str:
    text = f"{begin}{self.usd:.2f} USD an hour"
    if self.unknown:
      without = joined(self.unknown)
      text += f" without {without}, of which there is no price here"
    return f"{text} (prices of {origins(self.prices)})"

  def document(self) -> dict[str, Any]:
    """The same for programs."""
    return {
      "usd": self.usd,
      "unknown": list(self.unknown),
      "prices_of": list(dict.fromkeys(price.origin for price in self.prices)),
      "left_out": list(LEFT_OUT),
    }


def cost(config: InfraConfig, machines: Iterable[tuple[NodePool, int]]) -> Cost:
  """What the cluster costs with so many machines of its pools."""
  prices = [fee()]
  unknown: dict[str, None] = {}
  for pool, count in machines:
    price = pool_cost(config, pool, count)
    if price:
      prices.append(price)
    elif count:
      is_cpu = pool.kind.category == "cpu"
      unknown["CPU machines" if is_cpu else pool.accelerator] = None
  usd = sum(price.usd for price in prices)
  return Cost(round(usd, 2), tuple(unknown), tuple(prices))


def pool_cost(config: InfraConfig, pool: NodePool, count: int) -> Price | None:
  """What so many of its machines cost; None of none, and where not known."""
  if not count:
    return None
  return hourly(pool.kind, count, cpu_machine=cpu_machine(config))
