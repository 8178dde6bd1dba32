"""The docs are true: each of their snippets is run.

The language of a block says what it is. `python`: a script. `toml`: a file.
Either one is kept in the page's project if its first line is a comment with
a name; a script that a later `console` block names is run there, others at
once. `console`: each line that begins with `$ ` is a command that exits as
its comment says, such as `# exit 3`, else with 0; other lines are what it
prints, of which those that begin with `keras_remote: ` may differ. `text`:
shown only, see docs_facts_test.py.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from absl.testing import absltest, parameterized

from tests.docs_pages import PAGES, ROOT, Block, blocks, label

_EXIT = re.compile(r"# exit (\d+)$")
_OURS = "keras_remote: "
# A page without snippets has nothing to run.
_RUN = tuple(page for page in PAGES if list(blocks(page)))


# A page's commands start dozens of processes, one after another.
@pytest.mark.timeout(1200)
class DocsTest(parameterized.TestCase):
  @parameterized.named_parameters((label(p), p) for p in _RUN)
  def test_snippets(self, page: Path) -> None:
    """The blocks of a page do, in their order, what they say."""
    folder = Path(tempfile.mkdtemp())
    self.addCleanup(shutil.rmtree, folder)
    project = folder / "project"
    project.mkdir()
    found = list(blocks(page))
    for place, block in enumerate(found, 1):
      run_later = any(
        block.name and block.name in later.text
        for later in found[place:]
        if later.language == "console"
      )
      with self.subTest(f"{page.name}:{block.line}"):
        self._check(block, project, run_later)

  def _check(self, block: Block, project: Path, run_later: bool) -> None:
    self.assertIn(block.language, ("console", "python", "text", "toml"))
    if block.name:
      (project / block.name).write_text(block.text)
    if block.language == "python" and not run_later:
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
      command, cwd = command.replace("make ", "make --dry-run ", 1), ROOT
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
