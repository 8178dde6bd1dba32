import grpc
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.checks import look_at
from keras_remote.images import links
from tests.fakes.cloud_build import CloudBuildServer, MemoryWorker
from tests.fakes.environment import environment
from tests.fakes.memory_store import MemoryStore


def _there() -> tuple[str, str]:
  return "p", "us"


class LinksTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    server = CloudBuildServer(MemoryWorker(), lambda uri: MemoryStore())
    self.server = self.enter_context(server)
    address = {"CLOUD_BUILD_EMULATOR_HOST": server.address}
    self.enter_context(environment(**address))

  def test_a_project_without_images(self) -> None:
    """Both services are asked; that there is nothing is an answer."""
    registry, builds = look_at(links.links(_there))
    self.assertTrue(registry.ok)
    self.assertIn("us-docker.pkg.dev/p/keras-remote", registry.sentence)
    self.assertTrue(builds.ok)
    self.assertIn("project p", builds.sentence)
    self.assertCountEqual(self.server.requests, ["GetTag", "ListBuilds"])

  @parameterized.parameters(
    ("GetTag", "registry", "roles/artifactregistry.reader"),
    ("ListBuilds", "image builds", "roles/cloudbuild.builds.editor"),
  )
  def test_no_right(self, method: str, what: str, role: str) -> None:
    """The cure is in the sentence; a call can do without."""
    denied = (grpc.StatusCode.PERMISSION_DENIED, "Permission denied")

    def fault(asked: str) -> tuple[grpc.StatusCode, str] | None:
      return denied if asked == method else None

    self.server.fault = fault
    found = links.links(_there)
    (check,) = (c for c in look_at(found) if c.ok is False)
    self.assertEqual(check.what, what)
    self.assertIn(role, check.sentence)
    self.assertIsInstance(check.error, errors.ImageBuildError)
    self.assertFalse(any(link.vital for link in found))

  def test_whom_it_asks(self) -> None:
    """Google's own services take a log-in."""
    self.assertEqual([each.needs for each in links.links(_there)], [(), ()])
    with environment(CLOUD_BUILD_EMULATOR_HOST=""):
      needs = {each.needs for each in links.links(_there)}
    self.assertEqual(needs, {("Google log-in",)})


if __name__ == "__main__":
  absltest.main()
