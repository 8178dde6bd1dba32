from pathlib import Path

from absl.testing import absltest

from keras_remote import constants
from keras_remote.core import settings
from keras_remote.core.leading import forget_cluster, save_profile
from keras_remote.home import ensure

_THERE = {"project": "p", "cluster": "c", "store": "gs://b"}


class LeadingTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    home = ensure(Path(self.create_tempdir().full_path, "home"))
    self.environ = {constants.HOME_VARIABLE: str(home)}
    self.config = home / "config.toml"

  def profiles(self) -> settings.Profiles:
    return settings.profiles(environ=self.environ)

  def test_saved(self) -> None:
    """It is the active one, and settings have what it says."""
    save_profile("team", _THERE, environ=self.environ)
    self.assertEqual(self.profiles().active, "team")
    found = settings.resolve({}, cwd=self.config.parent, environ=self.environ)
    self.assertEqual(found.options.cluster, "c")

  def test_what_led_elsewhere(self) -> None:
    """It goes; options that lead nowhere stay, and so do comments."""
    self.config.write_text(
      '# mine\nactive = "team"\n[profiles.team]\ncontext = "old"\n'
      'backend = "local"\nzone = "z"\ntimeout = "2h"\n'
      'build_service_account = "builds@old.example.com"\n'
    )
    save_profile("team", _THERE, environ=self.environ)
    expected = {**_THERE, "timeout": "2h"}
    self.assertEqual(self.profiles().tables["team"], expected)
    self.assertStartsWith(self.config.read_text(), "# mine\n")

  def test_forgotten(self) -> None:
    """Each profile that leads there goes, and only these."""
    save_profile("other", {**_THERE, "cluster": "d"}, environ=self.environ)
    save_profile("one", _THERE, environ=self.environ)
    save_profile("two", _THERE, environ=self.environ)
    gone = forget_cluster("p", "c", "z", environ=self.environ)
    self.assertEqual(gone, ["one", "two"])
    self.assertEqual(set(self.profiles().tables), {"default", "other"})
    self.assertEqual(self.profiles().active, "default")

  def test_of_the_same_name(self) -> None:
    """A profile that leads to a cluster at another place stays."""
    save_profile("one", {**_THERE, "zone": "y"}, environ=self.environ)
    save_profile("two", {**_THERE, "zone": "z"}, environ=self.environ)
    gone = forget_cluster("p", "c", "z", environ=self.environ)
    self.assertEqual(gone, ["two"])
    self.assertIn("one", self.profiles().tables)

  def test_what_else_it_says(self) -> None:
    """A profile with options of somebody's own keeps these."""
    save_profile("team", _THERE, environ=self.environ)
    settings.set_value("team", "timeout", "2h", environ=self.environ)
    forget_cluster("p", "c", "z", environ=self.environ)
    self.assertEqual(self.profiles().tables["team"], {"timeout": "2h"})

  def test_default_profile(self) -> None:
    """It stays, without what led there."""
    save_profile("default", _THERE, environ=self.environ)
    settings.set_value("default", "timeout", "2h", environ=self.environ)
    gone = forget_cluster("p", "c", "z", environ=self.environ)
    self.assertEqual(gone, ["default"])
    self.assertEqual(self.profiles().tables["default"], {"timeout": "2h"})

  def test_another_profile_is_chosen(self) -> None:
    """By a variable: what the file has as active leads somewhere all the same."""
    save_profile("other", {**_THERE, "cluster": "d"}, environ=self.environ)
    save_profile("team", _THERE, environ=self.environ)
    chosen = {**self.environ, settings.PROFILE_VARIABLE: "other"}
    forget_cluster("p", "c", "z", environ=chosen)
    self.assertEqual(self.profiles().active, "default")
    save_profile("team", _THERE, environ=self.environ)
    chosen = {**self.environ, settings.PROFILE_VARIABLE: "team"}
    settings.use_profile("other", environ=self.environ)
    forget_cluster("p", "c", "z", environ=chosen)
    self.assertEqual(self.profiles().active, "other")

  def test_nothing_to_forget(self) -> None:
    """Then nothing is written."""
    self.assertEqual(forget_cluster("p", "c", "z", environ=self.environ), [])
    self.assertFalse(self.config.exists())


if __name__ == "__main__":
  absltest.main()
