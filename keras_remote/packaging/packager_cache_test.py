"""A project is packed again only as far as it changed."""

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import clock
from keras_remote.packaging import stat_cache
from keras_remote.packaging.packager import Context, zip_working_dir
from tests.fakes.project import ProjectTestCase, put


def _contents(context: Context) -> dict[str, bytes]:
  with zipfile.ZipFile(context.path) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


_listeners: list[list[str]] = []


def _tell_listeners(event: str, arguments: tuple[object, ...]) -> None:
  if event == "open":
    for listener in _listeners:
      listener.append(str(arguments[0]))


# The interpreter's own record of what is opened; it cannot be taken off again.
sys.addaudithook(_tell_listeners)


@contextlib.contextmanager
def _opened_files() -> Iterator[list[str]]:
  """The paths opened meanwhile."""
  opened: list[str] = []
  _listeners.append(opened)
  try:
    yield opened
  finally:
    _listeners.remove(opened)


class CacheTest(ProjectTestCase):
  """What did not change is not read again."""

  def setUp(self) -> None:
    super().setUp()
    for number in range(5):
      self.put(f"{number}.py", b"%d" % number)

  def zip(self) -> Context:
    return zip_working_dir(self.root, self.cache)

  def read_by_zip(self) -> set[str]:
    """The project's files that a call opens."""
    with _opened_files() as opened:
      self.zip()
    root = f"{self.root}/"
    return {p.removeprefix(root) for p in opened if p.startswith(root)}

  def cached(self, suffix: str) -> list[Path]:
    return list(self.cache.glob(f"*{suffix}"))

  def test_an_unchanged_tree_is_not_read(self) -> None:
    """Only the first time; and nothing is written then."""
    self.assertLen(self.read_by_zip(), 5)
    before = self.zip()
    stamps = {path: path.stat().st_mtime_ns for path in self.cache.iterdir()}
    self.assertEqual(self.read_by_zip(), set())
    self.assertEqual(self.zip(), before)
    self.assertEqual(
      {path: path.stat().st_mtime_ns for path in self.cache.iterdir()}, stamps
    )

  def test_only_what_changed_is_read(self) -> None:
    """The rest comes from the last zip, and the whole is as if packed anew."""
    self.zip()
    self.put("3.py", b"!")
    self.put("new.py")
    (self.root / "1.py").unlink()
    (self.root / "2.py").rename(self.root / "two.py")
    self.assertEqual(self.read_by_zip(), {"3.py", "new.py", "two.py"})
    anew = zip_working_dir(self.root, self.place / "cache2")
    self.assertEqual(self.zip().digest, anew.digest)

  def test_a_young_file_is_read_again(self) -> None:
    """It may have changed since, within one tick of its file system's clock."""
    self.zip()
    os.utime(self.put("3.py"))
    self.assertEqual(self.read_by_zip(), {"3.py"})
    self.assertEqual(self.read_by_zip(), {"3.py"})

  def test_a_change_that_hides_its_time_is_seen(self) -> None:
    """Same size, same time of modification: the time of change tells."""
    before = self.zip()
    self.put("3.py", b"4")
    self.assertNotEqual(self.zip().digest, before.digest)

  @parameterized.product(
    suffix=(".state", ".zip"), damage=("cut", "flip", "empty", "gone")
  )
  def test_a_broken_cache_is_made_anew(self, suffix: str, damage: str) -> None:
    """Silently, with the right contents, and used again after that."""
    before = self.zip()
    for path in self.cached(suffix):
      data = path.read_bytes()
      middle = len(data) // 2
      flipped = bytes([data[middle] ^ 1])
      path.write_bytes(
        {
          "cut": data[:middle],
          "flip": data[:middle] + flipped + data[middle + 1 :],
          "empty": b"",
          "gone": b"",
        }[damage]
      )
      if damage == "gone":
        path.unlink()
    self.put("3.py", b"!")
    after = self.zip()
    expected = _contents(zip_working_dir(self.root, self.place / "cache2"))
    self.assertEqual(_contents(after), expected)
    self.assertNotEqual(after.digest, before.digest)
    self.assertEqual(self.read_by_zip(), set())

  def test_the_newest_zips_stay(self) -> None:
    """Older ones go once nobody can be using them."""
    now = clock.now().timestamp()
    digests: list[str] = []
    for number in range(stat_cache.KEEP + 3):
      for path in self.cached(".zip"):
        os.utime(path, (now - 2 * stat_cache.IN_USE_S,) * 2)
      self.put("0.py", b"version %d" % number)
      digests.append(self.zip().digest)
    self.assertCountEqual(
      [path.stem for path in self.cached(".zip")], digests[-stat_cache.KEEP :]
    )

  def test_a_zip_that_may_be_in_use_stays(self) -> None:
    """However many are made after it."""
    digests: list[str] = []
    for number in range(stat_cache.KEEP + 3):
      self.put("0.py", b"version %d" % number)
      digests.append(self.zip().digest)
    self.assertCountEqual([path.stem for path in self.cached(".zip")], digests)

  def test_what_nobody_asks_for_any_more_goes(self) -> None:
    """The zips of a project that was deleted; the lock may be held."""
    for name in ("gone.zip", "gone.state", "gone.lock"):
      put(self.cache, name)
    self.zip()
    self.assertEqual(
      [path.name for path in self.cache.glob("gone*")], ["gone.lock"]
    )

  def test_what_is_used_stays(self) -> None:
    """However long ago it was made; what was not used goes after an hour."""
    stat_cache.prune(self.cache, 0.0)  # There is none yet.
    made = zip_working_dir(self.root, self.place / "cache2").path
    old = put(self.cache, made.name, made.read_bytes())
    then = clock.now().timestamp() - 2 * stat_cache.IN_USE_S
    for _ in range(2):  # Taken over, then found.
      os.utime(old, ns=(int(then) * 10**9, old.stat().st_mtime_ns))
      self.zip()
      stat_cache.prune(self.cache, 0.0)
      self.assertEqual(self.cached(".zip"), [old])
    for path in self.cache.iterdir():
      os.utime(path, (then, then))
    stat_cache.prune(self.cache, 3 * stat_cache.IN_USE_S)
    self.assertEqual(self.cached(".zip"), [old])
    stat_cache.prune(self.cache, 0.0)
    self.assertEmpty([*self.cached(".zip"), *self.cached(".state")])

  def test_two_projects_that_are_equal_share_a_zip(self) -> None:
    """Neither makes the other pack again."""
    other = self.place / "other"
    for path in self.root.iterdir():
      put(other, path.name, path.read_bytes())
    self.assertEqual(self.zip(), zip_working_dir(other, self.cache))
    self.assertEqual(self.read_by_zip(), set())

  def test_leaves_nothing_half_made(self) -> None:
    """After a call, and after what a killed one left behind."""
    self.cache.mkdir()
    orphan = put(self.cache, "killed.tmp")
    self.zip()
    self.assertFalse(orphan.exists())
    self.assertEmpty(self.cached(".tmp"))

  def test_many_at_once_agree(self) -> None:
    """20 threads, while 3 processes do the same."""
    program = (
      "import sys, pathlib; from keras_remote.packaging import packager;"
      "print(packager.zip_working_dir(*map(pathlib.Path, sys.argv[1:])).digest)"
    )
    command = (sys.executable, "-c", program, str(self.root), str(self.cache))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
      subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
      for _ in range(3)
    ]
    with futures.ThreadPoolExecutor(20) as pool:
      calls = [pool.submit(self.zip) for _ in range(60)]
    digests = {call.result().digest for call in calls}
    digests |= {p.communicate()[0].decode().strip() for p in processes}
    self.assertEqual(digests, {self.zip().digest})
    self.assertEqual(self.read_by_zip(), set())

  def test_many_at_once_pack_once(self) -> None:
    """The first to come reads the files, the others wait for it."""
    with _opened_files() as opened, futures.ThreadPoolExecutor(20) as pool:
      futures.wait([pool.submit(self.zip) for _ in range(20)])
    self.assertEqual(opened.count(str(self.root / "3.py")), 1)

  def test_many_at_once_keep_up_with_changes(self) -> None:
    """Each call gives a tree that was there, while files change under it."""
    sizes = [1, 10, 100, 1000]

    def change_and_zip(number: int) -> dict[str, bytes]:
      path = self.root / f"{number % 5}.py"
      with tempfile.NamedTemporaryFile(dir=self.place, delete=False) as file:
        file.write(b"%d" % (number % 5) * sizes[number % 4])
      os.replace(file.name, path)
      return _contents(self.zip())

    with futures.ThreadPoolExecutor(8) as pool:
      for contents in pool.map(change_and_zip, range(60)):
        for name, content in contents.items():
          self.assertEqual(set(content.decode()), {name[0]})
          self.assertIn(len(content), sizes)


if __name__ == "__main__":
  absltest.main()
