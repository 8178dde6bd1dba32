"""What commands print with --json is what docs/schemas say."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
from absl.testing import absltest
from click.testing import CliRunner

from keras_remote.cli.main import cli
from tests.fakes.environment import environment

_SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
_SOURCE = """
def divide(by: int) -> float:
  print("dividing")
  return 1 / by
"""


class DocumentsTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.base = Path(tempfile.mkdtemp()).resolve()
    self.addCleanup(shutil.rmtree, self.base)
    self.enter_context(environment(KERAS_REMOTE_HOME=str(self.base / "home")))
    (self.base / "project").mkdir()
    self.file = self.base / "project" / "dividing.py"
    self.file.write_text(_SOURCE)

  def document(self, schema: str, command: str, code: int = 0) -> Any:
    """What the command prints, held to the schema."""
    words = command.replace("FILE", str(self.file)).split()
    words.insert(words.index("run") + 1 if "run" in words else 99, "--json")
    ran = CliRunner().invoke(cli, words, prog_name="keras-remote")
    self.assertEqual(ran.exit_code, code, ran.output)
    found = json.loads(ran.stdout)
    jsonschema.validate(
      found,
      json.loads((_SCHEMAS / f"{schema}.json").read_text()),
      format_checker=jsonschema.FormatChecker(),
    )
    return found

  def test_schemas(self) -> None:
    """Each schema is one."""
    for path in _SCHEMAS.iterdir():
      jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))

  def test_jobs(self) -> None:
    """A job that ends well, and one that fails, by all that shows them."""
    run = "run --working-dir " + str(self.file.parent)
    self.document("run", f"{run} FILE:divide by=2")
    ran = self.document("run", f"{run} --tag half FILE:divide by=0", code=1)
    self.assertIn("outcome", ran)
    self.assertLen(self.document("jobs-list", "jobs list"), 2)
    self.assertTrue(self.document("jobs-why", "jobs why")["attempts"])
    self.assertTrue(self.document("jobs-show", "jobs show")["outcome"])
    self.document("jobs-logs", "jobs logs")
    self.document("jobs-cancel", "jobs cancel")
    self.document("run", "jobs result", code=1)
    self.document("run", "jobs rerun --tag again", code=1)
    self.document("jobs-prune", "jobs prune --older-than 1d --yes")

  def test_settings(self) -> None:
    """What is set, and who sets it."""
    self.document("config-set", "config set timeout 2h")
    self.document("config-set", "config set env A=1")
    self.document("config-show", "config show")
    self.document("config-set", "config unset timeout")
    self.document("config-set", "config set --profile lab tags a,b")
    self.document("config-use", "config use lab")
    self.document("config-profiles", "config profiles")

  def test_others(self) -> None:
    """What there is to run on, whether all is well, and a shell's line."""
    self.document("accelerators", "accelerators")
    self.document("completion", "completion bash")
    self.assertTrue(self.document("doctor", "doctor")["checks"])


if __name__ == "__main__":
  absltest.main()
