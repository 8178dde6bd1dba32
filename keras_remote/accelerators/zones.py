"""Zones and regions of Google Cloud."""

# Where something new is made if nobody says where.
_DEFAULT_ZONE = "us-central1-a"


def get_default_zone() -> str:
  """The zone in which something new is made if nobody names one."""
  return _DEFAULT_ZONE


def zone_to_region(zone: str) -> str:
  """The region that a zone is in; a region is its own.

  >>> zone_to_region("us-central1-a")
  'us-central1'
  """
  area, _, letter = zone.rpartition("-")
  return area if len(letter) == 1 else zone


def zone_to_ar_location(zone: str) -> str:
  """Where Artifact Registry has the images for a zone: us, europe or asia.

  Such a location serves a continent. Elsewhere it is the zone's region.
  """
  continent = zone.partition("-")[0]
  multiple = continent in ("us", "europe", "asia")
  return continent if multiple else zone_to_region(zone)
