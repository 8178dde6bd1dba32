from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import container_api
from keras_remote.backend.k8s.container_api import Endpoint
from keras_remote.backend.k8s.names import GkeCluster
from keras_remote.credentials import AccessToken
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud, refusal

_PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
_DNS = "gke-1.us-central1-a.gke.goog"
_BY_DNS = {"endpoint": _DNS, "allowExternalTraffic": True}
_NO_DNS = {"endpoint": _DNS}
_PUBLIC = {"enabled": True, "enablePublicEndpoint": True}


class ContainerApiCase(parameterized.TestCase):
  """Somebody who is logged in, and a project `p` with two clusters."""

  def setUp(self) -> None:
    super().setUp()
    self.cloud = self.enter_context(GoogleCloud())
    folder = self.create_tempdir().full_path
    self.enter_context(environment(**self.cloud.login(folder)))
    self.add("us-central1-a", "train")
    self.add("europe-west4", "serve")

  def add(self, location: str, name: str, **fields: object) -> None:
    self.cloud.add("p", location, name, "https://192.0.2.7", _PEM, **fields)

  def find(
    self, name: str, location: str | None = None, project: str = "p"
  ) -> Endpoint:
    cluster = GkeCluster(project, location, name)
    return container_api.find(cluster, AccessToken())

  def answer(self, said: tuple[int, object], times: int = 100) -> None:
    """The Container API says this, so many times."""
    left = [said] * times

    def fault(path: str) -> tuple[int, object] | None:
      return left.pop() if left else None

    self.cloud.fault = fault

  def asked(self) -> list[str]:
    """The requests to the Container API, but for those of tokens."""
    return [path for path in self.cloud.requests if path != "/token"]


class FindTest(ContainerApiCase):
  @parameterized.parameters("us-central1-a", None)
  def test_a_cluster(self, location: str | None) -> None:
    """One request finds it, also without its location."""
    found = self.find("train", location)
    self.assertEqual(
      found, Endpoint("us-central1-a", "https://192.0.2.7", _PEM)
    )
    self.assertLen(self.asked(), 1)

  @parameterized.parameters(
    ({}, False),
    ({"privateClusterConfig": {"enablePrivateEndpoint": True}}, True),
    ({"privateClusterConfig": {"enablePrivateNodes": True}}, False),
    ({"by_address": _PUBLIC}, False),
    ({"by_address": {"enabled": True}}, True),
    ({"by_address": {}}, True),
    ({"by_address": {}, "dns": _NO_DNS}, False),
  )
  def test_endpoints(self, fields: dict[str, Any], by_dns: bool) -> None:
    """The DNS endpoint is taken where it is open and the IP one is not."""
    ways = {"dnsEndpointConfig": fields.pop("dns", _BY_DNS)}
    if "by_address" in fields:
      ways["ipEndpointsConfig"] = fields.pop("by_address")
    fields["controlPlaneEndpointsConfig"] = ways
    self.add("us-east1-b", "mine", **fields)
    found = self.find("mine", "us-east1-b")
    if by_dns:
      self.assertEqual(found, Endpoint("us-east1-b", f"https://{_DNS}", None))
    else:
      self.assertEqual(found.url, "https://192.0.2.7")

  def test_a_cluster_that_is_being_made(self) -> None:
    """It has no address yet, and the error says how it stands."""
    self.add("us-east1-b", "new", endpoint="", status="PROVISIONING")
    with self.assertRaisesRegex(errors.ClusterError, "PROVISIONING.*gcloud"):
      self.find("new", "us-east1-b")

  @parameterized.parameters(
    ("train", "us-central1-b", "in us-central1-b.*KERAS_REMOTE_ZONE to us-ce"),
    ("trian", "us-central1-a", "there is train in us-central1-a, serve in"),
    ("train/../x", "us-central1-a", "no cluster 'train/../x'"),
    ("trian", None, "there is train in us-central1-a, serve in europe-west4"),
  )
  def test_no_such_cluster(
    self, name: str, location: str | None, words: str
  ) -> None:
    """The error names those that there are, and what to set."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      self.find(name, location)

  def test_two_of_a_name(self) -> None:
    """Which one is meant has to be said."""
    self.add("europe-west4", "train")
    words = (
      "has 2 clusters .*KERAS_REMOTE_ZONE to us-central1-a or europe-west4"
    )
    with self.assertRaisesRegex(errors.ConfigError, words):
      self.find("train")
    self.assertEqual(
      self.find("train", "europe-west4").location, "europe-west4"
    )

  def test_a_project_without_clusters(self) -> None:
    """The error says how to make one."""
    self.cloud.projects["empty"] = []
    with self.assertRaisesRegex(
      errors.ConfigError, "none at all.*keras-remote up --project empty"
    ):
      self.find("train", project="empty")

  @parameterized.parameters("us-central1-a", None)
  def test_no_such_project(self, location: str | None) -> None:
    """The error says how to list them."""
    with self.assertRaisesRegex(errors.ConfigError, "gcloud projects list"):
      self.find("train", location, project="elsewhere")


class RefusalTest(ContainerApiCase):
  @parameterized.parameters(
    (
      "Kubernetes Engine API has not been used in project p before",
      "SERVICE_DISABLED",
      "gcloud services enable container.googleapis.com --project=p",
    ),
    (
      "The container.googleapis.com API requires a quota project",
      "SERVICE_DISABLED",
      "gcloud auth application-default set-quota-project p",
    ),
    (
      "Caller does not have required permission to use project other",
      "USER_PROJECT_DENIED",
      "gcloud auth application-default set-quota-project p",
    ),
    (
      'Required "container.clusters.get" permission(s) for "p"',
      "",
      "gcloud projects add-iam-policy-binding p .*roles/container.developer",
    ),
  )
  def test_no_access(self, message: str, reason: str, cure: str) -> None:
    """Each reason has the command that mends it."""
    self.answer((403, refusal(message, reason)))
    with self.assertRaisesRegex(errors.ClusterAccessError, cure) as caught:
      self.find("train", "us-central1-a")
    self.assertEqual(caught.exception.status, 403)

  @parameterized.parameters(None, "us-central1-a")
  def test_a_log_in_that_counts_no_more(self, location: str | None) -> None:
    """The error says to log in."""
    self.cloud.revoked = True
    with self.assertRaisesRegex(errors.CredentialsError, "login"):
      self.find("train", location)

  def test_an_api_that_fails_for_a_moment(self) -> None:
    """It is asked again; for long, the error has its words."""
    self.answer((503, refusal("busy")), times=2)
    self.assertEqual(self.find("train").location, "us-central1-a")
    self.answer((418, "no JSON of an API"))
    with self.assertRaisesRegex(errors.ClusterError, "418"):
      self.find("train")

  def test_nobody_there(self) -> None:
    """The error says what could not be reached."""
    nowhere = {container_api.OVERRIDE_VARIABLE: "http://127.0.0.1:9/"}
    with (
      environment(**nowhere),
      self.assertRaisesRegex(errors.ClusterError, "Container API"),
    ):
      self.find("train")


if __name__ == "__main__":
  absltest.main()
