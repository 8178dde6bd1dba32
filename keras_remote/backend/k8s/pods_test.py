"""By what the objects of a job are found."""

import base64
import dataclasses

from absl.testing import absltest

from keras_remote.backend.k8s import pods
from tests.fakes.specs import job_spec


class PodsTest(absltest.TestCase):
  def test_odd_names(self) -> None:
    """Labels hold what they can; annotations hold what it is."""
    spec = job_spec()
    who, name = "Ada Ü@home", "-" + "a" * 70
    origin = dataclasses.replace(spec.origin, who=who, name=name)
    metadata = pods.metadata(dataclasses.replace(spec, origin=origin))
    self.assertEqual(metadata["labels"]["keras-remote/owner"], "Ada")
    self.assertEqual(metadata["labels"]["keras-remote/name"], "a" * 62)
    self.assertEqual(metadata["annotations"]["keras-remote/owner"], who)
    self.assertEqual(metadata["annotations"]["keras-remote/name"], name)

  def test_the_archive(self) -> None:
    """It is named by its content, and nobody can change it."""
    found = pods.archive_map(b"zip")
    self.assertEqual(found["metadata"]["name"], pods.archive_name(b"zip"))
    self.assertNotEqual(pods.archive_name(b"zip"), pods.archive_name(b"zap"))
    self.assertTrue(found["immutable"])
    (data,) = found["binaryData"].values()
    self.assertEqual(base64.b64decode(data), b"zip")


if __name__ == "__main__":
  absltest.main()
