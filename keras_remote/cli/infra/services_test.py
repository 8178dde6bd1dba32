from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import services
from tests.fakes.pulumi_monitor import record


class ServicesTest(absltest.TestCase):
  def test_they_stay_enabled(self) -> None:
    """What others of the project may use is never disabled."""
    config = InfraConfig("my-project", "us-central1-a")
    made = record(lambda: services.services(config)).resources
    self.assertLen(made, len(services.SERVICES))
    for each in made:
      self.assertIs(each.inputs["disableOnDestroy"], False)
      self.assertRegex(each.inputs["service"], r"^[a-z]+\.googleapis\.com$")

  def test_each_says_what_it_is_for(self) -> None:
    """So that whoever is asked to enable it knows."""
    for name, what in services.SERVICES.items():
      self.assertNotEmpty(what, name)


if __name__ == "__main__":
  absltest.main()
