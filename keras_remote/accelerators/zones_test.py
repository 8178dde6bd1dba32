import datetime

from absl.testing import absltest, parameterized

from keras_remote.accelerators import zones
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import GPUS, TPUS


class ZonesTest(parameterized.TestCase):
  @parameterized.parameters(
    ("us-central1-a", "us-central1", "us"),
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


class OffersTest(parameterized.TestCase):
  @parameterized.parameters(
    ("us-central1-a", "v5e-8", False),
    ("us-central1-a", "v5e-256:spot", False),
    ("us-central1-b", "v5e-8", True),
    ("us-central2-b", "l4x4", True),
    ("us-central1-c", "tpu7x-8", False),
    # Of zones elsewhere, and of these accelerators, the table knows nothing.
    ("europe-west4-b", "v5e-8", False),
    ("us-central1-a", "t4", False),
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
      table.zones(parse_accelerator("v5p-8")), ("us-central1-a", "us-east5-a")
    )
    self.assertEqual(table.zones(parse_accelerator("t4")), ())
    self.assertEqual(table.zones(parse_accelerator("cpu")), ())

  def test_the_table_fits_the_registry(self) -> None:
    """It is dated, and each name and zone in it is one."""
    table = zones.offers()
    datetime.date.fromisoformat(table.date)
    self.assertContainsSubset(table.by_name, [*TPUS, *GPUS])
    for each in table.by_name.values():
      self.assertLen(set(each), len(each))
      for zone in each:
        self.assertRegex(zone, "^us-[a-z]+[0-9]-[a-f]$")


if __name__ == "__main__":
  absltest.main()
