from absl.testing import absltest, parameterized

from keras_remote.accelerators import zones


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


if __name__ == "__main__":
  absltest.main()
