"""Zones and regions of Google Cloud, and which accelerators a zone has."""

import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources

from keras_remote.accelerators.config import Accelerator, GpuConfig, TpuConfig

# Where something new is made if nobody says where.
_DEFAULT_ZONE = "us-central1-a"
_TABLE = "zones.json"
# So many zones are named in a sentence.
_MOST_NAMED = 6


@dataclass(frozen=True)
class Offers:
  """Which zones have which accelerators, as somebody wrote it down once.

  Not every zone and accelerator is in it: of others it says nothing, neither
  yes nor no.

  Attributes:
    date: when it was written, as in 2026-11-22.
    certain: zones by a TPU's generation or a GPU's name.
    perhaps: the same of zones where it may be, as one source says only.
  """

  date: str
  certain: Mapping[str, tuple[str, ...]]
  perhaps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

  def zones(self, accelerator: Accelerator) -> tuple[str, ...]:
    """The zones that are known to have it; none where nothing is known."""
    return self.certain.get(_name(accelerator), ())

  def lacks(self, zone: str, accelerator: Accelerator) -> bool:
    """Whether the zone is known, and known not to have it."""
    known = any(zone in each for each in self.certain.values())
    having = self.zones(accelerator)
    perhaps = self.perhaps.get(_name(accelerator), ())
    return known and bool(having) and zone not in (*having, *perhaps)


def _name(accelerator: Accelerator) -> str:
  """What the table calls it, whatever its size."""
  if isinstance(accelerator, TpuConfig):
    return accelerator.generation
  return accelerator.name if isinstance(accelerator, GpuConfig) else ""


@functools.cache
def offers() -> Offers:
  """The table that comes with keras_remote, `zones.json`."""
  package = resources.files("keras_remote.accelerators")
  table = json.loads(package.joinpath(_TABLE).read_text("utf-8"))
  certain, perhaps = (
    {name: tuple(zones) for name, zones in table[part].items()}
    for part in ("zones", "perhaps")
  )
  return Offers(table["date"], certain, perhaps)


def near(zone: str, others: Collection[str]) -> list[str]:
  """The others: those of its region first, then those of its continent."""

  def away(other: str) -> tuple[bool, bool, bool, str]:
    return (
      zone_to_region(other) != zone_to_region(zone),
      _area(other) != _area(zone),
      # Of America the north is one.
      {_area(other), _area(zone)} != {"us", "northamerica"},
      other,
    )

  return sorted(others, key=away)


def some(zone: str, others: Collection[str]) -> str:
  """The first of them for people, near ones first: "a, b and 3 more"."""
  named = near(zone, others)
  more = len(named) - _MOST_NAMED
  text = ", ".join(named[:_MOST_NAMED])
  return f"{text} and {more} more" if more > 0 else text


def _area(zone: str) -> str:
  """A continent, or a part of one."""
  return zone.partition("-")[0]


def get_default_zone() -> str:
  """The zone in which something new is made if nobody names one."""
  return _DEFAULT_ZONE


def zone_to_region(zone: str) -> str:
  """The region that a zone is in; a region is its own.

  >>> zone_to_region("us-central1-a")
  'us-central1'
  """
  # A continent, a place there, and a letter, or such as "ai1b".
  return "-".join(zone.split("-")[:2])


def zone_to_ar_location(zone: str) -> str:
  """Where Artifact Registry has the images for a zone: us, europe or asia.

  Such a location serves a continent. Elsewhere it is the zone's region.
  """
  continent = _area(zone)
  multiple = continent in ("us", "europe", "asia")
  return continent if multiple else zone_to_region(zone)
