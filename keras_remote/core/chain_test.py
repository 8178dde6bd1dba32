import os
from pathlib import Path
from typing import Any

from absl.testing import absltest

from keras_remote.checks import Check, look_at
from keras_remote.core.chain import chain
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud
from tests.fakes.kubeconfig import kubeconfig


class ChainTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)
    self.home = self.folder / "home"
    path = kubeconfig(str(self.folder), "here")
    self.enter_context(
      environment(KERAS_REMOTE_HOME=str(self.home), KUBECONFIG=path)
    )

  def look(self, **arguments: Any) -> dict[str, Check]:
    _, links = chain(arguments)
    return {check.what: check for check in look_at(links)}

  def names(self, **arguments: Any) -> list[str]:
    """What would be looked at."""
    _, links = chain(arguments)
    return [link.what for link in links]

  def test_this_machine(self) -> None:
    """A local call takes nothing from elsewhere, and its home is made."""
    found = self.look()
    self.assertTrue(all(check.ok for check in found.values()), found)
    self.assertTrue(self.home.is_dir())
    self.assertNotIn("cluster", found)

  def test_whom_it_asks(self) -> None:
    """Google's log-in only where Google is asked, and then once."""
    names = self.names(context="here", container_image="x", store="gs://bucket")
    self.assertEqual(names.count("Google log-in"), 1)
    self.assertIn("bucket", names)
    with environment(STORAGE_EMULATOR_HOST="http://127.0.0.1:9"):
      names = self.names(context="here", store="gs://bucket")
      self.assertNotIn("Google log-in", names)
      names = self.names(project="p", cluster="c", store="gs://bucket")
      self.assertEqual(names.count("Google log-in"), 1)

  def test_images(self) -> None:
    """The registry is looked at where images are made."""
    there = {"project": "p", "cluster": "c", "store": "gs://bucket"}
    self.assertIn("registry", self.names(**there))
    for without in (
      {"container_image": "x"},
      {"image": "install"},
      {"backend": "local"},
    ):
      self.assertNotIn("registry", self.names(**(there | without)))
    _, links = chain({"context": "here"})
    (check,) = look_at([each for each in links if each.what == "registry"])
    self.assertIsNone(check.ok)
    self.assertIn("no project is named", check.sentence)

  def test_nothing_is_asked_before_a_look(self) -> None:
    """Who only wants the links waits for nobody."""
    with GoogleCloud() as cloud:
      self.enter_context(environment(**cloud.login(self.folder)))
      self.names(project="p", cluster="c", store="gs://bucket")
      self.assertEmpty(cloud.requests)

  def test_settings_that_are_wrong(self) -> None:
    """They are a broken link; the home is looked at all the same."""
    resolved, links = chain({"timeout": "soon"})
    self.assertIsNone(resolved)
    found = {check.what: check for check in look_at(links)}
    self.assertFalse(found["settings"].ok)
    self.assertTrue(found["home"].ok)
    os.environ["KERAS_REMOTE_HOME"] = " "
    self.assertIn("set but empty", self.look()["settings"].sentence)

  def test_a_backend_that_cannot_be(self) -> None:
    """Its link says why, and nothing beyond it is looked at."""
    found = self.look(context="nowhere")
    self.assertFalse(found["backend"].ok)
    self.assertIn("there is here", found["backend"].sentence)
    self.assertNotIn("cluster", found)

  def test_options_that_do_not_fit(self) -> None:
    """A folder is no store for pods."""
    _, links = chain({"context": "here"})
    (check,) = look_at([each for each in links if each.what == "options"])
    self.assertFalse(check.ok)
    self.assertIn("which pods cannot reach", check.sentence)
    found = self.look(hosts=17)
    self.assertIn("17 hosts are too many", found["options"].sentence)

  def test_a_key_that_others_can_read(self) -> None:
    """It is broken until it is mended."""
    self.look()
    (self.home / "key").chmod(0o644)
    _, links = chain({})
    (home,) = [link for link in links if link.what == "home"]
    (check,) = look_at([home])
    self.assertFalse(check.ok)
    assert home.mend
    home.mend()
    (check,) = look_at([home])
    self.assertTrue(check.ok)

  def test_a_store_that_cannot_be_written(self) -> None:
    """The store's own link says so."""
    file = self.create_tempfile()
    found = self.look(store=file.full_path)
    self.assertFalse(found["store"].ok)
    self.assertIn(file.full_path, found["store"].sentence)


if __name__ == "__main__":
  absltest.main()
