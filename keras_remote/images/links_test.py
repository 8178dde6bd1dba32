import grpc
from absl.testing import absltest

from keras_remote import errors
from keras_remote.checks import look_at
from keras_remote.images import links
from tests.fakes.cloud_build import CloudBuildServer, MemoryWorker
from tests.fakes.environment import environment
from tests.fakes.memory_store import MemoryStore


def _there() -> tuple[str, str]:
  return "p", "us"


class RegistryTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    server = CloudBuildServer(MemoryWorker(), lambda uri: MemoryStore())
    self.server = self.enter_context(server)
    address = {"CLOUD_BUILD_EMULATOR_HOST": server.address}
    self.enter_context(environment(**address))

  def test_an_empty_registry(self) -> None:
    """It is asked for an image, and that there is none is an answer."""
    (check,) = look_at([links.link(_there)])
    self.assertTrue(check.ok)
    self.assertIn("us-docker.pkg.dev/p/keras-remote", check.sentence)
    self.assertEqual(self.server.requests, ["GetTag"])

  def test_no_right(self) -> None:
    """The cure is in the sentence; a call can do without."""
    denied = (grpc.StatusCode.PERMISSION_DENIED, "Permission denied")

    def fault(method: str) -> tuple[grpc.StatusCode, str]:
      return denied

    self.server.fault = fault
    link = links.link(_there)
    (check,) = look_at([link])
    self.assertFalse(check.ok)
    self.assertIn("roles/artifactregistry.reader", check.sentence)
    self.assertIsInstance(check.error, errors.ImageBuildError)
    self.assertFalse(link.vital)

  def test_whom_it_asks(self) -> None:
    """Google's own registry takes a log-in."""
    self.assertEmpty(links.link(_there).needs)
    with environment(CLOUD_BUILD_EMULATOR_HOST=""):
      self.assertEqual(links.link(_there).needs, ("Google log-in",))


if __name__ == "__main__":
  absltest.main()
