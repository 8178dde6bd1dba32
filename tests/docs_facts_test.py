"""What the docs name is there: commands, flags, options, names, messages."""

import ast
import dataclasses
import json
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from absl.testing import absltest, parameterized

import keras_remote
from docs import hook
from keras_remote import constants, errors
from keras_remote.accelerators.registry import GPUS, TPUS
from keras_remote.accelerators.zones import get_default_zone
from keras_remote.cli import parameters, wanted
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import rights
from keras_remote.cli.main import cli
from keras_remote.core.options import OPTIONS, find
from keras_remote.core.settings import PROFILE_VARIABLE
from tests.docs_pages import (
  DOCS,
  PAGES,
  README,
  ROOT,
  blocks,
  inline,
  label,
)

_REFERENCE = DOCS / "reference"
_SHELL = re.compile(r"\bkeras-remote( [^|>()\n]*)?")
_VARIABLE = re.compile(r"\bKERAS_REMOTE_[A-Z_]*[A-Z]\b")
_FLAG = re.compile(r"--[a-z][a-z-]*")
_ARGUMENT = re.compile(r"([a-z_]+)=")
_OURS = re.compile(r"(?:with )?keras_remote\.(\w+)(?!\w*[./])")
_OF_JOB = re.compile(r"(?:await )?job\.(\w+)")
_CURRENT_JOB = [f.name for f in dataclasses.fields(keras_remote.CurrentJob)]
_ELSEWHERE = re.compile(
  r"<(?:script|link|img|iframe|source)[^>]*"
  r"(?:src|href)=[\"']?(?:https?:)?//[^\"'>]*"
)


def _parse(arguments: list[str]) -> None:
  """Passes for a command that would run.

  Raises:
    click.UsageError: there is no such command, or it takes no such thing.
    KerasRemoteError: an option has no such value.
  """
  command, context, name = _resolved(arguments)
  given = command.make_context(name, arguments, context).params
  if isinstance(command, click.Group):
    raise click.UsageError(f"{name} is no command by itself")
  parameters.parsed({k: v for k, v in given.items() if k in OPTIONS})
  if name in ("up", "add"):
    kinds = given.get("accelerators") or (given.get("accelerator", "cpu"),)
    pools = tuple(wanted.AskedPool(kind).pool() for kind in kinds)
    zone = given["zone"] or get_default_zone()
    InfraConfig("my-project", zone, pools=pools).check_zone()
  if name == "set":
    option = find(given["name"], where=name)
    value = option.parse(option.split(given["value"]), where=name)
    option.check(option.read(value, base=ROOT, where=name), where=name)


def _resolved(
  arguments: list[str],
) -> tuple[click.Command, click.Context, str]:
  """The command that they begin with; takes its name from them."""
  command: click.Command = cli
  context, name = click.Context(cli, **cli.context_settings), "keras-remote"
  while isinstance(command, click.Group) and arguments:
    if arguments[0].startswith("-"):
      break
    context = click.Context(command, context, name)
    found, below, _ = command.resolve_command(context, list(arguments))
    assert found and below
    command, name = below, found
    del arguments[0]
  return command, context, name


def _flags(command: click.Command) -> set[str]:
  context = click.Context(command, **cli.context_settings)
  params = command.get_params(context)
  return {
    flag for param in params for flag in [*param.opts, *param.secondary_opts]
  }


def _commands(page: Path) -> Iterator[tuple[int, list[str]]]:
  """Those of ours in the blocks that are only shown, without the program."""
  for block in blocks(page):
    for line in block.text.splitlines():
      if block.language == "text" and line.startswith("$ "):
        for found in _SHELL.findall(line):
          yield block.line, shlex.split(found, comments=True)


def _literals(file: Path) -> Iterator[str]:
  """Each text of a module; what it is filled with is written "…"."""
  for node in ast.walk(ast.parse(file.read_text())):
    if isinstance(node, ast.JoinedStr):
      yield "".join(
        part.value
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
        else "…"
        for part in node.values
      )
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
      yield node.value


class DocsFactsTest(parameterized.TestCase):
  @parameterized.named_parameters((label(page), page) for page in PAGES)
  def test_what_is_shown_would_run(self, page: Path) -> None:
    """A command of ours that no test runs is parsed by the command line."""
    for line, arguments in _commands(page):
      with self.subTest(f"{page.name}:{line}: {' '.join(arguments)}"):
        _parse(arguments)

  def test_wrong_commands_are_found(self) -> None:
    """Parsing refuses what would not run, so the test above can fail."""
    for wrong in (
      "jobs lst",
      "jobs",
      "jobs show --nothing",
      "jobs prune",
      "run --accelerator v5e-9 -- true",
      "config set tiemout 5m",
      "up --accelerator v5e-9",
      "up --zone us-east1-d --accelerator v5e-8",
      "config set timeout soon",
    ):
      with (
        self.subTest(wrong),
        self.assertRaises((click.UsageError, errors.KerasRemoteError)),
      ):
        _parse(shlex.split(wrong))

  @parameterized.named_parameters((label(page), page) for page in PAGES)
  def test_what_is_named_is_there(self, page: Path) -> None:
    """Commands, flags and options in the text exist."""
    every = {
      flag
      for context in hook.leaves()
      for flag in [*_flags(context.command), "--help"]
    }
    for code in inline(page):
      with self.subTest(f"{page.name}: {code}"):
        if code.startswith("keras-remote "):
          words = shlex.split(code)[1:]
          command, _, _ = _resolved(words)
          ours = words[: words.index("--")] if "--" in words else words
          flags = {word for word in ours if _FLAG.fullmatch(word)}
          self.assertLessEqual(flags, {*_flags(command), "--help"})
        elif flag := _FLAG.match(code):
          self.assertIn(flag[0], every)
        elif argument := _ARGUMENT.match(code):
          self.assertIn(argument[1], OPTIONS)
        elif name := _OURS.match(code):
          self.assertIn(name[1], keras_remote.__all__)
        elif name := _OF_JOB.match(code):
          known = {*dir(keras_remote.JobHandle), *dir(keras_remote.CurrentJob)}
          self.assertIn(name[1], known | set(_CURRENT_JOB))

  @parameterized.named_parameters((label(page), page) for page in PAGES)
  def test_variables(self, page: Path) -> None:
    """Each variable of ours is one that is read."""
    known = {option.variable for option in OPTIONS.values()} | {
      PROFILE_VARIABLE,
      constants.HOME_VARIABLE,
      constants.OUTPUT_DIR_VARIABLE,
    }
    self.assertLessEqual(set(_VARIABLE.findall(page.read_text())), known)

  @parameterized.named_parameters((label(page), page) for page in PAGES)
  def test_toml(self, page: Path) -> None:
    """Each setting in a file that is shown can be set so."""
    for block in blocks(page):
      if "[tool.keras_remote]" in block.text:
        read = tomllib.loads(block.text)["tool"]["keras_remote"]
        for name, value in read.items():
          option = find(name, where=page.name)
          option.check(
            option.read(value, base=ROOT, where=page.name), where=page.name
          )

  def test_options(self) -> None:
    """The reference has each option with its flag and variable."""
    text = (_REFERENCE / "options.md").read_text()
    for option in OPTIONS.values():
      variable = f"`{option.variable}` " if option.variable else ""
      row = f"| `{option.name}` | `{option.flag}` | {variable}| "
      self.assertIn(row, text)

  def test_errors(self) -> None:
    """The reference has each error that a caller can meet."""
    text = (_REFERENCE / "errors.md").read_text()
    for name in keras_remote.__all__:
      if hasattr(errors, name):
        self.assertRegex(text, rf"(?m)^\| (· )?`{name}`|`\w+\.{name}`")

  def test_names(self) -> None:
    """The reference of Python has each public name that is no error."""
    text = (_REFERENCE / "api.md").read_text()
    shown = set(re.findall(r"(?m)^::: keras_remote\.(\w+)$", text))
    public = {name for name in keras_remote.__all__ if name.isidentifier()}
    wanted = {n for n in public if not hasattr(errors, n)} - {"__version__"}
    self.assertEqual(shown, wanted)

  def test_generated_commands(self) -> None:
    """The reference of the command line has each command and each flag."""
    text = hook.commands()
    for context in hook.leaves():
      self.assertIn(f"## {context.command_path}\n", text)
      _, _, section = text.partition(f"## {context.command_path}\n")
      section = section.partition("\n## ")[0]
      for flag in _flags(context.command) - {"--json", "--help", "-h"}:
        if flag.startswith("--") and flag != "--":
          self.assertIn(flag, section, context.command_path)

  def test_generated_accelerators(self) -> None:
    """The reference of accelerators has each kind, its least and its most."""
    text = hook.accelerators()
    sizes = [[*tpu.sizes.values()] for tpu in TPUS.values()]
    counts = [[*gpu.counts.values()] for gpu in GPUS.values()]
    for kind in (*sizes, *counts):
      self.assertIn(f"`{kind[0]}`", text)
      self.assertIn(f"`{kind[-1]}`", text)

  def test_documents(self) -> None:
    """Each command that prints JSON is named by one schema."""
    named: list[str] = []
    for path in DOCS.glob("schemas/*.json"):
      title = json.loads(path.read_text())["title"]
      first, _, others = title.partition(" --json`")
      named.append(first.removeprefix("`keras-remote "))
      named += filter(None, re.split(r", and of |, | and ", others))
    prints = [
      context.command_path.removeprefix("keras-remote ")
      for context in hook.leaves()
      if "--json" in _flags(context.command)
    ]
    self.assertCountEqual(named, prints)

  def test_roles(self) -> None:
    """The guide names each role that making a cluster takes."""
    guide = (DOCS / "guides" / "up-and-down.md").read_text()
    for permissions in rights.MAKING.values():
      for role in permissions.values():
        self.assertIn(f"`roles/{role}`", guide)

  def test_messages(self) -> None:
    """Each message that troubleshooting explains is one that is raised."""
    texts = [
      text
      for file in ROOT.glob("keras_remote/**/*.py")
      if not file.name.endswith("_test.py")
      for text in _literals(file)
    ]
    page = (DOCS / "troubleshooting.md").read_text()
    quoted = re.findall(r"(?m)^> (.+)$", page)
    self.assertNotEmpty(quoted)
    for message in quoted:
      with self.subTest(message):
        self.assertTrue(
          any(message in text for text in texts), f"nobody says: {message}"
        )

  def test_links(self) -> None:
    """README, which is no page of the site, links to files that are there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    self.assertNotEmpty(links)
    for link in links:
      self.assertTrue((ROOT / link).is_file(), link)

  def test_site(self) -> None:
    """It is built without a warning, and fetches nothing from elsewhere."""
    folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
    mkdocs = Path(sys.executable).with_name("mkdocs")
    ran = subprocess.run(
      [mkdocs, "build", "--strict", "--quiet", "--site-dir", folder],
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
    self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
    pages = list(folder.glob("**/*.html"))
    self.assertGreater(len(pages), len(PAGES) - 2)
    for page in pages:
      self.assertIsNone(_ELSEWHERE.search(page.read_text()), page.name)
      self.assertNotIn("<!-- generated", page.read_text())


if __name__ == "__main__":
  absltest.main()
