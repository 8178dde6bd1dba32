import contextlib
import fcntl
import os
import stat
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import psutil
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote import home as home_lib
from keras_remote.home import Home

_ROOT = Path(home_lib.__file__).parents[1]


def _mode(path: Path) -> int:
  return stat.S_IMODE(path.stat().st_mode)


def _at_once(processes: int, code: str, *arguments: str) -> list[str]:
  """What each process printed; all are ready before any runs `code`."""
  gate = (
    "import sys; from keras_remote.home import *;"
    "print('ready', flush=True); sys.stdin.readline();"
  )
  children = [
    subprocess.Popen(
      [sys.executable, "-c", gate + code, *arguments, str(number)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=os.environ | {"PYTHONPATH": str(_ROOT)},
      text=True,
    )
    for number in range(processes)
  ]
  for child in children:
    if child.stdout is None or child.stdout.readline() != "ready\n":
      raise AssertionError("a process did not start: its error is above")
  for child in children:
    if child.stdin is not None:
      child.stdin.write("\n")
      child.stdin.flush()
  printed = [child.communicate(timeout=60)[0] for child in children]
  if any(child.returncode for child in children):
    raise AssertionError("a process failed: its error is above")
  return printed


class HomeTest(parameterized.TestCase):
  def test_default_is_in_the_users_home_directory(self) -> None:
    """Without the variable it is ~/.keras_remote."""
    self.assertEqual(home_lib.home({}), Path("~/.keras_remote").expanduser())

  @parameterized.named_parameters(
    ("absolute", "/a/b", Path("/a/b")),
    ("relative", "x/../y", Path.cwd() / "y"),
    ("tilde", "~/z", Path("~/z").expanduser()),
  )
  def test_variable_is_made_absolute(self, text: str, expected: Path) -> None:
    """The variable names the folder; relative and ~ paths become absolute."""
    self.assertEqual(home_lib.home({"KERAS_REMOTE_HOME": text}), expected)

  @parameterized.parameters("", "  ", "~nobody-has-this-name/x")
  def test_bad_variable_is_refused_by_name(self, text: str) -> None:
    """Empty, or somebody's home that is not there: the variable is named."""
    with self.assertRaisesRegex(errors.ConfigError, "KERAS_REMOTE_HOME"):
      home_lib.home({"KERAS_REMOTE_HOME": text})


class FolderTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.path = Path(self.create_tempdir().full_path) / "deep" / "home"

  def test_ensure_makes_private_folders_whatever_the_umask(self) -> None:
    """The folder and its missing parents are 0700, the second time too."""
    umask = os.umask(0)
    self.addCleanup(os.umask, umask)
    self.assertEqual(home_lib.ensure(self.path), self.path)
    home_lib.ensure(self.path)
    self.assertEqual([_mode(self.path), _mode(self.path.parent)], [0o700] * 2)

  @parameterized.parameters(0o720, 0o702, 0o777, 0o1777)
  def test_folder_that_others_can_write_to_is_refused(self, mode: int) -> None:
    """The message holds the chmod, and after it all is well."""
    home_lib.ensure(self.path).chmod(mode)
    with self.assertRaises(errors.StoreError) as caught:
      home_lib.ensure(self.path)
    cure = str(caught.exception).rsplit(": ", 1)[1]
    self.assertEqual(cure, f"chmod go-w {self.path}")
    subprocess.run(cure.split(), check=True)
    home_lib.ensure(self.path)

  def test_nothing_uses_a_shared_home(self) -> None:
    """Notes and key refuse a home that others can write to."""
    home_lib.ensure(self.path).chmod(0o777)
    home = Home(self.path)
    with self.assertRaisesRegex(errors.StoreError, "chmod go-w"):
      home.remember("context", "x")
    with self.assertRaisesRegex(errors.StoreError, "chmod go-w"):
      home.remembered("context", "x")
    with self.assertRaisesRegex(errors.StoreError, "chmod go-w"):
      home_lib.cluster_key(home)

  @unittest.skipIf(os.geteuid(), "only root can give a folder away")
  def test_folder_of_another_user_is_refused(self) -> None:
    """A folder that belongs to neither us nor root could change under us."""
    os.chown(home_lib.ensure(self.path), 12345, -1)
    with self.assertRaisesRegex(errors.StoreError, "uid 12345.*chown"):
      home_lib.ensure(self.path)

  def test_readable_by_others_is_no_reason_to_refuse(self) -> None:
    """A folder made by hand, 0755, is used; the files in it are private."""
    home_lib.ensure(self.path).chmod(0o755)
    home_lib.ensure(self.path)

  def test_a_file_in_the_way_is_a_store_error(self) -> None:
    """A file where the folder should be, or above it, is named."""
    self.path.parent.parent.joinpath("deep").write_text("")
    with self.assertRaisesRegex(errors.StoreError, str(self.path.parent)):
      home_lib.ensure(self.path)

  def test_write_private_replaces_whole(self) -> None:
    """The file is 0600 though it was 0644, and nothing is left beside it."""
    path = home_lib.ensure(self.path) / "config.toml"
    path.write_text("old")
    path.chmod(0o644)
    home_lib.write_private(path, b"new")
    self.assertEqual(path.read_bytes(), b"new")
    self.assertEqual(_mode(path), 0o600)
    self.assertEqual(list(self.path.iterdir()), [path])

  def test_failed_write_leaves_nothing(self) -> None:
    """Where the file cannot be replaced, the temporary one goes too."""
    path = home_lib.ensure(self.path) / "taken"
    path.mkdir()
    with self.assertRaisesRegex(errors.StoreError, "KERAS_REMOTE_HOME"):
      home_lib.write_private(path, b"new")
    self.assertEqual(list(self.path.iterdir()), [path])


class RememberTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.home = Home(Path(self.create_tempdir().full_path) / "home")

  def test_what_turns_out_to_be_gone(self) -> None:
    """It is forgotten; what was never seen may be too."""
    self.home.forget("context", "x")
    self.home.remember("context", "x")
    self.home.forget("context", "x")
    self.assertFalse(self.home.remembered("context", "x"))

  def test_what_was_never_seen_is_not_remembered(self) -> None:
    """A home that is not there remembers nothing, and is not made."""
    self.assertFalse(self.home.remembered("context", "x"))
    self.assertFalse(self.home.path.exists())

  @given(st.text())
  def test_any_key_is_remembered_as_itself(self, key: str) -> None:
    """Keys are arbitrary text; neither keys nor kinds mix."""
    self.home.remember("context", key)
    self.assertTrue(self.home.remembered("context", key))
    self.assertFalse(self.home.remembered("image", key))
    self.assertFalse(self.home.remembered("context", key + "/never seen"))

  def test_it_is_forgotten_after_max_age(self) -> None:
    """A note older than `max_age`, by default a day, counts no more."""
    self.home.remember("context", "x")
    (note,) = (self.home.cache / "context").iterdir()
    seen = note.stat().st_mtime - 2 * 60 * 60
    os.utime(note, (seen, seen))
    self.assertTrue(self.home.remembered("context", "x"))
    self.assertFalse(self.home.remembered("context", "x", 60 * 60))
    os.utime(note, (seen - home_lib.DAY, seen - home_lib.DAY))
    self.assertFalse(self.home.remembered("context", "x"))

  def test_a_note_from_the_future_is_not_believed(self) -> None:
    """After the clock was set back a note must not live for years."""
    self.home.remember("context", "x")
    (note,) = (self.home.cache / "context").iterdir()
    seen = note.stat().st_mtime + 60 * 60
    os.utime(note, (seen, seen))
    self.assertFalse(self.home.remembered("context", "x"))

  def test_what_was_found_is_recalled(self) -> None:
    """For a day, or until it is forgotten; a second time is no error."""
    self.assertIsNone(self.home.recall("endpoint", "x"))
    self.home.remember("endpoint", "x", b"there")
    self.assertEqual(self.home.recall("endpoint", "x"), b"there")
    self.assertIsNone(self.home.recall("endpoint", "y"))
    for _ in range(2):
      self.home.forget("endpoint", "x")
      self.assertIsNone(self.home.recall("endpoint", "x"))

  def test_all_of_a_kind_are_forgotten(self) -> None:
    """Other kinds stay; none to forget is no error."""
    self.home.forget_all("image")
    for kind, key in (("image", "a"), ("image", "b"), ("context", "a")):
      self.home.remember(kind, key)
    self.home.forget_all("image")
    self.assertFalse(self.home.remembered("image", "a"))
    self.assertFalse(self.home.remembered("image", "b"))
    self.assertTrue(self.home.remembered("context", "a"))

  def test_twenty_processes_remember_side_by_side(self) -> None:
    """All notes are there, none torn or left over, the folders 0700."""
    code = (
      "home = Home(Path(sys.argv[1]));"
      "[home.remember('context', str(key)) for key in range(5)];"
      "home.remember('context', 'mine ' + sys.argv[2]);"
      "print(home.remembered('context', '0'))"
    )
    printed = _at_once(20, code, str(self.home.path))
    self.assertEqual(printed, ["True\n"] * 20)
    notes = list((self.home.cache / "context").iterdir())
    self.assertLen(notes, 5 + 20)
    self.assertEqual({_mode(note) for note in notes}, {0o600})
    self.assertEqual(_mode(self.home.cache), 0o700)


class MachineTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.home = Home(Path(self.create_tempdir().full_path) / "home")
    self.of_system = self.home.path.with_name("machine-id")

  def test_the_systems_own(self) -> None:
    """It is used where there is one, is not shown, and nothing is written."""
    self.of_system.write_text("8c1f\n")
    name = home_lib.machine_id(self.home, self.of_system)
    self.assertEqual(home_lib.machine_id(self.home, self.of_system), name)
    self.assertNotIn("8c1f", name)
    self.assertFalse(self.home.path.exists())
    self.of_system.write_text("8c20\n")
    self.assertNotEqual(home_lib.machine_id(self.home, self.of_system), name)

  def test_a_system_without(self) -> None:
    """The home keeps a random one, the same ever after."""
    name = home_lib.machine_id(self.home, self.of_system)
    self.of_system.touch()
    self.assertEqual(home_lib.machine_id(self.home, self.of_system), name)
    other = Home(self.home.path.with_name("other"))
    self.assertNotEqual(home_lib.machine_id(other, self.of_system), name)


class PreparingTest(absltest.TestCase):
  def test_sweep(self) -> None:
    """What is old and held by nobody goes; the rest stays."""
    home = Home(Path(self.create_tempdir().full_path) / "home")
    home.sweep_preparing()  # There is nothing yet.
    home_lib.ensure(home.preparing)
    for name in ("old", "held", "new"):
      (home.preparing / name).touch()
      if name != "new":
        os.utime(home.preparing / name, (1, 1))
    with (home.preparing / "held").open() as held:
      fcntl.flock(held, fcntl.LOCK_EX)
      home.sweep_preparing()
      self.assertTrue(home.prepares("held"))
    left = {path.name for path in home.preparing.iterdir()}
    self.assertEqual(left, {"held", "new"})
    self.assertFalse(home.prepares("new") or home.prepares("old"))


class LockTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.path = Path(self.create_tempfile().full_path)

  def test_a_forked_child_holds_nothing(self) -> None:
    """However long it lives: the lock is free when its holder lets it go."""
    descriptor = home_lib.lock(self.path)
    begun, begins = os.pipe()
    ended, ends = os.pipe()
    if not (child := os.fork()):
      os.close(ends)
      os.write(begins, b".")
      os.read(ended, 1)
      try:
        home_lib.unlock(descriptor)  # As it leaves the block of its parent.
      except OSError:
        os._exit(1)
      os._exit(0)
    os.read(begun, 1)
    self.assertTrue(home_lib.locked(self.path))
    home_lib.unlock(descriptor)
    self.assertFalse(home_lib.locked(self.path))
    os.close(ends)
    self.assertEqual(os.waitpid(child, 0)[1], 0)
    for end in (begun, begins, ended):
      os.close(end)

  def test_a_descriptor_that_was_closed_is_forgotten(self) -> None:
    """A child keeps the file that got its number."""
    descriptor = home_lib.lock(self.path)
    home_lib.unlock(descriptor)
    with self.path.open() as file:
      other = os.dup2(file.fileno(), descriptor)
    self.addCleanup(os.close, other)
    if not (child := os.fork()):
      try:
        os.fstat(other)
      except OSError:
        os._exit(1)
      os._exit(0)
    self.assertEqual(os.waitpid(child, 0)[1], 0)

  def test_sharing(self) -> None:
    """Several may hold it shared; who wants it alone waits for all of them."""
    with home_lib.holding(self.path, shared=True):
      with home_lib.holding(self.path, shared=True):
        pass
      alone = threading.Thread(target=self._alone)
      alone.start()
      alone.join(0.05)
      self.assertTrue(alone.is_alive())
    alone.join()
    self.assertFalse(home_lib.locked(self.path))

  def _alone(self) -> None:
    with home_lib.holding(self.path):
      pass

  def test_a_child_takes_it_over(self) -> None:
    """Also where a daemon took it, which has closed its standard streams."""
    path = Path(self.create_tempdir().full_path) / "alive"
    script = (
      "import os, pathlib, subprocess, sys\n"
      "from keras_remote import home\n"
      "os.closerange(0, 3)\n"
      "lock = home.lock(pathlib.Path(sys.argv[1]))\n"
      "null = subprocess.DEVNULL\n"
      "subprocess.Popen(['sleep', '600'], pass_fds=[lock],"
      " stdin=null, stdout=null, stderr=null, process_group=0)\n"
    )
    # Not through a pipe: nobody waits for the child.
    daemon = subprocess.Popen(
      [sys.executable, "-c", script, path], cwd=_ROOT, start_new_session=True
    )
    self.assertEqual(daemon.wait(60), 0)
    held = home_lib.locked(path)
    for child in psutil.process_iter():
      with contextlib.suppress(psutil.Error):
        if str(path) in {file.path for file in child.open_files()}:
          child.kill()
          child.wait(10)
    self.assertTrue(held)
    self.assertFalse(home_lib.locked(path))


class ClusterKeyTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.home = Home(Path(self.create_tempdir().full_path) / "home")

  def test_key_is_made_once_and_private(self) -> None:
    """32 bytes, 0600, the same ever after, nothing beside it."""
    key = home_lib.cluster_key(self.home)
    self.assertLen(key, 32)
    self.assertEqual(home_lib.cluster_key(self.home), key)
    self.assertEqual(_mode(self.home.key), 0o600)
    left = {path.name for path in self.home.path.iterdir()}
    self.assertEqual(left, {"key", ".gitignore"})

  def test_two_homes_have_two_keys(self) -> None:
    """The key is random."""
    other = Home(self.home.path.with_name("other"))
    self.assertNotEqual(
      home_lib.cluster_key(self.home), home_lib.cluster_key(other)
    )

  def test_twenty_processes_agree_on_one_key(self) -> None:
    """All who start in empty homes at once get the same, whole keys."""
    homes = [self.home.path.with_name(f"home{number}") for number in range(10)]
    code = "print([cluster_key(Home(Path(p))).hex() for p in sys.argv[1:-1]])"
    printed = _at_once(20, code, *map(str, homes))
    keys = [(home / "key").read_bytes().hex() for home in homes]
    self.assertEqual(printed, [f"{keys}\n"] * 20)
    for home in homes:
      left = {path.name for path in home.iterdir()}
      self.assertEqual(left, {"key", ".gitignore"})

  @parameterized.parameters(0o640, 0o604, 0o620, 0o666)
  def test_key_that_others_may_read_is_refused(self, mode: int) -> None:
    """The message holds the chmod, and after it the key is taken."""
    key = home_lib.cluster_key(self.home)
    self.home.key.chmod(mode)
    with self.assertRaisesRegex(errors.StoreError, "chmod 600") as caught:
      home_lib.cluster_key(self.home)
    self.assertNotIn(key.hex(), str(caught.exception))
    cure = str(caught.exception).rsplit(": ", 1)[1]
    subprocess.run(cure.split(), check=True)
    self.assertEqual(home_lib.cluster_key(self.home), key)

  @unittest.skipIf(os.geteuid(), "only root can give a file away")
  def test_key_of_another_user_is_refused(self) -> None:
    """Whoever owns the key can read it."""
    home_lib.cluster_key(self.home)
    os.chown(self.home.key, 12345, -1)
    with self.assertRaisesRegex(errors.StoreError, "uid 12345"):
      home_lib.cluster_key(self.home)

  def test_key_that_was_cut_short_is_refused(self) -> None:
    """An empty key would sign for everybody."""
    home_lib.cluster_key(self.home)
    os.truncate(self.home.key, 0)
    with self.assertRaisesRegex(errors.StoreError, "0 bytes"):
      home_lib.cluster_key(self.home)


if __name__ == "__main__":
  absltest.main()
