"""A project's zip: what is in it, and what is refused."""

import contextlib
import hashlib
import os
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_remote.errors import PackagingError
from keras_remote.packaging.packager import (
  Context,
  check_root,
  find_root,
  zip_working_dir,
)
from keras_remote.progress import Step
from tests.fakes.project import ProjectTestCase, put

_PARTS = st.text(
  st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
  min_size=1,
  max_size=6,
).map("_{}".format)
_TREES = st.dictionaries(
  st.tuples(_PARTS, _PARTS).map("/".join),
  st.tuples(st.binary(max_size=99), st.sampled_from([0o644, 0o600, 0o755])),
  max_size=6,
)


def _contents(context: Context) -> dict[str, bytes]:
  with zipfile.ZipFile(context.path) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
  """Drops root's right to read everything."""
  before = os.geteuid()
  if before == 0:
    os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(before)


class _ProjectTest(ProjectTestCase):
  def zip(self) -> Context:
    return zip_working_dir(self.root, self.cache)

  def names(self) -> list[str]:
    return list(_contents(self.zip()))


class FindRootTest(_ProjectTest):
  """Where a project begins."""

  @parameterized.parameters("pyproject.toml", "setup.py", ".git")
  def test_is_the_nearest_folder_with_a_mark(self, mark: str) -> None:
    """Seen from deep inside."""
    put(self.place, "setup.py")
    self.put(mark)
    inner = self.root / "src/app"
    inner.mkdir(parents=True)
    self.assertEqual(find_root(inner), self.root)

  def test_is_the_start_where_there_is_no_mark(self) -> None:
    """A folder of scripts is a project too."""
    self.assertEqual(find_root(self.root), self.root)


class CheckRootTest(_ProjectTest):
  """What cannot be a project."""

  def test_refuses_what_holds_too_much(self) -> None:
    """The file system, the home directory and what is above it."""
    before = os.environ["HOME"]
    self.addCleanup(os.environ.update, HOME=before)
    os.environ["HOME"] = str(self.root)
    for root in (Path("/"), self.root, self.place):
      with (
        self.subTest(root=root),
        self.assertRaisesRegex(PackagingError, "working_dir= or --working-dir"),
      ):
        check_root(root)

  def test_refuses_what_is_no_folder(self) -> None:
    """Naming it."""
    with self.assertRaisesRegex(PackagingError, "gone is not there"):
      check_root(self.root / "gone")
    with self.assertRaisesRegex(PackagingError, "a.py is a file"):
      check_root(self.put("a.py"))

  def test_takes_a_folder(self) -> None:
    """Also through a link."""
    link = self.place / "link"
    link.symlink_to(self.root)
    check_root(link)


class ContentsTest(_ProjectTest):
  """What is in the zip."""

  @settings(max_examples=40, deadline=None)
  @given(_TREES)
  def test_unpacks_to_the_same_tree(
    self, tree: dict[str, tuple[bytes, int]]
  ) -> None:
    """Any names and contents; of the modes the right to execute."""
    with tempfile.TemporaryDirectory(dir=self.place) as folder:
      for name, (content, mode) in tree.items():
        put(Path(folder), name, content, mode)
      context = zip_working_dir(Path(folder), self.cache)
    self.assertEqual(
      _contents(context), {name: content for name, (content, _) in tree.items()}
    )
    with zipfile.ZipFile(context.path) as archive:
      self.assertEqual(
        {e.filename: e.external_attr >> 16 & 0o777 for e in archive.infolist()},
        {name: mode | 0o044 for name, (_, mode) in tree.items()},
      )
    self.assertEqual(context.files, len(tree))
    self.assertEqual(context.size, context.path.stat().st_size)
    self.assertEqual(
      context.digest, hashlib.sha256(context.path.read_bytes()).hexdigest()
    )

  def test_a_link_holds_what_it_leads_to(self) -> None:
    """So it works wherever it is unpacked."""
    self.put("v2/model.txt", b"two")
    (self.root / "latest").symlink_to("v2")
    contents = {"latest/model.txt": b"two", "v2/model.txt": b"two"}
    self.assertEqual(_contents(self.zip()), contents)

  def test_the_same_tree_has_the_same_digest(self) -> None:
    """Elsewhere, in another order, at another time, by another umask."""
    names = ["b.py", "a/c.py", "a/b.py", "a.py"]
    other = self.place / "other"
    for name in names:
      self.put(name, name.encode())
    before = os.umask(0o077)
    self.addCleanup(os.umask, before)
    for name in reversed(names):
      put(other, name, name.encode(), mode=0o600)
      os.utime(other / name)
    theirs = zip_working_dir(other, self.place / "cache2")
    self.assertEqual(self.zip().digest, theirs.digest)

  @parameterized.named_parameters(
    ("content", "printf y > a.py"),
    ("name", "mv a.py b.py"),
    ("mode", "chmod 755 a.py"),
    ("folder", "mkdir empty"),
    ("ignored", "echo a.py > .gitignore"),
  )
  def test_another_tree_has_another_digest(self, change: str) -> None:
    """Whatever differs, though sizes agree."""
    self.put("a.py")
    before = self.zip()
    subprocess.run(change, shell=True, cwd=self.root, check=True)
    self.assertNotEqual(self.zip().digest, before.digest)

  def test_leaves_out_what_is_ignored_or_no_file(self) -> None:
    """Ignored files, sockets and pipes; an empty folder stays."""
    self.put(".gitignore", b"*.log")
    self.put("a.log")
    self.put(".git/HEAD")
    self.put("a.py")
    (self.root / "runs").mkdir()
    os.mkfifo(self.root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
      bound.bind(str(self.root / "socket"))
      self.assertEqual(self.names(), [".gitignore", "a.py", "runs/"])


class ChangeTest(_ProjectTest):
  """A tree that changes between the look at it and the packing."""

  def setUp(self) -> None:
    super().setUp()
    self.put("a.txt")
    self.put("folder/b.txt")
    self.outside = put(self.place, "outside/b.txt", b"not of the project")

  def zip_after(self, change: Callable[[], object]) -> dict[str, bytes]:
    """What is packed where this happens just before."""

    def report(step: Step) -> None:
      if step.what == "packing the project":
        change()

    return _contents(zip_working_dir(self.root, self.cache, report))

  def replace(self, name: str, make: Callable[[Path], object]) -> None:
    path = self.root / name
    path.rename(self.place / "old")
    make(path)

  @parameterized.named_parameters(
    ("file", "a.txt", "outside/b.txt"), ("folder", "folder", "outside")
  )
  def test_a_link_that_takes_a_place(self, name: str, target: str) -> None:
    """It leads nowhere: nothing from outside the project is sent."""

    def link() -> None:
      self.replace(name, lambda p: p.symlink_to(self.place / target))

    with self.assertRaisesRegex(
      PackagingError, f"{name}.* by a symlink.*again"
    ):
      self.zip_after(link)

  def test_a_file_that_takes_a_place(self) -> None:
    """It is sent; a link of the project's own leads where it did."""
    (self.root / "link.txt").symlink_to("folder/b.txt")
    found = self.zip_after(
      lambda: self.replace("a.txt", lambda p: p.write_bytes(b"new"))
    )
    contents = {"a.txt": b"new", "folder/b.txt": b"x", "link.txt": b"x"}
    self.assertEqual(found, contents)

  @parameterized.parameters(os.mkfifo, os.mkdir)
  def test_no_file_that_takes_a_place(
    self, make: Callable[[Path], object]
  ) -> None:
    """It is left out, and never waited for."""
    found = self.zip_after(lambda: self.replace("a.txt", make))
    self.assertEqual(found, {"folder/b.txt": b"x"})


class RefusalTest(_ProjectTest):
  """What cannot be packed, and what to do about it."""

  def test_too_much_is_named(self) -> None:
    """The largest files and folders, and the rule that helps, which works."""
    self.put("a.py")
    for name in ("data/train.bin", "data/test.bin"):
      os.truncate(self.put(name), 260_000_000)
    with self.assertRaisesRegex(
      PackagingError,
      r"520 MB .* 500 MB; .*data/ 520 MB, .*train.bin 260 MB\. ",
    ) as raised:
      self.zip()
    self.assertFalse(self.cache.exists())
    rule = str(raised.exception).rpartition("such as '")[2].removesuffix("'")
    self.put(".kerasremoteignore", rule.encode())
    self.assertEqual(self.names(), [".kerasremoteignore", "a.py"])

  def test_what_is_in_a_folder_that_cannot_be_entered(self) -> None:
    """It can be listed, and is named with the rule that helps."""
    self.place.chmod(0o755)
    self.cache.mkdir()
    self.cache.chmod(0o777)
    self.put("a/a.py")
    (self.root / "link.py").symlink_to("a/a.py")
    (self.root / "a").chmod(0o644)
    with (
      _as_nobody(),
      self.assertRaisesRegex(PackagingError, "a/a.py cannot .* rule 'a/a.py'"),
    ):
      self.zip()

  @parameterized.parameters("a.py", "folder", ".gitignore")
  def test_what_cannot_be_read_is_named(self, name: str) -> None:
    """A file, a folder, the rules themselves: nothing is left out unsaid."""
    self.place.chmod(0o755)
    self.cache.mkdir()
    self.cache.chmod(0o777)
    if name == "folder":
      (self.root / name).mkdir(mode=0)
    else:
      self.put(name, mode=0)
    with (
      _as_nobody(),
      self.assertRaisesRegex(PackagingError, f"{name}.* cannot be read"),
    ):
      self.zip()

  def test_a_cache_that_cannot_be_written_is_named(self) -> None:
    """With the way to another."""
    self.put("a.py")
    self.cache.write_text("in the way")
    with self.assertRaisesRegex(PackagingError, "KERAS_REMOTE_HOME"):
      self.zip()


if __name__ == "__main__":
  absltest.main()
