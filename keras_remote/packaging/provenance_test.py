"""Commit, versions and author are those that git, pip and the system name."""

import getpass
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from absl.testing import absltest

from keras_remote.constants import VERSION
from keras_remote.packaging.provenance import GitState, git_state, versions, who


class GitStateTest(absltest.TestCase):
  """In a real repository."""

  def setUp(self) -> None:
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = Path(folder.name)

  def git(self, *arguments: str) -> str:
    options = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ("git", "-C", str(self.root), *options, *arguments)
    return subprocess.run(
      command, check=True, capture_output=True, text=True
    ).stdout.strip()

  def commit(self) -> str:
    (self.root / "src").mkdir(exist_ok=True)
    (self.root / "src/train.py").write_text("x = 1")
    self.git("init", "-q")
    self.git("add", "-A")
    self.git("commit", "-q", "-m", "first")
    return self.git("rev-parse", "HEAD")

  def test_names_the_commit(self) -> None:
    """Seen from any folder of the repository."""
    commit = self.commit()
    self.assertEqual(git_state(self.root), GitState(commit, dirty=False))
    self.assertEqual(
      git_state(self.root / "src"), GitState(commit, dirty=False)
    )

  def test_tells_changes_under_the_root(self) -> None:
    """A changed file and a new one; those elsewhere do not travel."""
    commit = self.commit()
    (self.root / "new.py").touch()
    self.assertEqual(
      git_state(self.root / "src"), GitState(commit, dirty=False)
    )
    self.assertEqual(git_state(self.root), GitState(commit, dirty=True))
    (self.root / "new.py").unlink()
    (self.root / "src/train.py").write_text("x = 2")
    self.assertEqual(git_state(self.root / "src"), GitState(commit, dirty=True))

  def test_is_none_without_repository_commit_or_folder(self) -> None:
    """A job needs none of them."""
    self.assertIsNone(git_state(self.root))
    self.git("init", "-q")
    self.assertIsNone(git_state(self.root))
    self.assertIsNone(git_state(self.root / "gone"))

  def test_works_while_somebody_holds_the_lock(self) -> None:
    """It does not wait for it."""
    commit = self.commit()
    (self.root / ".git/index.lock").touch()
    self.assertEqual(git_state(self.root), GitState(commit, dirty=False))

  def test_takes_no_lock(self) -> None:
    """So it writes no index, though a file's times are not as remembered."""
    self.commit()
    os.utime(self.root / "src/train.py", (0, 0))
    before = (self.root / ".git/index").stat()
    git_state(self.root)
    self.assertEqual((self.root / ".git/index").stat().st_ino, before.st_ino)

  def test_runs_no_program_of_the_repository(self) -> None:
    """Looking at a project is not trusting it."""
    self.commit()
    mark = self.root / "src/ran"
    self.git("config", "core.fsmonitor", f"touch {mark};")
    git_state(self.root)
    self.assertFalse(mark.exists())

  def test_looks_at_the_root_from_within_a_hook(self) -> None:
    """Git gives a hook the place of another repository."""
    commit = self.commit()
    before = dict(os.environ)
    self.addCleanup(os.environ.update, before)
    self.addCleanup(os.environ.clear)
    os.environ["GIT_DIR"] = os.devnull
    self.assertEqual(git_state(self.root), GitState(commit, dirty=False))

  def test_is_none_without_git(self) -> None:
    """And where git does not answer in time."""
    self.commit()
    before = os.environ["PATH"]
    self.addCleanup(os.environ.update, PATH=before)
    programs = self.root / "bin"
    programs.mkdir()
    os.environ["PATH"] = str(programs)
    self.assertIsNone(git_state(self.root))
    slow = programs / "git"
    slow.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    slow.chmod(0o755)
    self.assertIsNone(git_state(self.root))


class VersionsTest(absltest.TestCase):
  """The versions that pip would show."""

  def test_are_those_of_the_metadata(self) -> None:
    """Of every distribution that a job depends on."""
    names = ("cloudpickle", "jax", "keras", "numpy")
    expected = {name: importlib.metadata.version(name) for name in names}
    expected["python"] = platform.python_version()
    expected["keras-remote"] = VERSION
    self.assertEqual(versions(), expected)

  def test_import_nothing(self) -> None:
    """Naming a version must not cost what the package costs."""
    program = (
      "import sys; from keras_remote.packaging.provenance import versions;"
      "versions(); print([m for m in ('keras', 'jax', 'numpy', 'cloudpickle',"
      " 'importlib.metadata') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.check_output(
      (sys.executable, "-c", program), env=environment, text=True
    )
    self.assertEqual(said.strip(), "[]")

  def test_belong_to_who_asked(self) -> None:
    """A caller that changes its answer changes nobody else's."""
    versions().clear()
    self.assertIn("python", versions())


class WhoTest(absltest.TestCase):
  """The author of a job."""

  def test_is_the_user_at_the_machine(self) -> None:
    """Both named by the system."""
    self.assertEqual(who(), f"{getpass.getuser()}@{platform.node()}")


if __name__ == "__main__":
  absltest.main()
