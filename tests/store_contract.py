"""What every store promises: its test module subclasses `StoreContract`."""

import contextlib
import io
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.storage.store import Entry, Store

_ROOT = Path(__file__).parent.parent
# Names around the slash and the dot, where orders of keys go wrong.
_NAMES = st.text("a-./0é", min_size=1, max_size=6)

_CREATE_ALL = """
import sys
from keras_remote.storage.open import open_store
uri, me = sys.argv[1:]
store = open_store(uri)
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
  if store.create(f"race/{number}", me.encode()):
    print(number)
"""
_HANG_HALF_WAY = """
import io, sys
from keras_remote.storage.open import open_store
uri, method = sys.argv[1:]
class Half(io.RawIOBase):
  left = 3
  def readable(self):
    return True
  def read(self, size=-1):
    self.left -= 1
    if self.left < 0:
      print("half", flush=True)
      sys.stdin.read()
    return b"x" * (1024 * 1024)
getattr(open_store(uri), method)("torn", Half())
"""


class _Generated(io.RawIOBase):
  """A stream of so many bytes that are never all in memory."""

  def __init__(self, size: int) -> None:
    super().__init__()
    self._left = size

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    count = min(len(buffer), self._left)
    buffer[:count] = bytes(count)
    self._left -= count
    return count


class StoreContract(parameterized.TestCase):
  """The promises of `Store`."""

  # Whether other processes reach the store by its address.
  shared = False
  # Whether the store keeps its objects elsewhere than in memory.
  streams = False
  # What it may take of that, in bytes, while objects of any size pass.
  memory = 5 * MIB

  def make_store(self) -> Store:
    """A new, empty store."""
    raise self.skipTest("only a subclass has a store")

  def losing_answers(self) -> contextlib.AbstractContextManager[object] | None:
    """While it is open a creation succeeds and is reported as a conflict.

    None for a store between which and its objects no answer can be lost.
    """
    return None

  def test_what_is_written_is_read(self) -> None:
    """Bytes and streams come back as they went in, over what was there."""
    store = self.make_store()
    for data in (b"", b"one", b"\0\xff" * 1000, b"2"):
      with self.subTest(data=data):
        store.write("a/b", data)
        self.assertEqual(store.read("a/b"), data)
        store.write("a/b", io.BytesIO(data * 2))
        with store.open("a/b") as stream:
          self.assertEqual(stream.read(), data * 2)

  def test_only_the_first_creates(self) -> None:
    """Create says True once; later ones say False and change nothing."""
    store = self.make_store()
    self.assertTrue(store.create("a", b"first", {"by": "first"}))
    self.assertFalse(store.create("a", b"second", {"by": "second"}))
    self.assertFalse(store.create("a", io.BytesIO(b"third")))
    self.assertEqual(store.read("a"), b"first")
    self.assertEqual(list(store.list("")), [Entry("a", 5, {"by": "first"})])

  def test_what_was_written_is_not_created(self) -> None:
    """Create finds an object that write has made, too."""
    store = self.make_store()
    store.write("a", b"written")
    self.assertFalse(store.create("a", b"created"))
    self.assertEqual(store.read("a"), b"written")

  def test_metadata_of_a_loser_is_not_the_winners(self) -> None:
    """An object without metadata gets none from who came too late."""
    store = self.make_store()
    store.create("created", b"")
    store.write("written", b"")
    for key in ("created", "written"):
      self.assertFalse(store.create(key, b"", {"by": "second"}))
      self.assertEqual(list(store.list(key)), [Entry(key, 0, {})])

  def test_a_create_that_finds_its_own_object_made_it(self) -> None:
    """Where the answer was lost, a retry's conflict with itself is no other."""
    losing = self.losing_answers()
    if losing is None:
      self.skipTest("no answer can be lost here")
    store = self.make_store()
    with losing:
      self.assertTrue(store.create("a", b"mine", {"by": "me"}))
    self.assertFalse(store.create("a", b"other", {"by": "other"}))
    self.assertEqual(list(store.list("")), [Entry("a", 4, {"by": "me"})])

  def test_one_of_many_threads_creates(self) -> None:
    """Of writers at the same time one wins, with data and metadata its own."""
    store = self.make_store()
    writers = 8
    barrier = threading.Barrier(writers)

    def create(number: int) -> list[int]:
      won = []
      for turn in range(20):
        barrier.wait()
        by = str(number)
        if store.create(f"k/{turn}", by.encode(), {"by": by}):
          won.append(turn)
      return won

    with ThreadPoolExecutor(writers) as pool:
      won = list(pool.map(create, range(writers)))
    self.assertCountEqual(sum(won, []), range(20))
    for writer, turns in enumerate(won):
      for turn in turns:
        self.assertEqual(store.read(f"k/{turn}"), str(writer).encode())
        (entry,) = store.list(f"k/{turn}", limit=1)
        self.assertEqual(entry.metadata, {"by": str(writer)})

  def test_one_of_many_processes_creates(self) -> None:
    """Of processes at the same time one wins each object."""
    store = self._shared_store()
    writers = [self._python(_CREATE_ALL, store.uri, n) for n in "abc"]
    for writer in writers:
      self._expect(writer, "ready")
    won = [writer.communicate("\n")[0].split() for writer in writers]
    self.assertCountEqual(sum(won, []), [str(n) for n in range(50)])
    for name, numbers in zip("abc", won, strict=True):
      for number in numbers:
        self.assertEqual(store.read(f"race/{number}"), name.encode())

  def test_deleting_does_not_disturb_writing_beside(self) -> None:
    """The last object of a folder can go while another comes into it."""
    store = self.make_store()

    def write(number: int) -> None:
      for _ in range(100):
        self.assertTrue(store.create(f"x/y/{number}", b"", {"a": "b"}))
        self.assertLen(list(store.list(f"x/y/{number}")), 1)
        store.delete(f"x/y/{number}")

    with ThreadPoolExecutor(4) as pool:
      list(pool.map(write, range(4)))
    self.assertEmpty(list(store.list("")))

  @parameterized.parameters("create", "write")
  def test_a_writer_killed_half_way_leaves_nothing(self, method: str) -> None:
    """A SIGKILL in the middle: no part of it is seen, and all goes on."""
    store = self._shared_store()
    if method == "write":
      store.write("torn", b"old")
    before = list(store.list(""))
    writer = self._python(_HANG_HALF_WAY, store.uri, method)
    self._expect(writer, "half")
    self.assertEqual(list(store.list("")), before)
    writer.kill()
    writer.communicate()
    self.assertEqual(list(store.list("")), before)
    if method == "write":
      self.assertEqual(store.read("torn"), b"old")
    else:
      self.assertTrue(store.create("torn", b"whole"))
      self.assertEqual(store.read("torn"), b"whole")

  def test_keys_come_in_their_order(self) -> None:
    """A listing is what sorting all keys that start with the prefix gives."""

    @settings(max_examples=60)
    @given(st.sets(_NAMES, max_size=12), st.text("a-./0é", max_size=4))
    def check(names: set[str], prefix: str) -> None:
      store = self.make_store()
      kept: list[str] = []
      for name in sorted(names):
        is_folder = any(each.startswith(name + "/") for each in names)
        with contextlib.suppress(errors.StoreError):
          if not is_folder:
            store.write(name, name.encode())
            kept.append(name)
      try:
        found = list(store.list(prefix))
      except errors.StoreError:
        found = list[Entry]()  # No key may begin so.
      self.assertEqual(
        [(entry.key, entry.size) for entry in found],
        [(k, len(k.encode())) for k in kept if k.startswith(prefix)],
      )

    check()

  def test_a_prefix_may_end_inside_a_name(self) -> None:
    """Files and folders that start alike are found by what they share."""
    store = self.make_store()
    for key in ("ab/1", "ab.x", "abc", "b/ab", "a"):
      store.write(key, b"")
    for prefix, expected in (
      ("ab", ["ab.x", "ab/1", "abc"]),
      ("ab/", ["ab/1"]),
      ("ab/1", ["ab/1"]),
      ("ab/12", list[str]()),
      ("", ["a", "ab.x", "ab/1", "abc", "b/ab"]),
      ("c/", list[str]()),
      ("abc/", list[str]()),
    ):
      with self.subTest(prefix=prefix):
        self.assertEqual([e.key for e in store.list(prefix)], expected)

  def test_a_limit_ends_a_listing(self) -> None:
    """So many and no more, the first ones."""
    store = self.make_store()
    for number in range(5):
      store.write(f"k/{number}", b"")
    for limit, count in ((0, 0), (1, 1), (3, 3), (5, 5), (9, 5), (None, 5)):
      with self.subTest(limit=limit):
        found = [entry.key for entry in store.list("k/", limit=limit)]
        self.assertEqual(found, [f"k/{n}" for n in range(count)])

  def test_ranges(self) -> None:
    """Bytes [start, end), as far as there are any."""
    store = self.make_store()
    store.write("a", b"0123456789")
    for start, end, expected in (
      (0, None, b"0123456789"),
      (3, None, b"3456789"),
      (3, 5, b"34"),
      (0, 0, b""),
      (5, 3, b""),
      (8, 20, b"89"),
      (10, None, b""),
      (30, 40, b""),
    ):
      with self.subTest(start=start, end=end):
        self.assertEqual(store.read_range("a", start, end), expected)

  @parameterized.parameters("none", "a/none", "a", "a/b/c")
  def test_what_is_not_there_is_not_found(self, key: str) -> None:
    """Readers say so for no object, a folder, and what is below an object."""
    store = self.make_store()
    store.write("a/b", b"")
    readers: Sequence[Callable[[], object]] = (
      lambda: store.read(key),
      lambda: store.read_range(key, 0, 1),
      lambda: store.open(key),
    )
    for read in readers:
      with self.assertRaisesRegex(errors.ObjectNotFoundError, f"'{key}'"):
        read()

  def test_large_objects_are_streamed(self) -> None:
    """64 MB go in and out without being in memory at once."""
    if not self.streams:
      self.skipTest("its objects are in memory")
    store, size = self.make_store(), 64 * MIB
    tracemalloc.start()
    try:
      self.assertTrue(store.create("made", io.BufferedReader(_Generated(size))))
      store.write("written", io.BufferedReader(_Generated(size)))
      count = 0
      with store.open("made") as stream:
        while chunk := stream.read(MIB):
          count += len(chunk)
      _, peak = tracemalloc.get_traced_memory()
    finally:
      tracemalloc.stop()
    self.assertEqual(count, size)
    self.assertLess(peak, self.memory)
    self.assertEqual([e.size for e in store.list("")], [size, size])

  def test_deleting_can_be_repeated(self) -> None:
    """What is deleted is gone, with its metadata; what is not there, too."""
    store = self.make_store()
    store.create("a/b", b"1", {"k": "v"})
    store.write("a/c", b"2")
    for _ in range(2):
      store.delete("a/b")
      store.delete("never/was")
      self.assertEqual([e.key for e in store.list("")], ["a/c"])
    self.assertTrue(store.create("a/b", b"3"))
    self.assertEqual(list(store.list("a/b")), [Entry("a/b", 1, {})])

  @parameterized.parameters(
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a//b",
    "a/",
    "a/.",
    "./a",
    "a\0b",
    ".own/name",
  )
  def test_keys_that_would_leave_the_store(self, key: str) -> None:
    """What is no key is refused, whoever asks, before anything is touched."""
    store = self.make_store()
    for call in (
      lambda: store.read(key),
      lambda: store.open(key),
      lambda: store.read_range(key, 0),
      lambda: store.write(key, b""),
      lambda: store.create(key, b""),
      lambda: store.create(key, b"", {"a": "b"}),
      lambda: store.delete(key),
    ):
      with self.assertRaisesRegex(errors.StoreError, "cannot name an object"):
        call()

  @parameterized.parameters("/", "/etc/", "../", "a/../", "a//", ".own/")
  def test_prefixes_that_would_leave_the_store(self, prefix: str) -> None:
    """A listing cannot look outside of the store either."""
    with self.assertRaisesRegex(errors.StoreError, "cannot name an object"):
      list(self.make_store().list(prefix))

  @parameterized.parameters(
    "f/.hidden", "f/.~lock.doc#", "f/a b", "f/é\u4e00", "f/..a", "f/.partial/x"
  )
  def test_odd_names_are_names(self, key: str) -> None:
    """What users call their files is kept under that name."""
    store = self.make_store()
    self.assertTrue(store.create(key, b"x", {"k": "v"}))
    self.assertEqual(list(store.list("f/")), [Entry(key, 1, {"k": "v"})])
    self.assertEqual(store.read(key), b"x")

  def test_metadata_is_any_text(self) -> None:
    """Metadata comes back as it was, and shows on its own object only."""
    store = self.make_store()
    metadata = {"name": "é\u4e00 'x\"", "empty": "", "tags": "a,b"}
    store.create("a", b"", metadata)
    store.create("ab", b"")
    self.assertEqual(
      list(store.list("")), [Entry("a", 0, metadata), Entry("ab", 0, {})]
    )

  def _shared_store(self) -> Store:
    if not self.shared:
      self.skipTest("no other process reaches it")
    return self.make_store()

  def _python(self, script: str, *args: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
      [sys.executable, "-c", script, *args],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=_ROOT,
    )
    self.addCleanup(_ended, process)
    return process

  def _expect(self, process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdout
    self.assertEqual(process.stdout.readline().strip(), line)


def _ended(process: "subprocess.Popen[str]") -> None:
  process.kill()
  process.communicate()
