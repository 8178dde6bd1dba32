import os
import threading
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.job.directory import JobDirectory
from keras_remote.runner import mirror
from keras_remote.storage.folder import FolderStore
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore


class MirrorTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir("output").full_path)
    self.calls: list[str] = []
    self.notes: list[str] = []
    self.store = WatchedStore(MemoryStore(), self.watch)
    self.directory = JobDirectory(self.store, JOB_ID)
    self.mirror = mirror.Mirror(
      self.directory, self.folder, "", self.notes.append
    )

  def watch(self, method: str, key: str) -> None:
    if method in ("write", "delete"):
      sign = "-" if method == "delete" else ""
      self.calls.append(sign + key.rpartition("/files/")[2])

  def write(self, name: str, text: str) -> Path:
    path = self.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path

  def pushed(self) -> list[str]:
    """The names that a push writes."""
    self.calls.clear()
    self.mirror.push()
    return sorted(self.calls)

  def content(self, name: str) -> bytes:
    with self.directory.open_file(name) as file:
      return file.read()

  def test_a_folder_that_became_a_link(self) -> None:
    """Nothing that it leads to is stored, nothing deleted, and that told once.

    What the link replaced may be reached through links, as /tmp on macOS.
    """
    real = Path(self.create_tempdir("real").full_path)
    way = real.parent / "way"
    way.symlink_to(real)
    self.folder = way / "output"
    self.write("mine", "1")
    self.mirror = mirror.Mirror(
      self.directory, self.folder, "", self.notes.append
    )
    self.assertEqual(self.pushed(), ["mine"])
    self.folder.rename(real / "moved")
    self.folder.symlink_to(real / "moved")
    for _ in range(2):
      self.assertEqual(self.pushed(), [])
    self.assertLen(self.notes, 1)
    self.assertIn("replaced by a link", self.notes[0])

  def test_changed_files_only(self) -> None:
    """Each version once; a file that stays as it is costs nothing."""
    self.write("a", "1")
    self.write("deep/er/b", "2")
    self.assertEqual(self.pushed(), ["a", "deep/er/b"])
    self.assertEqual(self.pushed(), [])
    self.write("a", "changed")
    self.write("c", "")
    self.assertEqual(self.pushed(), ["a", "c"])
    self.assertEqual(self.content("a"), b"changed")
    self.assertEqual(self.content("deep/er/b"), b"2")

  def test_another_file_of_the_same_size_and_time(self) -> None:
    """One that took the other's place, times and all, is a change."""
    path = self.write("a", "1")
    other = self.write("b", "2")
    self.pushed()
    times = path.stat().st_mtime_ns
    os.utime(other, ns=(times, times))
    other.replace(path)
    self.assertEqual(self.pushed(), ["-b", "a"])
    self.assertEqual(self.content("a"), b"2")

  def test_the_prefix_keeps_hosts_apart(self) -> None:
    """Files of another host have a folder of their own."""
    self.write("a", "1")
    mirror.Mirror(
      self.directory, self.folder, "host-3/", self.notes.append
    ).push()
    self.assertEqual([f.key for f in self.directory.files()], ["host-3/a"])

  def test_what_is_gone(self) -> None:
    """It is removed from the store, before what took its place is stored."""
    self.write("ckpt.tmp", "1")
    self.write("file", "2")
    self.write("folder/a", "3")
    self.pushed()
    (self.folder / "ckpt.tmp").rename(self.folder / "ckpt")
    (self.folder / "file").unlink()
    self.write("file/b", "4")
    (self.folder / "folder/a").unlink()
    (self.folder / "folder").rmdir()
    self.write("folder", "5")
    self.pushed()
    self.assertCountEqual(self.calls[:3], ["-ckpt.tmp", "-file", "-folder/a"])
    self.assertEqual(self.calls[3:], ["ckpt", "file/b", "folder"])
    self.assertEqual(self.pushed(), [])
    self.assertCountEqual(
      [f.key for f in self.directory.files()], ["ckpt", "file/b", "folder"]
    )

  def test_a_folder_that_is_gone_takes_nothing_along(self) -> None:
    """What cannot be looked at may well be there."""
    self.write("a", "1").parent.rename(f"{self.folder}-moved")
    self.assertEqual(self.pushed(), [])
    Path(f"{self.folder}-moved").rename(self.folder)
    self.assertEqual(self.pushed(), ["a"])
    self.folder.rename(f"{self.folder}-moved")
    self.assertEqual(self.pushed(), [])
    Path(f"{self.folder}-moved").rename(self.folder)

  def test_a_file_in_place_of_a_folder_in_a_real_store(self) -> None:
    """And the other way round: a folder of files cannot have both."""
    store = FolderStore(Path(self.create_tempdir("store").full_path))
    directory = JobDirectory(store, JOB_ID)
    real = mirror.Mirror(directory, self.folder, "", self.notes.append)
    self.write("x", "1")
    self.write("y/z", "2")
    real.push()
    (self.folder / "x").unlink()
    self.write("x/a", "3")
    (self.folder / "y/z").unlink()
    (self.folder / "y").rmdir()
    self.write("y", "4")
    real.push()
    self.assertCountEqual([f.key for f in directory.files()], ["x/a", "y"])

  def test_links_within_the_folder(self) -> None:
    """They are stored as what they lead to; loops end."""
    self.write("ckpt-3/weights", "3")
    os.symlink("ckpt-3", self.folder / "latest")
    os.symlink("ckpt-3/weights", self.folder / "best")
    os.symlink("..", self.folder / "ckpt-3/up")
    os.symlink("itself", self.folder / "itself")
    self.assertEqual(
      self.pushed(), ["best", "ckpt-3/weights", "latest/weights"]
    )
    self.assertEqual(self.content("latest/weights"), b"3")
    self.write("ckpt-4/weights", "4")
    (self.folder / "latest").unlink()
    os.symlink("ckpt-4", self.folder / "latest")
    self.assertEqual(self.pushed(), ["ckpt-4/weights", "latest/weights"])
    self.assertEqual(self.content("latest/weights"), b"4")
    self.assertEqual(self.notes, [])

  def test_links_out_of_it_and_what_is_no_file(self) -> None:
    """Such links, pipes and sockets are not stored; of links it is told."""
    secret = self.create_tempfile("secret", "secret").full_path
    os.symlink(secret, self.folder / "link")
    os.symlink(os.path.dirname(secret), self.folder / "folder")
    os.symlink("nowhere", self.folder / "broken")
    os.mkfifo(self.folder / "pipe")
    self.write("a", "1")
    self.assertEqual(self.pushed(), ["a"])
    self.assertEqual(self.pushed(), [])
    self.assertEqual(
      self.notes,
      [
        f"the link '{name}' leads out of the output folder"
        for name in ("folder", "link")
      ],
    )

  def test_a_file_that_vanishes_meanwhile(self) -> None:
    """The function may remove what it wrote at any time."""
    names = [f"f{n}" for n in range(5)]
    for name in names:
      self.write(name, name)

    def vanish(method: str, key: str) -> None:
      self.watch(method, key)
      for path in self.folder.iterdir():
        path.unlink()

    self.store = WatchedStore(MemoryStore(), vanish)
    self.directory = JobDirectory(self.store, JOB_ID)
    self.mirror = mirror.Mirror(
      self.directory, self.folder, "", self.notes.append
    )
    [name] = self.pushed()
    self.assertEqual(self.pushed(), [f"-{name}"])

  def test_a_file_that_cannot_be_read(self) -> None:
    """It does not keep the others back."""
    if not os.geteuid():
      os.symlink("/", self.folder / "a")  # Root may read everything else.
    else:
      self.write("a", "1").chmod(0)
    self.write("b", "2")
    self.assertEqual(self.pushed(), ["b"])

  def test_no_folder_at_all(self) -> None:
    """A function may even remove the folder itself."""
    self.folder.rmdir()
    self.assertEqual(self.pushed(), [])
    self.folder.mkdir()

  def test_a_file_that_the_store_refuses(self) -> None:
    """The others are stored; it is told, and tried again the next time."""
    for name in ("a", "b", "c"):
      self.write(name, name)
    refused = "b"

    def refuse(method: str, key: str) -> None:
      self.watch(method, key)
      if key.endswith(f"/{refused}"):
        raise errors.StoreError("no")

    store = WatchedStore(MemoryStore(), refuse)
    self.mirror = mirror.Mirror(
      JobDirectory(store, JOB_ID), self.folder, "", self.notes.append
    )
    with self.assertRaises(errors.StoreError):
      self.mirror.push()
    self.assertCountEqual(self.calls, ["a", "b", "c"])
    refused = ""
    self.assertEqual(self.pushed(), ["b"])

  def test_an_old_copy_never_overwrites_a_new_one(self) -> None:
    """A push waits for one that is still on its way."""
    path = self.write("a", "old")
    sending, go = threading.Event(), threading.Event()
    store = MemoryStore()

    def hold(method: str, key: str) -> None:
      if method == "write" and not sending.is_set():
        sending.set()
        go.wait(10)

    directory = JobDirectory(WatchedStore(store, hold), JOB_ID)
    held = mirror.Mirror(directory, self.folder, "", self.notes.append)
    slow = threading.Thread(target=held.push)
    slow.start()
    self.assertTrue(sending.wait(10))
    path.unlink()
    self.write("a", "new")
    last = threading.Thread(target=held.push)
    last.start()
    last.join(0.02)
    go.set()
    slow.join()
    last.join()
    with directory.open_file("a") as file:
      self.assertEqual(file.read(), b"new")


if __name__ == "__main__":
  absltest.main()
