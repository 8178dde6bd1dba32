from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.program import program
from tests.fakes.pulumi_monitor import record


class AccountsTest(absltest.TestCase):
  def test_ids_are_as_google_takes_them(self) -> None:
    """Whatever the cluster is called, of 6 to 30 characters, all apart."""
    for name in ("a", "keras-remote", "x" * 40, "team-" * 7 + "a"):
      config = InfraConfig("my-project", "us-central1-a", cluster=name)
      made = record(program(config)).of("Account")
      ids = [each.inputs["accountId"] for each in made.values()]
      self.assertLen(set(ids), 3)
      for each in ids:
        self.assertRegex(each, "^[a-z][a-z0-9-]{4,28}[a-z0-9]$")

  def test_machines_are_none_of_the_default(self) -> None:
    """The default account of a project may do nearly everything there."""
    config = InfraConfig("my-project", "us-central1-a")
    made = record(program(config))
    email = config.email(config.node_account)
    for name in ("cluster", "pool-cpu"):
      machine = made[name].inputs["nodeConfig"]
      self.assertEqual(machine["serviceAccount"], email)


if __name__ == "__main__":
  absltest.main()
