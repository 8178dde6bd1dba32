from absl.testing import absltest

from keras_remote.accelerators.prices import fee, hourly
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.costs import cost, pool_cost

_V5E, _L4, _B200 = (NodePool(name) for name in ("v5e-8", "l4", "b200x8"))
_CPU = NodePool("cpu", 1)
_CONFIG = InfraConfig("my-project", "us-central1-a")


class CostTest(absltest.TestCase):
  def test_what_is_known(self) -> None:
    """The cluster's fee, and the machines of each pool, CPUs too."""
    found = cost(_CONFIG, [(_CPU, 2), (_V5E, 1), (_L4, 3), (_B200, 0)])
    of_v5e, of_l4 = hourly(_V5E.kind), hourly(_L4.kind, 3)
    assert of_v5e and of_l4
    of_cpus = hourly(_CPU.kind, 2, cpu_machine="e2-standard-4")
    assert of_cpus
    usd = fee().usd + of_cpus.usd + of_v5e.usd + of_l4.usd
    self.assertEqual(found.usd, round(usd, 2))
    self.assertEqual(found.unknown, ())
    self.assertEqual(
      found.at_most,
      f"at most {usd:.2f} USD an hour (prices of us-central1, January to July "
      "2026)",
    )
    self.assertEqual(
      found.document()["prices_of"],
      [f"us-central1, {month} 2026" for month in ("January", "March", "July")],
    )

  def test_what_is_not(self) -> None:
    """It is named, and no part of the figure."""
    there = InfraConfig("my-project", "us-central2-b")
    found = cost(there, [(_CPU, 1), (_B200, 1)])
    self.assertEqual(found.usd, fee().usd)
    self.assertStartsWith(
      found.sentence,
      "0.10 USD an hour without CPU machines and b200x8, of which there is no "
      "price here (",
    )
    self.assertIsNone(pool_cost(there, _B200, 1))

  def test_no_machines(self) -> None:
    """They cost nothing, known or not: the fee is left."""
    found = cost(_CONFIG, [(_CPU, 0), (_B200, 0)])
    self.assertEqual((found.usd, found.unknown), (fee().usd, ()))
    self.assertIsNone(pool_cost(_CONFIG, _CPU, 0))


if __name__ == "__main__":
  absltest.main()
