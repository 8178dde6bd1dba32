import datetime

from absl.testing import absltest, parameterized

from keras_remote.accelerators import zones
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import GPUS, TPUS


class ZonesTest(parameterized.TestCase):
  @parameterized.parameters(
    ("us-central1-a", "us-central1", "us"),
    ("us-south1-ai1b", "us-south1", "us"),
    ("europe-west4", "europe-west4", "europe"),
    ("asia-northeast1-b", "asia-northeast1", "asia"),
    ("me-west1-c", "me-west1", "me-west1"),
    ("northamerica-northeast1", "northamerica-northeast1", None),
  )
  def test_places(self, zone: str, region: str, registry: str | None) -> None:
    """A zone's region, a region itself; images are near either."""
    self.assertEqual(zones.zone_to_region(zone), region)
    self.assertEqual(zones.zone_to_ar_location(zone), registry or region)

  def test_the_default(self) -> None:
    """It is a zone, not a region."""
    zone = zones.get_default_zone()
    self.assertNotEqual(zones.zone_to_region(zone), zone)


class NearTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      "us-central1-c",
      "us-central1-a us-central1-b us-east1-b northamerica-south1-a asia-east1-a",
    ),
    ("northamerica-northeast1-a", "northamerica-south1-a us-central1-a"),
    ("asia-south1-a", "asia-east1-a europe-west4-b me-west1-a"),
    ("europe-west1-b", "europe-west4-b asia-east1-a me-west1-a"),
  )
  def test_near_ones_first(self, zone: str, first: str) -> None:
    """Those of the same region, then those of the same continent."""
    others = [
      *("asia-east1-a", "us-east1-b", "europe-west4-b", "us-central1-b"),
      *("us-central1-a", "me-west1-a", "northamerica-south1-a"),
    ]
    found = zones.near(zone, others)
    self.assertEqual(found[: len(first.split())], first.split())
    self.assertCountEqual(found, others)

  def test_some_of_many(self) -> None:
    """A sentence names the first few, and says how many more there are."""
    others = [f"us-east1-{letter}" for letter in "abcdefgh"]
    self.assertEqual(
      zones.some("us-east1-a", others[:2]), ", ".join(others[:2])
    )
    self.assertEqual(
      zones.some("us-east1-a", others), f"{', '.join(others[:6])} and 2 more"
    )


class OffersTest(parameterized.TestCase):
  @parameterized.parameters(
    ("us-central1-a", "v5e-8", False),
    ("us-central1-a", "v5e-256:spot", False),
    ("us-central1-b", "v5e-8", True),
    ("us-central2-b", "l4x4", True),
    ("us-central1-c", "tpu7x-8", False),
    ("europe-west4-b", "v5e-8", False),
    ("europe-west9-c", "v5e-8", True),
    # Of this zone, and of this accelerator, the table knows nothing.
    ("europe-west12-a", "v5e-8", False),
    ("us-central1-a", "gb200", False),
    # One source says that it is there.
    ("us-west1-c", "v6e-8", False),
    ("us-west1-a", "v6e-8", True),
    ("us-central2-b", "cpu", False),
  )
  def test_what_a_zone_lacks(self, zone: str, name: str, lacks: bool) -> None:
    """Only what the table knows is lacking, of whatever size."""
    table = zones.offers()
    self.assertEqual(table.lacks(zone, parse_accelerator(name)), lacks)

  def test_the_zones_of_an_accelerator(self) -> None:
    """They are named; none are where nothing is known."""
    table = zones.offers()
    self.assertEqual(
      table.zones(parse_accelerator("v5p-8")),
      ("europe-west4-b", "us-central1-a", "us-east5-a"),
    )
    self.assertEqual(table.zones(parse_accelerator("gb200")), ())
    self.assertEqual(table.zones(parse_accelerator("cpu")), ())

  def test_the_table_fits_the_registry(self) -> None:
    """It is dated, and each name and zone in it is one."""
    table = zones.offers()
    datetime.date.fromisoformat(table.date)
    for part in (table.certain, table.perhaps):
      self.assertContainsSubset(part, [*TPUS, *GPUS])
      for name, each in part.items():
        self.assertEqual(list(each), sorted(set(each)), name)
        for zone in each:
          self.assertRegex(zone, "^[a-z]+-[a-z]+[0-9]+-([a-f]|ai[0-9][a-z])$")
          self.assertStartsWith(zone, zones.zone_to_region(zone))

  def test_no_zone_is_both(self) -> None:
    """What is certain is not said to be perhaps."""
    table = zones.offers()
    for name, each in table.perhaps.items():
      self.assertNoCommonElements(each, table.certain[name])


if __name__ == "__main__":
  absltest.main()
