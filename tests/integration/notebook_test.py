"""A real Jupyter kernel, with functions that are defined in its cells."""

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbclient
from absl.testing import absltest
from nbformat import v4

_DEFINE = """
import keras_remote

factor = 2

@keras_remote.run
def double(x: int, sign: str) -> int:
  import pathlib, time

  print("printed there")
  while not pathlib.Path(sign).exists():
    time.sleep(0.01)
  return factor * x

@keras_remote.run
async def later(x: int, seconds: float = 0) -> int:
  import asyncio

  await asyncio.sleep(seconds)
  return factor * x

@keras_remote.run
def divide(x: int) -> float:
  return x / 0  # the line at fault
"""
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class _Client(nbclient.NotebookClient):
  """Gives the sign for which `double` waits, once the cell shows its line.

  Or interrupts the cell, as its button does.
  """

  sign: Path
  interrupts = False

  def process_message(
    self, msg: dict[str, Any], cell: Any, cell_index: int
  ) -> Any:
    if "printed there" in msg["content"].get("text", ""):
      if self.interrupts:
        kernel: Any = self.km
        asyncio.ensure_future(kernel.interrupt_kernel())
      else:
        self.sign.touch()
    return super().process_message(msg, cell, cell_index)


class NotebookTest(absltest.TestCase):
  def _execute(
    self, *sources: str, interrupts: bool = False
  ) -> list[list[Any]]:
    """The outputs of each cell."""
    folder = tempfile.mkdtemp()
    self.addCleanup(shutil.rmtree, folder)
    notebook = v4.new_notebook(cells=[v4.new_code_cell(s) for s in sources])
    client = _Client(
      notebook,
      timeout=30,
      allow_errors=True,
      resources={"metadata": {"path": folder}},
    )
    client.sign = Path(folder, "sign")
    client.interrupts = interrupts
    client.execute()
    return [cell.outputs for cell in notebook.cells]

  def test_notebook(self) -> None:
    """A cell's function streams into the cell, returns and raises."""
    defined, called, submitted, result, raised = self._execute(
      _DEFINE,
      "import os\ndouble(21, os.path.abspath('sign'))",
      "job = double.submit(4, os.path.abspath('sign'))\njob",
      "job.result()",
      "divide(1)",
    )
    self.assertEmpty(defined)

    # It ends at all only if the cell showed the line while it ran.
    self.assertEqual(called[-1].data["text/plain"], "42")
    printed = "".join(o.text for o in called if o.get("name") == "stdout")
    self.assertEqual(printed, "printed there\n")

    html = submitted[-1].data["text/html"]
    self.assertRegex(html, r"<b>double-\S+</b> (PREPARING|PENDING|RUNNING)")
    self.assertEqual(result[-1].data["text/plain"], "8")

    self.assertEqual(raised[-1].ename, "ZeroDivisionError")
    shown = _COLOURS.sub("", "\n".join(raised[-1].traceback))
    there = shown.partition("RemoteTraceback")[2]
    self.assertIn("return x / 0  # the line at fault", there)

  def test_an_async_function_is_awaited(self) -> None:
    """A cell awaits it, as any other."""
    _, awaited = self._execute(_DEFINE, "await later(21)")
    self.assertEqual(awaited[-1].data["text/plain"], "42")

  def test_an_interrupt_leaves_the_job(self) -> None:
    """Its button says how to come back, and nothing is lost."""
    _, called, status, why, _ = self._execute(
      _DEFINE,
      "import os\ndouble(21, os.path.abspath('sign'))",
      "print(keras_remote.attach().status())",
      "keras_remote.attach().why()",
      "keras_remote.attach().cancel()",
      interrupts=True,
    )
    self.assertEqual(called[-1].ename, "KeyboardInterrupt")
    said = "".join(o.text for o in called if o.get("name") == "stderr")
    self.assertRegex(
      said, r"double-\S+ goes on; to come back: keras_remote\.att"
    )
    self.assertEqual(status[-1].text, "RUNNING\n")
    shown = why[-1].data["text/plain"]
    self.assertRegex(shown, r"\Adouble-\S+ RUNNING: attempt 1 is running\Z")

  def test_who_awaits_no_longer_leaves_the_job(self) -> None:
    """It is said how to come back, and the job goes on."""
    _, called, cancelled = self._execute(
      _DEFINE,
      "import asyncio\nawait asyncio.wait_for(later(7, 600), 3)",
      "while not keras_remote.list_jobs():\n  await asyncio.sleep(0.1)\n"
      "keras_remote.attach().cancel()",
    )
    self.assertEqual(called[-1].ename, "TimeoutError")
    said = "".join(o.text for o in called if o.get("name") == "stderr")
    self.assertRegex(
      said, r"later-\S+ goes on; to come back: keras_remote\.att"
    )
    self.assertEqual(cancelled[-1].data["text/plain"], "True")


if __name__ == "__main__":
  absltest.main()
