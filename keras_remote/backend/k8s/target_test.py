"""From settings to a cluster: what needs none."""

from absl.testing import absltest, parameterized

from keras_remote.backend.base import Cloud, Wanted
from keras_remote.backend.k8s import names
from keras_remote.backend.k8s.target import cloud_of

_CONTEXT = names.of_context("here")
_GKE = names.of_gke(names.GkeCluster("p", "europe-west4-b", "c"))


class CloudTest(parameterized.TestCase):
  @parameterized.parameters(
    (Wanted(), _CONTEXT, None),
    (Wanted(project="q"), _CONTEXT, Cloud("q", "us-central1-a")),
    (Wanted(project="q", zone="asia"), _CONTEXT, Cloud("q", "asia")),
    (Wanted(), _GKE, Cloud("p", "europe-west4-b")),
    (Wanted(project="q"), _GKE, Cloud("q", "europe-west4-b")),
  )
  def test_where_images_are_made(
    self, wanted: Wanted, name: names.ClusterName, expected: Cloud | None
  ) -> None:
    """In the project that is named, else in the cluster's, near to it."""
    self.assertEqual(cloud_of(wanted, name), expected)


if __name__ == "__main__":
  absltest.main()
