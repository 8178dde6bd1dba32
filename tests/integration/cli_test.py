"""The command line with real jobs, real pipes and a real terminal."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any

import pexpect
from absl.testing import absltest, parameterized

_COMMAND = str(Path(sys.executable).with_name("keras-remote"))
_PROJECT = {
  "pyproject.toml": "",
  "train.py": """
    import enum
    from pathlib import Path

    class Optimizer(enum.Enum):
      ADAM = 1
      SGD = 2

    def train(lr: float, layers: list[int] = [], optimizer=Optimizer.ADAM,
              out: Path | None = None):
      print("training")
      return {"lr": lr, "layers": layers, "out": out}

    def fail(x: int):
      api_token = "hunter2"
      raise ValueError(f"no good {x}")
    """,
  "command.py": """
    import os, sys
    print("arguments", *sys.argv[1:-1])
    sys.exit(int(sys.argv[-1]))
    """,
  "broken.py": """
    import nowhere_at_all
    """,
  "wait.py": """
    import time
    print("waiting", flush=True)
    time.sleep(60)
    """,
}


class CliTest(parameterized.TestCase):
  home: str
  project: Path

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory()
    cls.addClassCleanup(temporary.cleanup)
    folder = Path(temporary.name)
    cls.home, cls.project = str(folder / "home"), folder / "project"
    cls.project.mkdir()
    for name, text in _PROJECT.items():
      (cls.project / name).write_text(textwrap.dedent(text))

  def environ(self, **more: str) -> dict[str, str]:
    # The terminal itself says how wide it is.
    kept = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    return {**kept, "KERAS_REMOTE_HOME": self.home, **more}

  def type(
    self, *arguments: str, code: int = 0, **environ: str
  ) -> subprocess.CompletedProcess[str]:
    """What `keras-remote` with these arguments does, ending with that code."""
    ran = subprocess.run(
      [_COMMAND, *arguments],
      cwd=self.project,
      env=self.environ(**environ),
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
    )
    self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
    return ran

  def terminal(self, *arguments: str, width: int = 80, **environ: str) -> Any:
    """`keras-remote` with these arguments on a terminal so many columns wide."""
    shown = {"TERM": "xterm-256color", **environ}
    child = pexpect.spawn(
      _COMMAND,
      list(arguments),
      cwd=self.project,
      env=self.environ(**shown),
      dimensions=(24, width),
      encoding="utf-8",
      timeout=30,
    )
    self.addCleanup(child.close)
    return child

  def submit(self, *arguments: str) -> str:
    """The id of a job that was started and left."""
    return self.type("run", "--detach", *arguments).stdout.strip()

  # What starts.

  def test_help_is_light(self) -> None:
    """Help loads neither rich nor what only a call needs."""
    code = """
      import sys
      sys.argv[1:] = ["--help"]
      from keras_remote.cli.main import main
      try: main()
      except SystemExit: pass
      heavy = {"rich", "jax", "keras", "psutil", "keras_remote.core.execution"}
      print(sorted(heavy & set(sys.modules)))
      """
    ran = subprocess.run(
      [sys.executable, "-c", textwrap.dedent(code)],
      capture_output=True,
      text=True,
    )
    self.assertEndsWith(ran.stdout, "\n[]\n", ran.stderr)

  # run.

  def test_command(self) -> None:
    """A command gets its arguments as they are; its exit code is ours."""
    ran = self.type(
      "run", "--", "python", "command.py", "--lr", "1", "7", code=7
    )
    self.assertEqual(ran.stdout, "arguments --lr 1\n")
    self.assertIn("python exited with 7", ran.stderr)

  def test_command_that_is_killed(self) -> None:
    """A command that a signal ends has a shell's exit code for that."""
    kill = "import os; os.kill(os.getpid(), 9)"
    self.type("run", "--", "python", "-c", kill, code=128 + signal.SIGKILL)

  def test_command_that_is_not_there(self) -> None:
    """As in a shell: 127, and the name."""
    ran = self.type("run", "--", "no-such-command", code=127)
    self.assertIn("cannot run no-such-command", ran.stderr)

  def test_script_alone(self) -> None:
    """A script without python is refused, and told both ways."""
    ran = self.type("run", "train.py", code=2)
    self.assertIn("`-- python train.py`", ran.stderr)

  def test_function_of_a_module(self) -> None:
    """Named as other tools name it, it is told how it is named here."""
    ran = self.type("run", "train:train", "lr=1", code=2)
    self.assertIn("write train.py:train", ran.stderr)

  def test_options_behind_the_function(self) -> None:
    """They are told where they belong."""
    ran = self.type("run", "train.py:train", "--tag", "x", code=2)
    self.assertIn("options go before FILE:FUNCTION", ran.stderr)

  def test_function(self) -> None:
    """A function gets typed arguments, and what it returns is printed."""
    ran = self.type("run", "train.py:train", "lr=1e-3", "layers=8,4", "out=x")
    value = "{'lr': 0.001, 'layers': [8, 4], 'out': PosixPath('x')}"
    self.assertEqual(ran.stdout, f"training\n{value}\n")

  def test_function_that_raises(self) -> None:
    """The traceback is the user's alone, and the exit code 1."""
    ran = self.type("run", "train.py:fail", "x=3", code=1)
    self.assertIn("in fail\n    raise ValueError(", ran.stderr)
    self.assertEndsWith(ran.stderr, "\nValueError: no good 3\n")
    self.assertNotRegex(ran.stderr, r"keras_remote[/.](cli|core|runner)")

  def test_document(self) -> None:
    """With --json stdout is one document; what the job prints is on stderr."""
    ran = self.type("run", "--json", "train.py:train", "lr=1")
    found = json.loads(ran.stdout)
    self.assertEqual(found["result"]["lr"], 1)
    self.assertEqual(found["state"], "SUCCEEDED")
    self.assertIn("training\n", ran.stderr)

  def test_document_of_a_failure(self) -> None:
    """With --json a failure too is a document, with its id and its end."""
    ran = self.type("run", "--json", "train.py:fail", "x=3", code=1)
    found = json.loads(ran.stdout)
    self.assertEqual(found["outcome"]["exception_type"], "ValueError")

  @parameterized.parameters(
    ("broken.py:x", "broken.py cannot be imported"),
    ("train.py:trian", "did you mean 'train'?"),
    ("train.py:Optimizer", "Optimizer is a class"),
  )
  def test_nothing_to_call(self, entry: str, error: str) -> None:
    """A file or function that cannot be had is refused in a line."""
    ran = self.type("run", entry, code=2)
    self.assertIn(error, ran.stderr)
    self.assertNotIn("keras_remote/cli", ran.stderr)

  def test_name_of_another_module(self) -> None:
    """A file that hides behind another module is refused, not that called."""
    (self.project / "json.py").write_text("def dumps(): ...")
    self.addCleanup((self.project / "json.py").unlink)
    ran = self.type("run", "json.py:dumps", code=2)
    self.assertIn("has the name of another module", ran.stderr)

  def test_interrupt(self) -> None:
    """Ctrl-C cancels the job, says so, and ends quietly with 130."""
    child = self.terminal(
      "run", "--name", "interrupted", "--", "python", "wait.py"
    )
    child.expect("waiting")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    self.assertIn("cancelled interrupted-", child.before)
    self.assertNotIn("Traceback", child.before)
    self.assertEqual(child.exitstatus, 130)
    self.type("jobs", "result", "interrupted-", code=1)

  def test_terminate(self) -> None:
    """SIGTERM, as CI sends it, cancels the job and ends with 143."""
    child = self.terminal("run", "--name", "ended", "--", "python", "wait.py")
    child.expect("waiting")
    child.kill(signal.SIGTERM)
    child.expect(pexpect.EOF)
    child.close()
    self.assertEqual(child.exitstatus, 143)

  def test_hint(self) -> None:
    """What this machine knows of the failure follows the traceback."""
    (self.project / ".gitignore").write_text("kept.txt")
    (self.project / "kept.txt").touch()
    (self.project / "reads.py").write_text(
      "def reads():\n  return open('kept.txt').read()\n"
    )
    ran = self.type("run", "reads.py:reads", code=1)
    self.assertRegex(
      ran.stderr, r"'kept\.txt'\nError: kept\.txt is kept back by the rule"
    )

  # jobs.

  def test_jobs(self) -> None:
    """A job is listed, shown, explained, and its log and value printed."""
    job_id = self.submit(
      "--tag", "blue", "train.py:train", "lr=2", "layers=1,2"
    )
    value = self.type("jobs", "result", job_id).stdout
    self.assertEqual(value, "{'lr': 2.0, 'layers': [1, 2], 'out': None}\n")
    self.assertEqual(self.type("jobs", "logs", job_id).stdout, "training\n")
    header, line = self.type(
      "jobs", "list", "--tag", "blue"
    ).stdout.splitlines()
    self.assertEqual(
      header.split(), ["JOB", "STATE", "AGE", "ACCELERATOR", "TOOK"]
    )
    self.assertRegex(line, rf"^{job_id} +SUCCEEDED +\d+ s +cpu +\d\.\d s$")
    shown = self.type("jobs", "show", job_id).stdout
    for fact in (r"qualname +train:train", r"lr = 2\.0", r"tags +blue"):
      self.assertRegex(shown, fact)
    why = self.type("jobs", "why", job_id).stdout
    self.assertStartsWith(why, f"{job_id}  SUCCEEDED\n")
    self.assertEqual(
      self.type("jobs", "cancel", job_id).stdout,
      f"{job_id} had ended before: SUCCEEDED\n",
    )

  def test_jobs_as_json(self) -> None:
    """Every command about a job has a document with its id."""
    job_id = self.submit("train.py:train", "lr=3")
    self.type("jobs", "result", job_id)
    for command in ("show", "logs", "result", "cancel"):
      ran = self.type("jobs", command, job_id, "--json")
      self.assertEqual(json.loads(ran.stdout)["id"], job_id)
    why = json.loads(self.type("jobs", "why", job_id, "--json").stdout)
    self.assertEqual((why["job_id"], why["state"]), (job_id, "SUCCEEDED"))
    listed = json.loads(self.type("jobs", "list", "--json").stdout)
    self.assertIn(job_id, [job["id"] for job in listed])

  def test_why(self) -> None:
    """`why` shows the user's frames with their locals, and no secret."""
    job_id = self.submit("train.py:fail", "x=4")
    self.assertIn(
      "ValueError: no good 4",
      self.type("jobs", "result", job_id, code=1).stderr,
    )
    why = self.type("jobs", "why", job_id).stdout
    self.assertIn("attempt 1  ValueError: no good 4 (after ", why)
    self.assertRegex(why, r"train\.py:\d+ in fail\n    raise ValueError")
    self.assertRegex(why, r"\n +x +4\n")
    self.assertRegex(why, r"\n +api_token +\[redacted\]\n")
    self.assertNotIn("hunter2", why)

  def test_value_to_a_file(self) -> None:
    """--output writes the value, pickled."""
    job_id = self.submit("train.py:train", "lr=5")
    path = self.create_tempdir().full_path + "/value.pkl"
    self.type("jobs", "result", job_id, "--output", path)
    self.assertEqual(pickle.loads(Path(path).read_bytes())["lr"], 5)

  def test_tail(self) -> None:
    """--tail gives the last lines, with --follow and then all that comes."""
    count = "for i in range(30): print(i, flush=True)"
    job_id = self.submit("--", "python", "-c", count)
    self.type("jobs", "result", job_id)
    lines = "28\n29\n"
    for flags in ((), ("--follow",)):
      ran = self.type("jobs", "logs", job_id, "--tail", "2", *flags)
      self.assertEqual(ran.stdout, lines)
    ran = self.type("jobs", "logs", job_id, "--host", "1", code=2)
    self.assertIn("has 1 host", ran.stderr)

  def test_follow_and_cancel(self) -> None:
    """`logs -f` ends when somebody cancels the job."""
    job_id = self.submit("--name", "followed", "--", "python", "wait.py")
    child = self.terminal("jobs", "logs", "-f", job_id)
    child.expect("waiting")
    ran = self.type("jobs", "cancel", job_id)
    self.assertEqual(ran.stdout, f"{job_id} is cancelled\n")
    child.expect(pexpect.EOF)

  def test_rerun(self) -> None:
    """A job runs again as it was, with an option changed and its parent."""
    asked = ("--cpu", "0.5", "--memory", "2Gi")
    first = self.submit("--tag", "one", *asked, "train.py:train", "lr=6")
    self.type("jobs", "result", first)
    ran = self.type(
      *("jobs", "rerun", first, "--accelerator", "v5e-4", "--tag", "two"),
      "--json",
    )
    found = json.loads(ran.stdout)
    self.assertEqual(found["result"]["lr"], 6)
    shown = json.loads(self.type("jobs", "show", found["id"], "--json").stdout)
    before = json.loads(self.type("jobs", "show", first, "--json").stdout)
    new, old = shown["spec"], before["spec"]
    self.assertEqual(new["origin"]["parent"], first)
    self.assertEqual(new["origin"]["tags"], ["two"])
    self.assertEqual(new["resources"]["accelerator"], "v5e-4")
    self.assertEqual(new["resources"]["cpu"], "500m")
    self.assertEqual(new["resources"]["memory"], "2Gi")
    for kept in ("payload", "context", "entry"):
      self.assertEqual(new[kept], old[kept])

  def test_rerun_of_a_command(self) -> None:
    """A command runs again too, there and here, with its exit code."""
    ran = self.type("run", "--", "python", "command.py", "x", "5", code=5)
    job_id = re.findall("logs: keras-remote jobs logs (.*)", ran.stderr)[0]
    for flags in ((), ("--local",)):
      ran = self.type("jobs", "rerun", job_id, *flags, code=5)
      self.assertEqual(ran.stdout, "arguments x\n")
    ran = self.type("jobs", "rerun", job_id, "--local", "--json", code=5)
    self.assertEqual(ran.stdout, "")
    self.assertIn("arguments x\n", ran.stderr)

  def test_rerun_needs_the_values(self) -> None:
    """A variable's value is never stored: it is asked for by its name."""
    say = "import os; print(os.environ['WORD'])"
    job_id = self.submit("--env", "WORD=first", "--", "python", "-c", say)
    self.type("jobs", "result", job_id)
    for flags in ((), ("--local",)):
      ran = self.type("jobs", "rerun", job_id, *flags, code=2)
      self.assertIn("was given the variable WORD", ran.stderr)
      ran = self.type("jobs", "rerun", job_id, *flags, WORD="second")
      self.assertEqual(ran.stdout, "second\n")
    ran = self.type("jobs", "rerun", job_id, "--env", "WORD=third")
    self.assertEqual(ran.stdout, "third\n")

  def test_rerun_here(self) -> None:
    """--local calls the function in this process, as it was sent."""
    job_id = self.submit("train.py:fail", "x=8")
    self.type("jobs", "result", job_id, code=1)
    ran = self.type("jobs", "rerun", "--local", job_id, code=1)
    first, place, *_ = ran.stderr.splitlines()
    self.assertStartsWith(first, "Traceback")
    self.assertRegex(place, r"context/train\.py\", line \d+, in fail")
    self.assertIn("\n    raise ValueError(", ran.stderr)
    self.assertEndsWith(ran.stderr, "ValueError: no good 8\n")

  def test_debugger(self) -> None:
    """--pdb opens the debugger where the function raised."""
    job_id = self.submit("train.py:fail", "x=9")
    child = self.terminal("jobs", "rerun", "--local", "--pdb", job_id)
    child.expect(r"\(Pdb\) ")
    child.sendline("p x * 2")
    child.expect("18\r\n")
    child.sendline("q")
    child.expect("ValueError: no good 9")
    child.expect(pexpect.EOF)

  def test_prune(self) -> None:
    """Old jobs go when a person says so, and not without being asked."""
    home = self.create_tempdir().full_path
    self.type("run", "train.py:train", "lr=1", KERAS_REMOTE_HOME=home)
    old = ("jobs", "prune", "--older-than", "0.001s")
    ran = self.type(*old, code=2, KERAS_REMOTE_HOME=home)
    self.assertIn("Remove 1 job for ever: nobody is here", ran.stderr)
    child = self.terminal(*old, KERAS_REMOTE_HOME=home)
    child.expect_exact("Remove 1 job for ever [y/N]: ")
    child.sendline("")
    child.expect_exact("nobody agreed")
    child.expect(pexpect.EOF)
    self.assertEqual(child.wait(), 1)
    ran = self.type(*old, "--yes", KERAS_REMOTE_HOME=home)
    self.assertEqual(ran.stdout, "1 job removed\n")
    ran = self.type("jobs", "list", KERAS_REMOTE_HOME=home)
    self.assertEqual(ran.stdout, "No jobs yet.\n")

  # Pipes and terminals.

  @parameterized.parameters(
    ("accelerators *", 128 + signal.SIGPIPE), ("run -- seq 100000", 0)
  )
  def test_closed_pipe(self, arguments: str, code: int) -> None:
    """Whoever reads may go: nothing is said of it, and a job goes on."""
    reading, writing = os.pipe()
    with subprocess.Popen(
      [_COMMAND, *arguments.split()],
      cwd=self.project,
      env=self.environ(),
      stdout=writing,
      stderr=subprocess.PIPE,
      text=True,
    ) as process:
      os.close(writing)
      os.close(reading)
      _, said = process.communicate()
    self.assertEqual(process.returncode, code)
    for line in said.splitlines():
      self.assertStartsWith(line, "keras_remote: ")

  @parameterized.parameters("jobs list", "run --json -- true")
  def test_closed_stdout(self, arguments: str) -> None:
    """Whoever closed it wants to see nothing, and what is asked is done."""
    ran = subprocess.run(
      ["sh", "-c", f"exec {_COMMAND} {arguments} >&-"],
      cwd=self.project,
      env=self.environ(),
      capture_output=True,
      text=True,
    )
    self.assertEqual(ran.returncode, 0, ran.stderr)
    self.assertNotIn("Traceback", ran.stderr)

  @parameterized.parameters(
    "run -- echo important",
    "run train.py:train lr=1",
    "jobs list",
    "jobs logs",
    "jobs result",
    "jobs show --json",
    "accelerators",
    "--help",
    "jobs --help",
  )
  @unittest.skipUnless(os.path.exists("/dev/full"), "only Linux has /dev/full")
  def test_full_disk(self, arguments: str) -> None:
    """What cannot be written is an error of one line, and an exit code."""
    if arguments.startswith("jobs"):
      self.type("run", "--", "echo", "something to show")
    with open("/dev/full", "w") as full:
      ran = subprocess.run(
        [_COMMAND, *arguments.split()],
        cwd=self.project,
        env=self.environ(),
        stdout=full,
        stderr=subprocess.PIPE,
        text=True,
      )
    self.assertEqual(ran.returncode, 1, ran.stderr)
    *said, error = ran.stderr.splitlines()
    self.assertEqual(
      error, "Error: cannot write the output: No space left on device"
    )
    for line in said:
      self.assertStartsWith(line, "keras_remote: ")

  def test_documents_of_small_commands(self) -> None:
    """Whatever prints has --json."""
    for command in (
      "completion bash",
      "config set timeout 30m --profile documents",
      "config use documents",
      "config show",
      "config profiles",
      "config unset timeout",
      "config use default",
      "jobs prune --older-than 30d --yes",
      "accelerators l4",
    ):
      with self.subTest(command):
        json.loads(self.type(*command.split(), "--json").stdout)

  @parameterized.parameters(80, 40)
  def test_narrow_terminal(self, width: int) -> None:
    """No line is wider, and a long id is whole in a column of its own."""
    tag = f"wide-{width}"
    name = "a-very-long-name-of-a-job-that-somebody-chose"
    job_id = self.submit("--name", name, "--tag", tag, "train.py:train", "lr=1")
    self.type("jobs", "result", job_id)
    child = self.terminal("jobs", "list", "--all", "--tag", tag, width=width)
    child.expect(pexpect.EOF)
    text = re.sub(r"\x1b\[[\d;]*m", "", child.before)
    for line in text.splitlines():
      self.assertLessEqual(len(line), width)
    self.assertLess(len(text.splitlines()), 5)
    column = (line.split("  ")[0] for line in text.splitlines()[1:])
    self.assertEqual("".join(column).strip(), job_id)
    self.assertIn("SUCCEEDED", text)

  def test_colour(self) -> None:
    """A terminal gets colours, but not where NO_COLOR is set."""
    for environ, coloured in (
      (dict[str, str](), True),
      ({"NO_COLOR": "1"}, False),
    ):
      for command in ("accelerators", "accelerators v5e"):
        child = self.terminal(*command.split(), width=80, **environ)
        child.expect(pexpect.EOF)
        self.assertEqual("\x1b" in child.before, coloured)

  def test_completes_job_ids(self) -> None:
    """A shell completes any part of a job's id."""
    job_id = self.submit("--name", "completed", "train.py:train", "lr=1")
    ran = self.type(
      _KERAS_REMOTE_COMPLETE="bash_complete",
      COMP_WORDS="keras-remote jobs show plete",
      COMP_CWORD="3",
    )
    self.assertEqual(ran.stdout, f"plain,{job_id}\n")


if __name__ == "__main__":
  absltest.main()
