from absl.testing import absltest
from pulumi_gcp import storage

from keras_remote.cli.infra.ownership import Ownership, all_but


class OwnershipTest(absltest.TestCase):
  def test_ours(self) -> None:
    """It is made, may be replaced, and ends with the rest."""
    options = Ownership().options(
      "bucket", settled=["location"], foreign=["labels"]
    )
    self.assertIsNone(options.import_)
    self.assertIsNone(options.retain_on_delete)
    self.assertTrue(options.delete_before_replace)
    self.assertEqual(options.ignore_changes, ["location"])

  def test_adopted(self) -> None:
    """It is joined by its id, keeps what is its maker's, and stays."""
    options = Ownership({"bucket": "p/b"}).options(
      "bucket", settled=["location"], foreign=["labels"]
    )
    self.assertEqual(options.import_, "p/b")
    self.assertTrue(options.retain_on_delete)
    self.assertEqual(options.ignore_changes, ["location", "labels"])

  def test_all_but(self) -> None:
    """Every argument that a resource takes, but those that are named."""
    found = all_but(storage.BucketArgs, "labels")
    self.assertContainsSubset(["name", "cors"], found)
    self.assertNoCommonElements(found, ["labels", "self", "__self__"])


if __name__ == "__main__":
  absltest.main()
