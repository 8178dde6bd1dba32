"""The examples do what they say."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from absl.testing import absltest

_EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(name: str) -> subprocess.CompletedProcess[str]:
  # Where CI is set, an example that leaves its backend open is refused.
  return subprocess.run(
    [sys.executable, _EXAMPLES / name],
    env={**os.environ, "CI": "true"},
    capture_output=True,
    text=True,
  )


class ExamplesTest(absltest.TestCase):
  def test_digits(self) -> None:
    """The demo shows each epoch, and learns on eight emulated chips."""
    ran = _run("digits.py")
    self.assertEqual(ran.returncode, 0, ran.stderr)
    self.assertIn("Epoch 12/12\n", ran.stdout)
    self.assertRegex(ran.stdout, r"\naccuracy 0\.9\d\d on 8 devices\n$")
    self.assertIn("v5e-8 emulated", ran.stderr)

  def test_hello(self) -> None:
    """What is printed there is shown here, before the value."""
    ran = _run("hello.py")
    self.assertEqual(ran.returncode, 0, ran.stderr)
    self.assertEqual(
      ran.stdout, "this line is printed there and shown here\nhello, world\n"
    )
    self.assertRegex(ran.stderr, r"^keras_remote: hello-\S+ on local, cpu\n")

  def test_notebook(self) -> None:
    """Each cell of the notebook runs, and shows its value."""
    notebook: Any = nbformat.read(_EXAMPLES / "notebook.ipynb", as_version=4)
    place = {"metadata": {"path": str(_EXAMPLES)}}
    nbclient.NotebookClient(notebook, timeout=60, resources=place).execute()
    shown = {
      cell.id: [o.data["text/plain"] for o in cell.outputs if "data" in o]
      for cell in notebook.cells
      if cell.cell_type == "code"
    }
    self.assertEqual(shown["call"], ["6.0"])
    self.assertRegex(shown["submit"][0], r"<JobHandle total-\S+ \w+>")
    self.assertEqual(shown["attach"], ["15.0"])


if __name__ == "__main__":
  absltest.main()
