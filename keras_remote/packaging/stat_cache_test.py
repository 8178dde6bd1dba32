"""What is remembered is what was written, or nothing."""

import os
import tempfile
from pathlib import Path

from absl.testing import absltest

from keras_remote import home
from keras_remote.packaging.stat_cache import Last, StatCache

# The digest of no bytes at all, from the examples to FIPS 180-4.
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_TABLE = {"a.py": [1, 2, 3], "b/ä.py": [4, 5, 6]}


class StatCacheTest(absltest.TestCase):
  """The memory of one folder."""

  def setUp(self) -> None:
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.cache = Path(folder.name) / "cache"
    self.memory = StatCache(self.cache, Path("/project"))

  def keep(self) -> Last:
    with self.memory.new_file() as file:
      return self.memory.keep(
        file, _EMPTY, signature="s", files=2, table=_TABLE
      )

  def test_gives_back_what_it_was_given(self) -> None:
    """To whoever asks for the same folder and kind of archive."""
    last = self.keep()
    again = StatCache(self.cache, Path("/project"))
    self.assertEqual(again.last(), last)
    self.assertEqual(again.table(last), _TABLE)
    self.assertIsNone(StatCache(self.cache, Path("/other")).last())
    self.assertIsNone(StatCache(self.cache, Path("/project"), "{}.pyz").last())

  def test_any_damage_is_noticed(self) -> None:
    """Whichever byte changes, nothing wrong is believed."""
    last = self.keep()
    (state,) = self.cache.glob("*.state")
    data = state.read_bytes()
    head = data.index(b"\n")
    for place in range(len(data)):
      flipped = bytes([data[place] ^ 1])
      state.write_bytes(data[:place] + flipped + data[place + 1 :])
      if place <= head:
        self.assertIsNone(self.memory.last(), place)
      else:
        self.assertEqual(self.memory.table(last), {}, place)

  def test_a_file_that_is_not_kept_is_removed(self) -> None:
    """Also where making it fails."""
    with self.assertRaises(ZeroDivisionError), self.memory.new_file():
      _ = 1 / 0
    self.keep()
    self.keep()
    self.assertEmpty(list(self.cache.glob("*.tmp")))

  def test_only_its_owner_can_look_in(self) -> None:
    """Projects hold what is nobody else's business."""
    with self.memory.turn():
      self.keep()
    self.assertEqual(self.cache.stat().st_mode & 0o777, 0o700)
    files = list(self.cache.iterdir())
    self.assertLen(files, 3)  # With what is remembered, and a lock.
    self.assertEqual({file.stat().st_mode & 0o777 for file in files}, {0o600})

  def test_a_forked_child_does_not_take_a_turn_along(self) -> None:
    """Others pack while a child that was forked in somebody's turn lives."""
    begun, begins = os.pipe()
    ended, ends = os.pipe()
    with self.memory.turn():
      if not (child := os.fork()):
        os.close(ends)
        os.write(begins, b".")
        os.read(ended, 1)
        os._exit(0)
      os.read(begun, 1)
    (lock,) = self.cache.glob("*.lock")
    self.assertFalse(home.locked(lock))
    os.close(ends)
    os.waitpid(child, 0)
    for end in (begun, begins, ended):
      os.close(end)


if __name__ == "__main__":
  absltest.main()
