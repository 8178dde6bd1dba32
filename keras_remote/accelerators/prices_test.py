"""Prices: those of the table, and no other."""

from absl.testing import absltest, parameterized

from keras_remote.accelerators import prices
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import GPUS, TPUS, accelerators


class HourlyTest(parameterized.TestCase):
  @parameterized.parameters(
    ("v5e-8", None, 9.60),  # Eight chips.
    ("v5e-8:spot", None, 1.92),
    ("v5p-8", None, 16.80),  # TensorCores: four chips.
    ("v6e-16", None, 43.20),
    ("v5e-16", 8, 38.40),  # Two slices of four hosts.
    ("l4", None, 0.71),
    ("l4:spot", None, 0.40),
    ("l4", 3, 2.13),
    ("a100", None, 3.67),
    ("a100-80gb:spot", None, 2.76),
    ("h100x8", 2, 176.98),
    ("rtx-pro-6000", None, 4.50),
    ("l4x8", None, 8.00),
    ("v4-8", None, 12.88),
    ("v3-8:spot", None, 2.04),
  )
  def test_known(self, name: str, hosts: int | None, usd: float) -> None:
    """A TPU is paid by the chip, GPUs by the machine that has them."""
    price = prices.hourly(parse_accelerator(name), hosts)
    assert price is not None
    self.assertEqual(price.usd, usd)

  @parameterized.parameters(
    *("cpu", "l4x4", "a100x8", "h100", "h200x8", "b200x8", "tpu7x-8"),
    "l4x8:spot",
  )
  def test_unknown(self, name: str) -> None:
    """No figure is made up: four GPUs are not four times the price of one."""
    self.assertIsNone(prices.hourly(parse_accelerator(name)))

  def test_where_and_when(self) -> None:
    """A price is told with its place and its date."""
    chip, machine = (
      prices.hourly(parse_accelerator(name)) for name in ("v5e-1", "l4")
    )
    assert chip is not None and machine is not None
    self.assertEqual(chip.origin, "us-central1, March 2026")
    self.assertEqual(machine.origin, "us-central1, July 2026")
    self.assertNotEmpty(chip.source)

  def test_where_and_when_of_several(self) -> None:
    """The first and the last month of each region, and one year once."""
    found = [
      prices.hourly(parse_accelerator(name))
      for name in ("v5e-1", "l4", "v4-8", "v5p-8")
    ]
    self.assertEqual(
      prices.origins(filter(None, found)),
      "us-central1, March to July 2026; us-central2, March 2026",
    )
    old = prices.Price(1.0, "us-central1", "2025-03-06", "somebody")
    self.assertEqual(
      prices.origins([old, *filter(None, found[:1])]),
      "us-central1, March 2025 to March 2026",
    )

  def test_cpus(self) -> None:
    """Their machine is what costs, and who knows it says it."""
    cpu = parse_accelerator("cpu")
    price = prices.hourly(cpu, 3, cpu_machine="e2-standard-4")
    assert price is not None
    self.assertEqual(price.usd, 0.40)
    self.assertIsNone(prices.hourly(cpu, cpu_machine="n2-standard-4"))

  def test_a_cluster(self) -> None:
    """It has a fee, whatever it has of machines."""
    self.assertEqual(prices.fee().usd, 0.10)

  def test_a_while(self) -> None:
    """Half an hour costs half."""
    price = prices.hourly(parse_accelerator("v5e-8"))
    assert price is not None
    self.assertAlmostEqual(price.of(1800), 4.80)

  def test_every_row_is_of_an_accelerator(self) -> None:
    """A machine type or generation that is misspelt would never be found."""
    known = {*TPUS, "gke", "e2-standard-4"} | {
      machine for gpu in GPUS.values() for machine in gpu.machine_types.values()
    }
    for one, kind in prices._prices():
      self.assertIn(one, known)
      self.assertIn(kind, ("on_demand", "spot"))

  def test_spot_is_never_dearer(self) -> None:
    """A price in the wrong column would be."""
    for accelerator in accelerators():
      usual = prices.hourly(accelerator)
      spot = prices.hourly(parse_accelerator(f"{accelerator}:spot"))
      self.assertFalse(spot and not usual)
      if usual and spot:
        self.assertLess(spot.usd, usual.usd)


if __name__ == "__main__":
  absltest.main()
