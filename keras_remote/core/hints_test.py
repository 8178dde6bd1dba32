"""What is said of a file that a job did not find, though it is here."""

import dataclasses
import errno
import os
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote.core import hints
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
    spec = job_spec()
    environment = dataclasses.replace(
      spec.environment, cwd=cwd, root=str(self.root)
    )
    spec = dataclasses.replace(spec, environment=environment)
    error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return hints.hint(error, spec)

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


if __name__ == "__main__":
  absltest.main()
