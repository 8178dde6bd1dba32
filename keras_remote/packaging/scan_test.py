"""The files of a project that travel, links and odd names among them."""

import os

from absl.testing import absltest

from keras_remote.errors import PackagingError
from keras_remote.packaging.scan import scan
from keras_remote.progress import Step
from tests.fakes.project import ProjectTestCase


class _ProjectTest(ProjectTestCase):
  def names(self) -> list[str]:
    return list(scan(self.root))


class LinkTest(_ProjectTest):
  """Symlinks inside the tree work there; those that leave it are refused."""

  def link(self, name: str, target: str) -> None:
    (self.root / name).symlink_to(target)

  def test_stand_for_what_they_lead_to(self) -> None:
    """A file, a folder, and a link in that folder."""
    self.put("v2/model.txt", b"two")
    self.link("latest", "v2")
    self.link("v2/same.txt", "model.txt")
    self.link("copy.txt", "latest/model.txt")
    paths = ("copy.txt", "latest/model.txt", "latest/same.txt", "v2/model.txt")
    inodes = {status[3] for status in scan(self.root).values()}
    self.assertEqual(self.names(), [*paths, "v2/same.txt"])
    self.assertEqual(inodes, {(self.root / "v2/model.txt").stat().st_ino})

  def test_that_leave_the_tree_are_refused(self) -> None:
    """Naming the link and the rule that leaves it out, which works."""
    self.put("a.py")
    for target in ("/etc", "../secret", str(self.place / "project2")):
      self.link("out", target)
      with self.assertRaisesRegex(PackagingError, "symlink out .* rule 'out'"):
        self.names()
      (self.root / "out").unlink()
    self.link("out", "/etc")
    self.put(".kerasremoteignore", b"out")
    self.assertEqual(self.names(), [".kerasremoteignore", "a.py"])

  def test_that_loop_or_dangle_are_left_out(self) -> None:
    """And never walked for ever."""
    self.put("a/a.py")
    self.put("b/b.py")
    self.link("a/up", "..")
    self.link("a/b", "../b")
    self.link("b/a", "../a")
    self.link("self", "self")
    self.link("gone", "nothing")
    names = {"a/a.py", "a/b/b.py", "b/b.py", "b/a/a.py"}
    self.assertEqual(set(self.names()), names)

  def test_that_multiply_are_refused(self) -> None:
    """Folders full of links to one another end soon, with a word."""
    folders = "abcdefgh"
    for name in folders:
      for number in range(500):
        self.put(f"{name}/{number}.txt")
    for name in folders:
      for other in folders:
        self.link(f"{name}/to_{other}", f"../{other}")
    with self.assertRaisesRegex(PackagingError, "over 250,000 files"):
      self.names()

  def test_to_what_is_kept_back_send_nothing(self) -> None:
    """A link is no way round a rule; a warning says so."""
    self.put(".env", b"TOKEN=1")
    self.put("a.py")
    self.link("config", ".env")
    steps: list[Step] = []
    self.assertEqual(list(scan(self.root, steps.append)), ["a.py"])
    warnings = [step.what for step in steps if step.warning]
    self.assertIn("config is not sent: .env is kept back", warnings[0])


class NameTest(_ProjectTest):
  """Names that some systems allow and a zip does not."""

  def test_a_name_that_is_not_utf_8_is_named(self) -> None:
    """A zip has no such names; a rule can leave it out."""
    self.put("a.py")
    self.put(os.fsdecode(b"caf\xe9.txt"))
    with self.assertRaisesRegex(PackagingError, r"caf\\udce9.txt"):
      self.names()
    self.put(".gitignore", b"caf?.txt")
    self.assertEqual(self.names(), [".gitignore", "a.py"])


if __name__ == "__main__":
  absltest.main()
