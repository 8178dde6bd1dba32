from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.program import import_ids, program
from keras_remote.images.recipe import image_name
from tests.fakes.pulumi_monitor import record


class RegistryTest(absltest.TestCase):
  def test_images_are_there(self) -> None:
    """It is the one that builds push to, near the cluster."""
    for zone in ("us-central1-a", "europe-west4-b", "me-west1-a"):
      config = InfraConfig("my-project", zone)
      inputs = record(program(config))["repository"].inputs
      name = image_name("my-project", inputs["location"], "keras-remote")
      self.assertIn(f"/{inputs['repositoryId']}/", name)
      self.assertTrue(name.startswith(config.repository_location))

  def test_old_images_go(self) -> None:
    """For real, and never the latest."""
    config = InfraConfig("my-project", "us-central1-a")
    inputs = record(program(config))["repository"].inputs
    self.assertIs(inputs["cleanupPolicyDryRun"], False)
    policies = {each["action"]: each for each in inputs["cleanupPolicies"]}
    self.assertEqual(policies["DELETE"]["condition"]["olderThan"], "7776000s")
    self.assertEqual(policies["KEEP"]["mostRecentVersions"]["keepCount"], 20)

  def test_one_of_somebody_else(self) -> None:
    """It loses old images too; with another key it would be another one."""
    config = InfraConfig("my-project", "us-central1-a")
    ids = {"repository": import_ids(config)["repository"]}
    found = record(program(config, adopted=ids))["repository"]
    ignored = found.options["ignoreChanges"]
    self.assertEqual(
      set(found.inputs).difference(ignored),
      {"cleanupPolicies", "cleanupPolicyDryRun", "labels"},
    )
    self.assertContainsSubset(["dockerConfig", "kmsKeyName"], ignored)

  def test_it_is_of_no_cluster(self) -> None:
    """All clusters of a project share it, so it bears the name of none."""
    made = [
      record(program(InfraConfig("my-project", "us-central1-a", cluster=name)))
      for name in ("one", "two")
    ]
    one, two = (each["repository"].inputs for each in made)
    self.assertEqual(one, two)


if __name__ == "__main__":
  absltest.main()
