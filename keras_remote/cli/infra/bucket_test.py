from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import bucket
from keras_remote.cli.infra.ownership import Ownership
from keras_remote.job import layout
from tests.fakes.pulumi_monitor import Registered, record


def _made(days: int, ownership: Ownership | None = None) -> Registered:
  config = InfraConfig("my-project", "us-central1-a", retention_days=days)
  ownership = ownership or Ownership()
  return record(lambda: bucket.bucket(config, ownership, []))["bucket"]


class BucketTest(absltest.TestCase):
  def test_nobody_else_reads_it(self) -> None:
    """No object can be shared one by one, nor with everyone."""
    inputs = _made(30).inputs
    self.assertTrue(inputs["uniformBucketLevelAccess"])
    self.assertEqual(inputs["publicAccessPrevention"], "enforced")

  def test_what_jobs_leave_goes(self) -> None:
    """After so many days, and then at once."""
    inputs = _made(14).inputs
    (rule,) = inputs["lifecycleRules"]
    self.assertEqual(rule["condition"]["age"], 14)
    self.assertEqual(inputs["softDeletePolicy"]["retentionDurationSeconds"], 0)

  def test_every_folder_goes(self) -> None:
    """Each key that the layout has is of a folder of the rule."""
    keys = [
      layout.job("id", layout.SPEC),
      layout.context("0" * 64),
      layout.environment("owner", "0" * 64, "machine"),
      f"{layout.INDEX}0-id",
      f"{layout.RUNNERS}{'0' * 64}.pyz",
      f"{layout.BUILDS}/log-0.txt",
    ]
    for key in keys:
      self.assertTrue(key.startswith(bucket.PREFIXES), key)

  def test_one_of_somebody_else_is_never_emptied(self) -> None:
    """Ours is when it is taken down, which could not go on else."""
    adopted = Ownership({"bucket": "my-project/b"})
    self.assertFalse(_made(30, adopted).inputs["forceDestroy"])
    self.assertTrue(_made(30).inputs["forceDestroy"])

  def test_one_of_somebody_else_stays_as_it_is(self) -> None:
    """Also in what the program says nothing of."""
    adopted = Ownership({"bucket": "my-project/b"})
    made = _made(30, adopted)
    ignored = made.options["ignoreChanges"]
    self.assertContainsSubset(made.inputs, ignored)
    self.assertContainsSubset(["cors", "encryption", "logging"], ignored)

  def test_it_never_moves(self) -> None:
    """Another region would be another bucket, without what is in it."""
    self.assertIn("location", _made(30).options["ignoreChanges"])


if __name__ == "__main__":
  absltest.main()
