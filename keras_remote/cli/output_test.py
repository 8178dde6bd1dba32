"""What commands print, where nobody looks at a terminal."""

import json
import sys

import click
from absl.testing import absltest
from click.testing import CliRunner

from keras_remote.cli.output import Output, Table, heading, prints

_TABLE = Table(("NAME", "STATE"), [("a[b]", "FAILED"), ("long", "OK")])


@click.command()
@click.option("--times", default=1)
@prints
def shout(out: Output, times: int) -> None:
  """Says something."""
  with out.live():
    sys.stdout.write("of the job\n")
  out.show({"times": times}, heading("Title"), _TABLE)


class OutputTest(absltest.TestCase):
  def test_plain(self) -> None:
    """A pipe gets aligned columns, whole texts and no styles."""
    result = CliRunner().invoke(shout, [])
    self.assertEqual(
      result.stdout,
      "of the job\nTitle\nNAME  STATE\na[b]  FAILED\nlong  OK\n",
    )

  def test_what_a_terminal_would_obey(self) -> None:
    """It is left out, wherever it stands; lines and styles stay."""
    evil = "a\n\x1b[2Jb\x07"

    @click.command()
    @prints
    def told(out: Output) -> None:
      out.show({}, evil, heading("H"), Table((), [(evil,)]))

    result = CliRunner().invoke(told, [], color=True)
    self.assertNotIn("\x1b[2J", result.stdout)
    self.assertStartsWith(result.stdout, "a\n[2Jb\n")

  def test_document(self) -> None:
    """With --json stdout is one document, whatever a job prints meanwhile."""
    result = CliRunner().invoke(shout, ["--json", "--times", "2"])
    self.assertEqual(json.loads(result.stdout), {"times": 2})
    self.assertEqual(result.stderr, "of the job\n")


if __name__ == "__main__":
  absltest.main()
