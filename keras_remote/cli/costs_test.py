from absl.testing import absltest

from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.prices import hourly
from keras_remote.cli.costs import cost


class CostTest(absltest.TestCase):
  def test_what_is_known(self) -> None:
    """The machines of each kind are counted, with where and when it was so."""
    v5e, l4 = parse_accelerator("v5e-8"), parse_accelerator("l4")
    found = cost([(v5e, 2), (l4, 3), (l4, 0)])
    of_v5e, of_l4 = hourly(v5e, 2), hourly(l4, 3)
    assert of_v5e and of_l4
    self.assertEqual(found.usd, round(of_v5e.usd + of_l4.usd, 2))
    self.assertEqual(found.unknown, ())
    self.assertStartsWith(found.at_most, f"at most {found.usd:.2f} USD an hour")
    self.assertIn(of_v5e.origin, found.sentence)

  def test_what_is_not(self) -> None:
    """It is named, and no part of the figure."""
    cpu, b200 = parse_accelerator("cpu"), parse_accelerator("b200x8")
    found = cost([(cpu, 1), (b200, 1), (parse_accelerator("v5e-8"), 1)])
    self.assertEndsWith(found.sentence, ", without CPUs and b200x8")
    alone = cost([(cpu, 1)])
    self.assertEqual(alone.usd, 0)
    self.assertEqual(alone.at_most, "not known: there is no price of CPUs here")

  def test_no_machines(self) -> None:
    """They cost nothing, known or not."""
    found = cost([(parse_accelerator("cpu"), 0)])
    self.assertEqual((found.usd, found.unknown), (0, ()))
    self.assertEqual(found.sentence, "0.00 USD an hour")


if __name__ == "__main__":
  absltest.main()
