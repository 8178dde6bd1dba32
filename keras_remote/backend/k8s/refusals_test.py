import json

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import names, refusals

_HERE = names.of_context("here")


class RefusalTest(parameterized.TestCase):
  @parameterized.parameters(
    (400, errors.ClusterError, "no"),
    (401, errors.CredentialsError, "auth whoami"),
    (403, errors.ClusterAccessError, "auth can-i"),
    (404, errors.ClusterError, "no"),
    (409, errors.ClusterError, "no"),
    (422, errors.ClusterError, "422"),
    (500, errors.ClusterError, "500"),
  )
  def test_statuses(
    self, status: int, kind: type[errors.KerasRemoteError], words: str
  ) -> None:
    """Each has its class; the sentence has the cluster's own words."""
    said = json.dumps({"message": "no"}).encode()
    found = refusals.refusal(status, said, _HERE, "team")
    self.assertIs(type(found), kind)
    if isinstance(found, errors.ClusterError):
      self.assertEqual(found.status, status)
    self.assertIn("'here'", str(found))
    self.assertIn(words, str(found))

  @parameterized.parameters(b"a proxy \xff says so", b"[]", b"")
  def test_answers_that_are_none_of_the_api(self, said: bytes) -> None:
    """A proxy's page is shown as it is."""
    self.assertIn("502", str(refusals.refusal(502, said, _HERE, "team")))

  @parameterized.parameters(401, 403)
  def test_nobody_logged_in(self, status: int) -> None:
    """The cure is how one logs in to this cluster."""
    said = b'{"message": "User \\"system:anonymous\\" cannot list pods"}'
    gke = names.of_gke(names.GkeCluster("p", "us-central1-a", "c"))
    found = refusals.refusal(status, said, gke, "team")
    self.assertIs(type(found), errors.CredentialsError)
    self.assertIn("p/us-central1-a/c does not know who asks", str(found))
    self.assertIn("gcloud auth application-default login", str(found))

  def test_no_namespace(self) -> None:
    """The cure makes it."""
    said = b'{"message": "namespaces \\"team\\" not found"}'
    found = refusals.refusal(404, said, _HERE, "team")
    self.assertIn("create namespace team", str(found))


if __name__ == "__main__":
  absltest.main()
