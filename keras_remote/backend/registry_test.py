from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend import registry
from keras_remote.home import Home


class RegistryTest(parameterized.TestCase):
  def test_the_default(self) -> None:
    """With nothing configured a call goes the whole way on this machine."""
    self.assertEqual(registry.choose(None), "local")

  def test_every_name_opens_its_backend(self) -> None:
    """A backend calls itself as the registry does."""
    home = Home(Path(self.create_tempdir().full_path))
    for name in registry.names():
      self.assertEqual(registry.choose(name), name)
      self.assertEqual(registry.open_backend(name, home).name, name)

  @parameterized.parameters(
    ("lokal", "did you mean 'local'"), ("xyz", "there is local"), ("", "local")
  )
  def test_an_unknown_one(self, name: str, text: str) -> None:
    """The error names what there is, and the nearest."""
    with self.assertRaisesRegex(errors.ConfigError, text):
      registry.choose(name)
    with self.assertRaisesRegex(errors.ConfigError, "unknown backend"):
      registry.open_backend(name, Home(Path()))


if __name__ == "__main__":
  absltest.main()
