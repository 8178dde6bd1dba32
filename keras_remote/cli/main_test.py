"""The command line, as far as it starts no process."""

import json
import os
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from keras_remote.cli.main import cli
from keras_remote.constants import VERSION
from keras_remote.core.options import OPTIONS


class CliTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.home = self.create_tempdir().full_path

  def type(self, *arguments: str, **environ: str) -> Result:
    """What `keras-remote` with these arguments does, in a home of its own."""
    environ = {"KERAS_REMOTE_HOME": self.home, **environ}
    return CliRunner().invoke(
      cli, arguments, prog_name="keras-remote", env=environ
    )

  def document(self, *arguments: str) -> Any:
    """What a command prints as JSON."""
    result = self.type(*arguments, "--json")
    self.assertEqual(result.exit_code, 0, result.output)
    return json.loads(result.stdout)

  # The group.

  def test_help(self) -> None:
    """Help lists every command, each with a sentence."""
    lines = self.type("--help").stdout.splitlines()
    for name in ("run", "jobs", "accelerators", "config", "completion"):
      [line] = [ln for ln in lines if ln.startswith(f"  {name} ")]
      self.assertEndsWith(line, ".")

  @parameterized.parameters("run", "jobs list", "jobs rerun", "config set")
  def test_help_of_commands(self, command: str) -> None:
    """Every command explains itself, in 80 columns."""
    result = self.type(*command.split(), "-h")
    self.assertEqual(result.exit_code, 0)
    self.assertIn("--json", result.stdout)
    self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)

  def test_version(self) -> None:
    """The version is the package's."""
    self.assertEqual(self.type("--version").stdout, f"keras-remote {VERSION}\n")

  def test_unknown_command(self) -> None:
    """A wrong command names the nearest and is a usage error."""
    result = self.type("jbos")
    self.assertEqual(result.exit_code, 2)
    self.assertIn("did you mean 'jobs'?", result.stderr)

  def test_flags_of_run(self) -> None:
    """Every option of a call is a flag of `run`, with its doc."""
    text = " ".join(self.type("run", "--help").stdout.split())
    for option in OPTIONS.values():
      self.assertIn(f"{option.flag} {option.kind.metavar} {option.doc}", text)

  @parameterized.parameters(
    (
      ("--timeout", "5 parsecs", "--", "true"),
      "Error: --timeout: timeout takes",
    ),
    (("--env", "NOVALUE", "--", "true"), "Error: --env: env takes"),
    (
      ("--accelerator", "v5x", "--", "true"),
      "Error: --accelerator: unknown accelerator 'v5x'",
    ),
    (("absent.py:train",), "Error: there is no file absent.py"),
    ((), "Missing argument"),
  )
  def test_run_refuses(self, arguments: tuple[str, ...], error: str) -> None:
    """What is wrong with a run is one line, exit code 2, nothing stored."""
    result = self.type("run", *arguments)
    self.assertEqual(result.exit_code, 2, result.output)
    self.assertIn(error, result.stderr)
    self.assertNotIn("Traceback", result.output)
    self.assertFalse(os.path.exists(f"{self.home}/jobs"))

  # Jobs, where there are none.

  def test_no_jobs(self) -> None:
    """An empty list says so, and is an empty document."""
    self.assertEqual(self.type("jobs", "list").stdout, "No jobs yet.\n")
    self.assertEqual(self.document("jobs", "list"), [])

  @parameterized.parameters("show", "why", "logs", "result", "cancel", "rerun")
  def test_no_such_job(self, command: str) -> None:
    """A job that is not there is exit code 3 and one line."""
    result = self.type("jobs", command, "nope")
    self.assertEqual(result.exit_code, 3)
    self.assertRegex(result.stderr, r"^Error: no job goes by 'nope' .*\n$")
    self.assertEqual(result.stdout, "")

  def test_nothing_to_prune(self) -> None:
    """Where nothing is old nobody is asked."""
    result = self.type("jobs", "prune", "--older-than", "7d")
    self.assertEqual((result.exit_code, result.stdout), (0, "0 jobs removed\n"))
    self.assertEqual(
      self.type("jobs", "prune", "--older-than", "x").exit_code, 2
    )

  # Accelerators.

  def test_kinds(self) -> None:
    """Without a pattern every kind has a line with its names."""
    text = self.type("accelerators").stdout
    self.assertRegex(
      text, r"(?m)^TPU v5e  .* v5e-8 .*… v5e-256 +16 GiB a chip$"
    )
    self.assertRegex(text, r"(?m)^GPU l4  .* l4x2 ")

  def test_pattern(self) -> None:
    """A part of a name, wildcards and other spellings find accelerators."""
    for pattern, names in {
      "h100x": ["h100x2", "h100x4", "h100x8"],
      "v6e-?": ["v6e-1", "v6e-4", "v6e-8"],
      "V5LITEPOD-8": ["v5e-8"],
    }.items():
      lines = self.type("accelerators", pattern).stdout.splitlines()
      self.assertEqual([ln.split()[0] for ln in lines[1:]], names)

  def test_accelerators_as_json(self) -> None:
    """A document has every field of every accelerator."""
    [found] = self.document("accelerators", "v5e-16")
    self.assertEqual((found["chips"], found["hosts"]), (16, 4))

  def test_no_such_accelerator(self) -> None:
    """A pattern without a match says the nearest."""
    result = self.type("accelerators", "v5x-8")
    self.assertEqual(result.exit_code, 2)
    self.assertIn("did you mean", result.stderr)

  # Settings.

  def test_set_and_unset(self) -> None:
    """A value that is set is shown with who says it, until it is unset."""
    self.type("config", "set", "accelerator", "v5e-8")
    self.assertRegex(
      self.type("config", "show").stdout,
      r"(?m)^accelerator +v5e-8 +profile 'default' \(.*config\.toml\)$",
    )
    result = self.type("config", "unset", "accelerator")
    self.assertEqual(
      result.stdout, "accelerator is no longer set in profile 'default'\n"
    )
    shown = self.document("config", "show")
    self.assertEqual(shown["accelerator"], {"value": None, "origin": "default"})

  def test_the_backend_that_calls_use(self) -> None:
    """It is shown as it follows from the others."""
    shown = r"(?m)^backend +{} +default$"
    self.assertRegex(self.type("config", "show").stdout, shown.format("local"))
    self.type("config", "set", "context", "some")
    self.assertRegex(self.type("config", "show").stdout, shown.format("gke"))
    self.type("config", "set", "accelerator", "v5e-16")
    told = self.type("config", "show").stdout
    self.assertRegex(told, shown.format("pathways"))
    self.type("config", "set", "hosts", "3")
    # No slice has so many; who mends it is not kept from looking.
    told = self.type("config", "show").stdout
    self.assertRegex(told, r"(?m)^hosts +3 +profile")

  def test_profiles(self) -> None:
    """A profile is made by its first option, and used when it is chosen."""
    self.type("config", "set", "timeout", "2h", "--profile", "night")
    self.assertEqual(
      self.type("config", "use", "night").stdout, "profile 'night' is active\n"
    )
    lines = self.type("config", "profiles").stdout.splitlines()
    self.assertEqual(lines[2].split(), ["*", "night", "timeout=2h"])
    shown = self.document("config", "show")
    self.assertEqual(shown["timeout"]["value"], 7200)
    self.assertEqual(self.type("config", "use", "day").exit_code, 2)

  def test_values_of_variables(self) -> None:
    """The values of variables, which may be secret, are never shown."""
    self.type("config", "set", "env", "HF_TOKEN=hunter2")
    for command in ("show", "profiles"):
      for flags in ((), ("--json",)):
        text = self.type("config", command, *flags).stdout
        self.assertIn("HF_TOKEN", text)
        self.assertNotIn("hunter2", text)

  def test_passwords_in_addresses(self) -> None:
    """How to log in where packages are is never shown; the place is."""
    Path(self.home, "config.toml").write_text(
      'dependencies = ["six", "--index-url https://a:hunter2@x"]'
    )
    for command in ("show", "profiles"):
      for flags in ((), ("--json",)):
        text = self.type("config", command, *flags).stdout
        self.assertIn("--index-url https://[redacted]@x", text)
        self.assertNotIn("hunter2", text)

  @parameterized.parameters(
    (("set", "acelerator", "l4"), "did you mean 'accelerator'?"),
    (("set", "timeout", "soon"), "timeout takes a time"),
    (("unset", "nope"), "no option is called 'nope'"),
  )
  def test_wrong_settings(self, typed: tuple[str, ...], error: str) -> None:
    """A wrong option or value is one line and exit code 2."""
    result = self.type("config", *typed)
    self.assertEqual(result.exit_code, 2)
    self.assertIn(error, result.stderr)

  # Completion.

  @parameterized.parameters("bash", "zsh", "fish")
  def test_completion_line(self, shell: str) -> None:
    """The line makes the shell ask click, and is all that is printed."""
    [line] = self.type("completion", shell).stdout.splitlines()
    self.assertIn(f"_KERAS_REMOTE_COMPLETE={shell}_source keras-remote", line)

  @parameterized.parameters(
    (["jobs"], "w", ["why"]),
    (["run"], "--time", ["--timeout"]),
    (["run", "--accelerator"], "v6e-1", ["v6e-1", "v6e-16", "v6e-128"]),
    (["run", "--backend"], "lo", ["local"]),
    (["config", "unset"], "acce", ["accelerator"]),
    (["config", "use"], "", ["default"]),
    (["jobs", "show"], "", []),
  )
  def test_completes(
    self, typed: list[str], begun: str, values: list[str]
  ) -> None:
    """Commands, flags and the values of options are completed."""
    shell = ShellComplete(cli, {}, "keras-remote", "_KERAS_REMOTE_COMPLETE")
    items = shell.get_completions(typed, begun)
    self.assertEqual([item.value for item in items], values)


if __name__ == "__main__":
  absltest.main()
