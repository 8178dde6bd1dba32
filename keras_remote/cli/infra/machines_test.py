from absl.testing import absltest, parameterized

from keras_remote.accelerators.registry import GPUS
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import machines


class MachinesTest(parameterized.TestCase):
  @parameterized.parameters(
    ("us-central1-a", "e2-standard-4"), ("us-central2-b", "n2-standard-4")
  )
  def test_cpus_are_what_the_zone_has(self, zone: str, machine: str) -> None:
    """The zone of v4 has no e2."""
    config = InfraConfig("my-project", zone)
    self.assertEqual(machines.cpu_machine(config), machine)

  @parameterized.parameters(*GPUS)
  def test_drivers(self, name: str) -> None:
    """The latest, but for those that it may not know any more."""
    (gpu, *_) = GPUS[name].counts.values()
    old = name in ("p4", "p100", "v100")
    self.assertEqual(machines.driver(gpu), "DEFAULT" if old else "LATEST")


if __name__ == "__main__":
  absltest.main()
