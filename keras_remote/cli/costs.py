"""What a cluster's machines cost an hour, as far as that is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_remote.accelerators.config import Accelerator
from keras_remote.accelerators.prices import hourly
from keras_remote.job.line import joined

# What no price here has.
LEFT_OUT = ("GKE's fee for the cluster", "CPU machines", "disks", "network")
BESIDE = (
  "GKE's fee for the cluster, CPU machines, disks and the network come to it: "
  "there is no price of them here"
)


@dataclass(frozen=True)
class Cost:
  """USD an hour of some machines.

  Attributes:
    usd: of those whose price is known.
    unknown: the accelerators of the others.
    origins: where and when the prices were that.
  """

  usd: float
  unknown: tuple[str, ...]
  origins: tuple[str, ...]

  @property
  def sentence(self) -> str:
    """The figure with all that it does not say."""
    return self._said("")

  @property
  def at_most(self) -> str:
    """The same of machines of which there may be fewer."""
    return self._said("at most ")

  def _said(self, begin: str) -> str:
    without = joined(self.unknown) if self.unknown else ""
    if without and not self.usd:
      return f"not known: there is no price of {without} here"
    text = f"{begin}{self.usd:.2f} USD an hour"
    if self.origins:
      text += f" (prices of {'; '.join(self.origins)})"
    return f"{text}, without {without}" if without else text

  def document(self) -> dict[str, Any]:
    """The same for programs."""
    return {
      "usd": self.usd,
      "unknown": list(self.unknown),
      "prices_of": list(self.origins),
      "left_out": list(LEFT_OUT),
    }


def cost(machines: Iterable[tuple[Accelerator, int]]) -> Cost:
  """What so many machines with these accelerators cost."""
  usd = 0.0
  unknown: dict[str, None] = {}
  origins: dict[str, None] = {}
  for accelerator, count in machines:
    if not count:
      continue
    price = hourly(accelerator, count)
    if price is None:
      name = "CPUs" if accelerator.category == "cpu" else str(accelerator)
      unknown[name] = None
    else:
      usd += price.usd
      origins[price.origin] = None
  return Cost(round(usd, 2), tuple(unknown), tuple(origins))
