"""Commands that make clusters, on a terminal of 80 columns."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pexpect
from absl.testing import absltest, parameterized

from keras_remote.cli.infra.state import Phase
from tests.integration.infra_case import PROJECT, InfraCase

_ROOT = Path(__file__).parents[2]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
_SECONDS = 100


class TerminalTest(InfraCase):
  def terminal(self, *arguments: str, **variables: str) -> Any:
    """`keras-remote` with these arguments, as somebody sits before it."""
    environ = {**os.environ, "TERM": "xterm-256color", **variables}
    environ["PYTHONPATH"] = str(_ROOT)
    environ.pop("COLUMNS", None)
    child = pexpect.spawn(
      sys.executable,
      ["-m", "tests.fakes.infra_cli", str(self.path), *arguments],
      cwd=self.base,
      env=environ,
      dimensions=(40, 80),
      encoding="utf-8",
      timeout=_SECONDS,
    )
    self.addCleanup(child.close)
    self.shown = ""
    return child

  def answer(self, child: Any, question: str, text: str) -> None:
    """Waits for the question, and types the answer."""
    child.expect_exact(question)
    self.shown += child.before + child.after
    child.sendline(text)

  def end(self, child: Any, code: int = 0) -> str:
    """All that was shown, without what moves the cursor, in 80 columns."""
    child.expect(pexpect.EOF)
    child.close()
    self.shown += child.before
    plain = _CONTROL.sub("", self.shown)
    self.assertEqual(child.exitstatus, code, plain)
    for line in re.split(r"[\r\n]+", plain):
      if not line.startswith("Error: "):  # Those the terminal folds.
        self.assertLessEqual(len(line), 80, line)
    return plain

  @parameterized.parameters(False, True)
  def test_up_asks(self, coloured: bool) -> None:
    """It asks for what nobody says, shows its plan, and each thing made."""
    variables = {} if coloured else {"NO_COLOR": "1"}
    child = self.terminal("up", **variables)
    self.answer(child, "The project of Google Cloud, by its id: ", PROJECT)
    self.answer(child, "The accelerator [cpu]: ", "v5e-9")
    self.answer(child, "The accelerator [cpu]: ", "v5e-8")
    self.answer(child, "The zone [us-central1-a]: ", "us-central1-b")
    self.answer(child, "The zone [us-central1-a]: ", "")
    self.answer(child, "Do this [Y/n]: ", "")
    text = self.end(child)
    self.assertIn("v5e-9", text.partition("The zone")[0])
    folded = " ".join(text.split())
    self.assertIn("v5e-8 is in us-central1-a, us-south1-a, us-west1-c", folded)
    self.assertIn("us-central1-b has no v5e-8", folded)
    self.assertRegex(text, r"\+ make +node pool +tpu-v5e-8")
    self.assertIn("• made the cluster keras-remote", text)
    self.assertIn("• made the node pool tpu-v5e-8", text)
    self.assertIn("a first job: keras-remote run --accelerator v5e-8", text)
    self.assertEqual(bool(_COLOUR.search(self.shown)), coloured)
    self.assertEqual(self.profiles.active, "keras-remote")
    self.assertEqual(self.record().phase, Phase.READY)

  def test_nobody_agrees(self) -> None:
    """Nothing is made."""
    child = self.terminal("up", "--project", PROJECT, "--accelerator", "cpu")
    self.answer(child, "The zone [us-central1-a]: ", "")
    self.answer(child, "Do this [Y/n]: ", "n")
    self.assertIn("nobody agreed", self.end(child, 1))
    self.assertEqual(self.log, [])

  def test_enter_removes_nothing(self) -> None:
    """Where machines go, Enter is no; where data goes, the project is typed."""
    self.kubernetes()
    self.up("--accelerator", "l4")
    before = list(self.log)
    child = self.terminal("pool", "remove", "gpu-l4", "--force")
    self.answer(child, "Do this [y/N]: ", "")
    self.assertIn("nobody agreed", self.end(child, 1))
    anew = ("up", "--private-nodes", "--replace")
    child = self.terminal(*anew)
    self.answer(child, f"is lost: type '{PROJECT}': ", "y")
    self.assertIn("nobody agreed", self.end(child, 1))
    self.assertEqual(self.log, before)
    child = self.terminal(*anew)
    self.answer(child, f"is lost: type '{PROJECT}': ", PROJECT)
    self.end(child)
    self.assertIn("replace keras-remote", self.log)

  def test_failure(self) -> None:
    """What fails is shown where it happens, and why at the end."""
    self.change(faults={"cpu": "Quota 'CPUS' exceeded.  Limit: 8.0"})
    child = self.terminal(
      "up", "--project", PROJECT, "--accelerator", "cpu", "--yes"
    )
    self.answer(child, "The zone [us-central1-a]: ", "")
    child.expect(pexpect.EOF)
    text = _CONTROL.sub("", child.before)
    self.assertIn("• making the node pool cpu failed", text)
    self.assertIn("the quota CPUS, which is 8.0, is not enough", text)

  def test_in_ci(self) -> None:
    """A terminal where nobody sits asks nothing."""
    child = self.terminal("up", "--project", PROJECT, CI="true")
    self.assertIn("set --accelerator", self.end(child, 2))

  def test_down(self) -> None:
    """It removes nothing unless the project's name is typed."""
    self.up("--accelerator", "cpu")
    before = list(self.log)
    question = f"from project {PROJECT}: type '{PROJECT}': "
    child = self.terminal("down")
    self.answer(child, question, "yes")
    self.assertIn("nobody agreed", self.end(child, 1))
    self.assertEqual(self.log, before)
    child = self.terminal("down")
    self.answer(child, question, PROJECT)
    text = self.end(child)
    self.assertIn("• removed the cluster keras-remote", text)
    self.assertIn("keras-remote is removed", text)
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})

  def test_init_chooses(self) -> None:
    """Of several clusters one is chosen."""
    self.up("--accelerator", "cpu")
    self.up("--accelerator", "cpu", "--cluster", "other")
    self.add_bucket("other")
    (self.base / "home" / "config.toml").unlink()
    child = self.terminal("init", "--project", PROJECT)
    self.answer(child, "Which one [1]: ", "2")
    self.assertIn("joined other in us-central1-a", self.end(child))
    self.assertEqual(self.profiles.active, "other")

  @parameterized.parameters(False, True)
  def test_status(self, coloured: bool) -> None:
    """Rows are folded, also those that say at length what is wrong."""
    self.up("--accelerator", "v5e-8")
    variables = {} if coloured else {"NO_COLOR": "1"}
    text = self.end(self.terminal("status", **variables))
    self.assertRegex(text, r"tpu-v5e-8 +v5e-8 +\? +4")
    self.assertIn("there is no project 'my-project'", text)
    styled = "\x1b[1m" in self.shown
    self.assertEqual(styled, coloured)

  @parameterized.parameters(
    ("pool", "list"), ("pool", "add", "l4", "--preview")
  )
  def test_pools(self, *arguments: str) -> None:
    """They fit into 80 columns too."""
    self.up("--accelerator", "v5e-8")
    self.assertIn(
      "gpu-l4" if "l4" in arguments else "tpu-v5e-8",
      self.end(self.terminal(*arguments)),
    )


if __name__ == "__main__":
  absltest.main()
