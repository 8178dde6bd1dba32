"""What is said of a file that a job did not find, though it is here."""

import dataclasses
import errno
import os
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote.core import hints
from keras_remote.job.spec import JobSpec
from tests.fakes.specs import job_spec


class HintsTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path).resolve()
    (self.root / ".gitignore").write_text("data/\n*.csv\n")
    for name in ("data/x.npy", "sub/y.csv", "context/data/z.npy", "a.txt"):
      path = self.root / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()

  def hint(self, name: str | bytes, cwd: str = ".") -> str | None:
    """What is said where a job in that folder does not find the file."""
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return hints.hint(error, self.spec(cwd))

  def spec(self, cwd: str = ".") -> JobSpec:
    """That of a job in that folder of the project."""
    spec = job_spec()
    environment = dataclasses.replace(
      spec.environment, cwd=cwd, root=str(self.root)
    )
    return dataclasses.replace(spec, environment=environment)

  @parameterized.parameters(
    ("data/x.npy", ".", "data/"),
    (b"data/x.npy", ".", "data/"),
    ("../data/x.npy", "sub", "data/"),
    ("y.csv", "sub", "*.csv"),
    ("./sub/y.csv", ".", "*.csv"),
    ("/home/context/local/a/scratch/context/data/x.npy", "sub", "data/"),
    ("/home/local/a/scratch/context/context/data/z.npy", "sub", "data/"),
    ("/home/context/jobs/scratch/context/data", "sub", "data/"),
  )
  def test_kept_back(self, name: str | bytes, cwd: str, rule: str) -> None:
    """However the job named it, the rule that kept it back is told."""
    hint = self.hint(name, cwd)
    assert hint
    self.assertIn(f"the rule '{rule}' (.gitignore line", hint)

  def test_by_its_path_here(self) -> None:
    """A path that was made here is not there, wherever there is."""
    self.assertIn("'data/'", self.hint(str(self.root / "data/x.npy")) or "")

  @parameterized.parameters(
    "a.txt", "data/absent", "/etc/passwd", "../elsewhere", "/x/context/a.txt"
  )
  def test_nothing_to_say(self, name: str) -> None:
    """What is sent, is not here either, or is not the project's."""
    self.assertIsNone(self.hint(name))

  @parameterized.parameters(
    FileNotFoundError(2, "gone", 3),
    FileNotFoundError(2, "gone", ("a", "b")),
    FileNotFoundError(2, "gone", "x" * 5000),
    ModuleNotFoundError("gone", name="."),
    ModuleNotFoundError("gone", name="/"),
    ModuleNotFoundError("gone", name=("a", "b")),  # pyrefly: ignore
    ModuleNotFoundError("gone", name="numpy"),
    ModuleNotFoundError("gone"),
    ValueError("gone"),
  )
  def test_odd_names(self, error: Exception) -> None:
    """Users raise these errors too, and get no hint in their place."""
    self.assertIsNone(hints.hint(error, self.spec()))

  @parameterized.parameters("helper.py", "helper/__init__.py", "helper/a.py")
  def test_module_outside(self, file: str) -> None:
    """A module that lies here outside of the project is found, with the cure."""
    other = Path(self.create_tempdir().full_path).resolve()
    (other / file).parent.mkdir(exist_ok=True)
    (other / file).touch()
    sys.path.append(str(other))
    self.addCleanup(sys.path.remove, str(other))
    hint = hints.hint(ModuleNotFoundError(name="helper"), self.spec())
    assert hint
    self.assertIn(f"only {self.root} went along", hint)
    self.assertIn(f"at {other / file}".removesuffix("/a.py"), hint)
    self.assertIn("set working_dir", hint)
    missing = ModuleNotFoundError(name="helper.absent")
    self.assertIsNone(hints.hint(missing, self.spec()))


if __name__ == "__main__":
  absltest.main()
