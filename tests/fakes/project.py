"""A project of a test's own, for the tests of packaging."""

import os
import tempfile
from pathlib import Path

from absl.testing import parameterized

_LONG_AGO_NS = 10**18


def put(
  root: Path, name: str, content: bytes = b"x", mode: int = 0o644
) -> Path:
  """A file that is old enough to be known by its times."""
  path = root / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  path.chmod(mode)
  os.utime(path, ns=(_LONG_AGO_NS, _LONG_AGO_NS))
  return path


class ProjectTestCase(parameterized.TestCase):
  """Tests with an empty project, `root`, in a folder of their own, `place`."""

  def setUp(self) -> None:
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.place = Path(folder.name).resolve()
    self.root = self.place / "project"
    self.root.mkdir()
    self.cache = self.place / "cache"

  def put(self, name: str, content: bytes = b"x", mode: int = 0o644) -> Path:
    """A file of the project."""
    return put(self.root, name, content, mode)
