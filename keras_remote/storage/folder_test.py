import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.constants import KIB, MIB
from keras_remote.home import DAY
from keras_remote.storage.folder import FolderStore
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Entry, Store
from tests import store_contract


def _link_and_lose_the_answer(
  link: Callable[[str, str], None],
) -> Callable[[str, str], None]:
  def link_twice(source: str, target: str) -> None:
    link(source, target)
    link(source, target)

  return link_twice


@contextlib.contextmanager
def _replaced(owner: object, name: str, by: object) -> Generator[None]:
  """Puts `by` in the place of a function of the operating system."""
  original = getattr(owner, name)
  setattr(owner, name, by)
  try:
    yield
  finally:
    setattr(owner, name, original)


class FolderStoreContractTest(store_contract.StoreContract):
  shared = True
  streams = True

  def make_store(self) -> Store:
    # A test of many examples makes many.
    self._made = getattr(self, "_made", 0) + 1
    return FolderStore(self.create_tempdir().full_path + f"/{self._made}")

  def losing_answers(self) -> contextlib.AbstractContextManager[object]:
    by = _link_and_lose_the_answer(os.link)
    return _replaced(os, "link", by)


class FolderStoreTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path, "store")

  def test_its_address_opens_it(self) -> None:
    """`open_store` of the address finds what is in the store."""
    store = FolderStore(self.root)
    store.write("a", b"1")
    self.assertEqual(open_store(store.uri).read("a"), b"1")

  def test_an_unknown_kind_of_address_is_refused(self) -> None:
    """An address that only a later version knows is named in the error."""
    with self.assertRaisesRegex(errors.ConfigError, "'s3://'"):
      open_store("s3://bucket/path")

  def test_all_of_it_is_its_owners_alone(self) -> None:
    """Whatever the umask says: folders 0700, files 0600."""
    before = os.umask(0o002)
    self.addCleanup(os.umask, before)
    store = FolderStore(self.root / "deep" / "er")
    store.create("a/b/c", b"1", {"k": "v"})
    store.write("a/d", b"1")
    modes = {
      stat.S_IMODE(path.stat().st_mode)
      for path in (self.root, *self.root.rglob("*"))
      if path.is_dir()
    }
    self.assertEqual(modes, {0o700})
    files = [path for path in self.root.rglob("*") if path.is_file()]
    self.assertLen(files, 4)  # With its .gitignore.
    for path in files:
      self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

  def test_a_store_that_others_can_write_to_is_refused(self) -> None:
    """What is in a store is run: the error says how to close it."""
    self.root.mkdir()
    for mode in (0o770, 0o707, 0o777):
      self.root.chmod(mode)
      with self.assertRaisesRegex(errors.StoreError, "chmod go-w"):
        FolderStore(self.root)
    self.root.chmod(0o755)
    FolderStore(self.root)

  def test_a_store_of_somebody_else_is_refused(self) -> None:
    """Its owner could write to it, whatever its mode."""
    if os.geteuid():
      self.skipTest("only root can give a folder away")
    self.root.mkdir(mode=0o700)
    os.chown(self.root, 12345, 12345)
    with self.assertRaisesRegex(errors.StoreError, "another user"):
      FolderStore(self.root)

  def test_a_full_disk_is_told_with_its_cure(self) -> None:
    """No space left: the error says what to do, and nothing is left."""
    store = FolderStore(self._small_disk())
    store.write("kept", b"old")
    for call in (
      lambda: store.create("large", bytes(2 * MIB)),
      lambda: store.write("kept", bytes(2 * MIB)),
    ):
      with self.assertRaisesRegex(errors.StoreError, "free some space"):
        call()
    self.assertEqual(list(store.list("")), [Entry("kept", 3)])
    self.assertEqual(store.read("kept"), b"old")
    self.assertTrue(store.create("large", bytes(512 * KIB)))

  def test_no_right_to_write_is_told_with_its_cure(self) -> None:
    """A folder that cannot be written: the error names --store."""
    if os.geteuid():
      self.root.mkdir()
      store = FolderStore(self.root)
      self.root.chmod(0o500)
      self.addCleanup(self.root.chmod, 0o700)
    else:  # Modes do not stop root.
      disk = self._small_disk()
      store = FolderStore(disk)
      subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for call in (
      lambda: store.create("a", b""),
      lambda: store.create("a", b"", {"k": "v"}),
      lambda: store.write("a", b""),
      lambda: FolderStore(Path(store.uri, "below")).write("a", b""),
    ):
      with self.assertRaisesRegex(errors.StoreError, "--store"):
        call()
    self.assertEmpty(list(store.list("")))

  def test_a_folder_in_the_way_is_an_error(self) -> None:
    """`a` and `a/b` cannot both be objects; a reader's error it is not."""
    store = FolderStore(self.root)
    store.write("a/b", b"")
    store.write("c", b"")
    for key in ("a", "c/d"):
      with self.assertRaises(errors.StoreError) as caught:
        store.write(key, b"")
      self.assertNotIsInstance(caught.exception, errors.ObjectNotFoundError)

  def test_a_link_that_leads_nowhere_is_an_error(self) -> None:
    """A folder replaced by a dead link does not make a writer wait."""
    store = FolderStore(self.root)
    os.symlink(self.root / "gone", self.root / "a")
    with self.assertRaises(errors.StoreError):
      store.write("a/b", b"")

  def test_an_object_is_never_seen_without_its_metadata(self) -> None:
    """A writer that dies at any point leaves both, or none that counts."""
    link, points = os.link, 0
    for fatal in range(3):
      store = FolderStore(self.root / str(fatal))
      links = 0

      def die(source: str, target: str, fatal: int = fatal) -> None:
        nonlocal links
        if links == fatal:
          raise SystemExit
        link(source, target)
        links += 1

      with (
        _replaced(os, "link", die),
        contextlib.suppress(SystemExit),
      ):
        store.create("a", b"dead", {"by": "dead"})
      points += links
      won = store.create("a", b"next", {"by": "next"})
      by = "next" if won else "dead"
      self.assertEqual(won, fatal < 2)
      self.assertEqual(list(store.list("")), [Entry("a", 4, {"by": by})])
      self.assertEqual(store.read("a"), by.encode())
    self.assertEqual(points, 0 + 1 + 2)

  def test_what_dead_writers_left_goes_after_a_day(self) -> None:
    """A deletion sweeps up old halves, and leaves those being written."""
    store = FolderStore(self.root)
    partial = self.root / ".partial"
    partial.mkdir(mode=0o700)
    old, young = partial / "old", partial / "young"
    for path in (old, young):
      path.write_bytes(b"half")
    past = young.stat().st_mtime - DAY - 60
    os.utime(old, (past, past))
    store.delete("anything")
    self.assertEqual(list(partial.iterdir()), [young])

  def test_nothing_is_left_of_what_was_deleted(self) -> None:
    """The last object of a folder takes the folder with it."""
    store = FolderStore(self.root)
    store.create("a/b/c", b"1", {"k": "v"})
    store.delete("a/b/c")
    left = {path.name for path in self.root.rglob("*")}
    self.assertEqual(left, {".gitignore", ".partial"})

  def test_it_stays_out_of_repositories(self) -> None:
    """A new or empty folder gets a .gitignore; a user's own is left alone."""
    self.root.mkdir()
    FolderStore(self.root)
    self.assertEqual((self.root / ".gitignore").read_text(), "*\n")
    other = self.root / "of-a-user"
    other.mkdir()
    (other / "thesis.md").touch()
    FolderStore(other)
    self.assertFalse((other / ".gitignore").exists())

  def test_torn_metadata(self) -> None:
    """What a failing disk left of an object's metadata breaks no listing."""
    store = FolderStore(self.root)
    for text in ('{"k": "', "[1]", ""):
      store.create("a/b", b"", {"k": "v"})
      (self.root / ".metadata/a/b").write_text(text)
      self.assertEqual([e.metadata for e in store.list("")], [{}])
      store.delete("a/b")

  def test_what_goes_while_it_is_listed_is_left_out(self) -> None:
    """A listing goes on where objects and folders vanish under it."""
    store = FolderStore(self.root)
    for key in ("a", "b", "c/d", "e"):
      store.create(key, b"", {"k": "v"})
    found = store.list("")
    self.assertEqual(next(found).key, "a")
    store.delete("b")
    store.delete("c/d")
    self.assertEqual([entry.key for entry in found], ["e"])

  def _small_disk(self) -> Path:
    """A folder on a disk of 1 MiB."""
    if os.geteuid():
      self.skipTest("only root can mount a small disk")
    disk = Path(self.create_tempdir().full_path, "disk")
    disk.mkdir()
    mounted = subprocess.run(
      ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", disk],
      capture_output=True,
      text=True,
    )
    if mounted.returncode:
      self.skipTest(f"no small disk can be mounted: {mounted.stderr.strip()}")
    self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
    return disk


if __name__ == "__main__":
  absltest.main()
