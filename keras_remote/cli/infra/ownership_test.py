from absl.testing import absltest

from keras_remote.cli.infra.ownership import Ownership


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


if __name__ == "__main__":
  absltest.main()
