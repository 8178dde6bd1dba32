"""The docs are true: each of their snippets is run.

The language of a block says what it is. `python`: a script. `toml`: a file.
Either one is kept in the page's project if its first line is a comment with
a name. `console`: each line that begins with `$ ` is a command that exits as
its comment says, such as `# exit 3`, else with 0; other lines are what it
prints, of which those that begin with `keras_remote: ` may differ. `text`:
shown only.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from absl.testing import absltest, parameterized

import keras_remote
from keras_remote import errors
from keras_remote.core.options import OPTIONS

_ROOT = Path(__file__).parents[1]
_README = _ROOT / "README.md"
_PAGES = (_README, *sorted(_ROOT.glob("docs/**/*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_NAMED = re.compile(r"# ([\w./-]+\.\w+)\n")
_EXIT = re.compile(r"# exit (\d+)$")
_OURS = "keras_remote: "


@dataclass(frozen=True)
class Block:
  """A fenced block.

  Attributes:
    line: of its page, where it begins.
  """

  language: str
  text: str
  line: int

  @property
  def name(self) -> str | None:
    """The file that it is kept as."""
    named = _NAMED.match(self.text)
    return named and named[1]


def _blocks(page: Path) -> Iterator[Block]:
  text = page.read_text()
  for found in _BLOCK.finditer(text):
    line = text.count("\n", 0, found.start()) + 1
    yield Block(found[1], found[2], line)


# A page's commands start dozens of processes, one after another.
@pytest.mark.timeout(1200)
class DocsTest(parameterized.TestCase):
  @parameterized.named_parameters((p.stem, p) for p in _PAGES)
  def test_snippets(self, page: Path) -> None:
    """The blocks of a page do, in their order, what they say."""
    folder = Path(tempfile.mkdtemp())
    self.addCleanup(shutil.rmtree, folder)
    project = folder / "project"
    project.mkdir()
    for block in _blocks(page):
      with self.subTest(f"{page.name}:{block.line}"):
        self._check(block, project)

  def test_options(self) -> None:
    """The README's table has each option with its flag and variable."""
    readme = _README.read_text()
    for option in OPTIONS.values():
      variable = f"`{option.variable}` " if option.variable else ""
      row = f"| `{option.name}` | `{option.flag}` | {variable}| "
      self.assertIn(row, readme)

  def test_errors(self) -> None:
    """The README's table has each error that a caller can meet."""
    readme = _README.read_text()
    for name in keras_remote.__all__:
      if hasattr(errors, name):
        self.assertRegex(readme, rf"(?m)^\| (· )?`{name}`|`\w+\.{name}`")

  def _check(self, block: Block, project: Path) -> None:
    self.assertIn(block.language, ("console", "python", "text", "toml"))
    if block.name:
      (project / block.name).write_text(block.text)
    if block.language == "python":
      script = project / (block.name or "snippet.py")
      script.write_text(block.text)
      self._run(f"python {script.name}", project)
    elif block.language == "toml":
      tomllib.loads(block.text)
    elif block.language == "console":
      before, *entries = re.split(r"(?m)^\$ ", block.text)
      self.assertEmpty(before)
      for entry in entries:
        command, *shown = entry.splitlines()
        printed = self._run(command, project).splitlines()
        same = [each for each in shown if not each.startswith(_OURS)]
        self.assertEqual(same, printed if shown else [])

  def _run(self, command: str, project: Path) -> str:
    """What the command prints."""
    cwd = project
    if command.startswith("make "):
      # This very test is a part of what make would do: it only says what.
      command, cwd = command.replace("make ", "make --dry-run ", 1), _ROOT
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = str(project.with_name("home"))
    ran = subprocess.run(
      command,
      cwd=cwd,
      env={**os.environ, "PATH": path, "KERAS_REMOTE_HOME": home},
      shell=True,
      capture_output=True,
      text=True,
    )
    expected = _EXIT.search(command)
    self.assertEqual(
      ran.returncode,
      int(expected[1]) if expected else 0,
      f"{command}\n{ran.stdout}\n{ran.stderr}",
    )
    return ran.stdout


if __name__ == "__main__":
  absltest.main()
