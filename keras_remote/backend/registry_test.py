from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend import registry
from keras_remote.backend.base import Wanted
from keras_remote.home import Home
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig


class RegistryTest(parameterized.TestCase):
  def test_the_default(self) -> None:
    """With nothing configured a call goes the whole way on this machine."""
    self.assertEqual(registry.choose(None), "local")

  def test_a_cluster(self) -> None:
    """Who names a cluster means it, unless a backend is named."""
    self.assertEqual(registry.choose(None, cluster=True), "gke")
    self.assertEqual(registry.choose("local", cluster=True), "local")

  def test_several_hosts(self) -> None:
    """On a cluster they are a group that starts again together."""
    self.assertEqual(registry.choose(None, cluster=True, hosts=2), "pathways")
    self.assertEqual(registry.choose(None, hosts=2), "local")
    self.assertEqual(registry.choose("gke", cluster=True, hosts=2), "gke")

  @parameterized.parameters(
    ("gke", 1, 1, "gke"),
    ("gke", 1, 4, "pathways"),
    ("pathways", 4, 1, "gke"),
    ("pathways", 4, 2, "pathways"),
    ("gke", 4, 2, "gke"),  # It was asked for by name.
    ("pathways", 1, 4, "pathways"),
    ("local", 1, 4, "local"),
  )
  def test_again_with_other_hosts(
    self, name: str, before: int, hosts: int, expected: str
  ) -> None:
    """What the number of hosts has chosen, another number chooses anew."""
    self.assertEqual(registry.choose_again(name, before, hosts), expected)

  def test_places(self) -> None:
    """One of a cluster is a place of both backends there."""
    self.assertTrue(registry.same_place("gke", "pathways"))
    self.assertTrue(registry.same_place("local", "local"))
    self.assertFalse(registry.same_place("gke", "local"))

  def test_every_name_opens_its_backend(self) -> None:
    """A backend calls itself as the registry does."""
    folder = self.create_tempdir().full_path
    home, wanted = Home(Path(folder)), Wanted(context="here")
    variables = environment(KUBECONFIG=kubeconfig(folder, "here"))
    self.enter_context(variables)
    for name in registry.names():
      self.assertEqual(registry.choose(name), name)
      self.assertEqual(registry.open_backend(name, home, wanted).name, name)

  @parameterized.parameters(
    ("lokal", "did you mean 'local'"),
    ("xyz", "there is gke, local"),
    ("", "local"),
  )
  def test_an_unknown_one(self, name: str, text: str) -> None:
    """The error names what there is, and the nearest."""
    with self.assertRaisesRegex(errors.ConfigError, text):
      registry.choose(name)
    with self.assertRaisesRegex(errors.ConfigError, "unknown backend"):
      registry.open_backend(name, Home(Path()), Wanted())


if __name__ == "__main__":
  absltest.main()
