"""What a type checker says of right and of wrong uses of the public names."""

import json
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest

_USES = Path(__file__).with_name("typing")


def _reported(path: Path) -> dict[int, str]:
  """What pyrefly says of the lines of a file."""
  ran = subprocess.run(
    [
      Path(sys.executable).with_name("pyrefly"),
      "check",
      path,
      "--output-format=json",
      f"--python-interpreter-path={sys.executable}",
    ],
    cwd=_USES.parents[1],
    capture_output=True,
    text=True,
  )
  found = json.loads(ran.stdout)["errors"]
  return {each["line"]: each["description"] for each in found}


class TypingTest(absltest.TestCase):
  def test_right(self) -> None:
    """Right uses are taken, each with its own type."""
    self.assertEmpty(_reported(_USES / "right.py"))

  def test_wrong(self) -> None:
    """Each line that is marked as wrong is reported, and no other."""
    path = _USES / "wrong.py"
    lines = path.read_text().splitlines()
    marked = [n for n, line in enumerate(lines, 1) if line.endswith("# wrong")]
    self.assertNotEmpty(marked)
    self.assertEqual(sorted(_reported(path)), marked)


if __name__ == "__main__":
  absltest.main()
