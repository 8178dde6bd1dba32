"""What is missing for a call, as its user is told on a terminal and in CI."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
from absl.testing import absltest, parameterized

from keras_remote import constants
from tests.fakes import tls
from tests.fakes.api_server import ApiServer, Request
from tests.fakes.gcs_server import gcs_server
from tests.fakes.google_cloud import GoogleCloud
from tests.integration.harness import ProjectTest

_COMMAND = str(Path(sys.executable).with_name("keras-remote"))
_BUCKET = "keras-remote-test"
_ACCOUNTS = "/api/v1/namespaces/team/serviceaccounts"
_QUEUES = "/apis/kueue.x-k8s.io/v1beta1/namespaces/team/localqueues"
_GOLDEN = Path(__file__).parents[1] / "golden" / "doctor"
_COLOUR = "\x1b["
_SUBMIT = """
import keras_remote

@keras_remote.run
def train():
  return 7

print(train.submit().id)
"""
# As where the package was installed without its extra.
_PLAIN = """
import sys

for name in ("google", "grpc", "kubernetes", "packaging", "requests", "urllib3"):
  sys.modules[name] = None
from keras_remote.cli.main import main

sys.argv[0] = "keras-remote"
main()
"""


def _no_secrets(request: Request) -> int | None:
  made = request.method == "POST" and request.path.endswith("/secrets")
  return 403 if made else None


class PlainTest(ProjectTest, parameterized.TestCase):
  @parameterized.parameters(
    {"KERAS_REMOTE_STORE": "gs://some-bucket"},
    {"KERAS_REMOTE_CONTEXT": "some"},
    {"KERAS_REMOTE_PROJECT": "p", "KERAS_REMOTE_CLUSTER": "c"},
  )
  def test_the_extra_is_not_installed(self, **variables: str) -> None:
    """The broken link says what to install."""
    ran = self.plain("doctor", code=1, **variables)
    self.assertIn(constants.install("gcp"), ran.stdout)

  @parameterized.parameters(
    ("status",), ("status", "--json"), ("init",), ("pool", "list")
  )
  def test_a_command_that_asks_google(self, *command: str) -> None:
    """It is wrong usage, and the sentence says what to install."""
    ran = self.plain(*command, "--project", "my-project", code=2)
    self.assertIn(constants.install("gcp"), ran.stderr)

  def plain(
    self, *arguments: str, code: int, **variables: str
  ) -> subprocess.CompletedProcess[str]:
    """What the command prints without the extra, ending with that code."""
    ran = subprocess.run(
      [sys.executable, "-c", _PLAIN, *arguments],
      cwd=self.project,
      env=self.environ(variables),
      capture_output=True,
      text=True,
      timeout=60,
      check=False,
    )
    self.assertEqual(ran.returncode, code, ran.stderr)
    self.assertNotIn("Traceback", ran.stderr)
    return ran


class DoctorCase(ProjectTest, parameterized.TestCase):
  def doctor(
    self, *arguments: str, code: int = 0, **variables: str
  ) -> subprocess.CompletedProcess[str]:
    """What the command prints to a pipe, ending with that code."""
    ran = subprocess.run(
      [_COMMAND, "doctor", *arguments],
      cwd=self.project,
      env=self.environ(variables),
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      timeout=60,
      check=False,
    )
    self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
    return ran

  def checks(self, *arguments: str, **how: Any) -> dict[str, dict[str, Any]]:
    """The checks of the command's document, by their names."""
    found = json.loads(self.doctor("--json", *arguments, **how).stdout)
    return {check["what"]: check for check in found["checks"]}

  def terminal(self, *command: str, **variables: str) -> Any:
    """The command on a terminal of 80 columns."""
    environ = self.environ({"TERM": "xterm-256color", **variables})
    environ.pop("COLUMNS", None)
    child = pexpect.spawn(
      command[0],
      list(command[1:]),
      cwd=self.project,
      env=environ,
      dimensions=(24, 80),
      encoding="utf-8",
      timeout=60,
    )
    self.addCleanup(child.close)
    return child

  def shown(self, child: Any, code: int) -> str:
    """All that it shows until it ends, with that code."""
    child.expect(pexpect.EOF)
    child.close()
    self.assertEqual(child.exitstatus, code, child.before)
    return child.before


class LocalTest(DoctorCase):
  """On this machine, where a call needs nothing else."""

  def test_all_is_well(self) -> None:
    """Each link says what it saw."""
    printed = self.doctor().stdout
    self.assertEndsWith(printed, "\nall is well\n")
    self.assertNotIn(_COLOUR, printed)
    found = self.checks()
    names = ["Python", "home", "disk", "options", "processes", "store"]
    self.assertEqual(list(found), names)
    self.assertTrue(all(check["ok"] for check in found.values()))

  @parameterized.parameters(False, True)
  def test_a_terminal(self, coloured: bool) -> None:
    """Lines fit into 80 columns, with colour or without."""
    variables = {} if coloured else {"NO_COLOR": "1"}
    child = self.terminal(_COMMAND, "doctor", **variables)
    text = self.shown(child, 0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    self.assertEqual(_COLOUR + "32mok" in text, coloured)
    for line in shown.replace("\r", "\n").split("\n"):
      self.assertLessEqual(len(line), 80, repr(text))
    self.assertIn("all is well", shown)

  def test_settings(self) -> None:
    """What is set is shown with who says it; of variables the names alone."""
    self.write(
      "pyproject.toml",
      """
      [tool.keras_remote]
      timeout = "2h"
      env = {TOKEN = "hunter2"}
      """,
    )
    printed = self.doctor(KERAS_REMOTE_BACKEND="local").stdout
    self.assertRegex(printed, r"backend +local +KERAS_REMOTE_BACKEND")
    self.assertRegex(printed, r"timeout +7200 s +pyproject.toml")
    self.assertNotIn("hunter2", printed)
    document = self.doctor("--json").stdout
    self.assertNotIn("hunter2", document)
    said = json.loads(document)["settings"]["env"]
    self.assertEqual(said["value"], ["TOKEN"])

  def test_settings_that_are_wrong(self) -> None:
    """They are the broken link, and the sentence says who said them."""
    found = self.checks(code=1, KERAS_REMOTE_TIMEOUT="soon")
    self.assertFalse(found["settings"]["ok"])
    self.assertIn("KERAS_REMOTE_TIMEOUT", found["settings"]["sentence"])

  def test_a_home_that_others_can_write_to(self) -> None:
    """It is broken, and `--fix` takes their right away."""
    self.home.mkdir()
    self.home.chmod(0o777)
    found = self.checks(code=1)
    self.assertFalse(found["home"]["ok"])
    self.assertIn("chmod go-w", found["home"]["sentence"])
    self.assertIsNone(found["disk"]["ok"])
    printed = self.doctor("--fix").stdout
    self.assertIn("home: mended", printed)
    self.assertEqual(self.home.stat().st_mode & 0o777, 0o700)
    self.assertTrue(self.checks()["home"]["ok"])

  def test_options_that_do_not_fit(self) -> None:
    """A backend that cannot be opened is a broken link, as its options are."""
    found = self.checks("--backend", "gke", code=1)
    self.assertIn("none is named", found["backend"]["sentence"])


class GoogleTest(DoctorCase):
  """A GKE cluster that answers but runs nothing, and an empty bucket.

  Nobody is logged in; a gcloud of this machine would do it.
  """

  def setUp(self) -> None:
    super().setUp()
    self.cloud = self.enter_context(GoogleCloud())
    server = self.enter_context(ApiServer(tls.identity().context))
    authority = tls.identity().certificate
    self.cloud.add("p", "us-central1-a", "train", server.url, authority)
    server.put(_ACCOUNTS, {"metadata": {"name": "default"}})
    self.server = server
    self.bucket = self.enter_context(gcs_server(_BUCKET))
    self.gcloud()

  def gcloud(self) -> None:
    key = self.cloud.key(self.base)
    folder = self.cloud.environ(self.base)["CLOUDSDK_CONFIG"]
    program = self.base / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text(
      "#!/bin/sh\necho you are logged in\n"
      f"mkdir -p {folder}\n"
      f"cp {key} {folder}/application_default_credentials.json\n"
    )
    program.chmod(0o700)

  def environ(self, variables: dict[str, str]) -> dict[str, str]:
    found = super().environ(
      {
        **self.cloud.environ(self.base),
        "PATH": f"{self.base / 'bin'}:{os.environ['PATH']}",
        "STORAGE_EMULATOR_HOST": self.bucket,
        "KERAS_REMOTE_PROJECT": "p",
        "KERAS_REMOTE_CLUSTER": "train",
        "KERAS_REMOTE_NAMESPACE": "team",
        "KERAS_REMOTE_STORE": f"gs://{_BUCKET}",
        "KERAS_REMOTE_CONTAINER_IMAGE": "image:1",
        **variables,
      }
    )
    found.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    return found

  def submitted(self) -> bool:
    path = "/apis/batch/v1/namespaces/team/jobs"
    return any(
      request.method == "POST" and request.path == path and not request.query
      for request in self.server.requests
    )

  def test_logging_in_on_a_terminal(self) -> None:
    """A call asks once, gcloud does it, and the call goes on."""
    script = self.write("main.py", _SUBMIT)
    child = self.terminal(sys.executable, str(script))
    child.expect("log in now")
    child.sendline("")
    self.assertIn("you are logged in", self.shown(child, 0))
    self.assertTrue(self.submitted())
    again = self.terminal(sys.executable, str(script))
    self.assertNotIn("log in", self.shown(again, 0))

  def test_saying_no(self) -> None:
    """The call fails with what to type, and nothing is sent."""
    script = self.write("main.py", _SUBMIT)
    child = self.terminal(sys.executable, str(script))
    child.expect("log in now")
    child.sendline("n")
    shown = " ".join(self.shown(child, 1).split())
    self.assertIn("gcloud auth application-default login", shown)
    self.assertFalse(self.submitted())

  def test_in_ci(self) -> None:
    """Nobody is asked, on a terminal either: the error says what to set."""
    script = self.write("main.py", _SUBMIT)
    child = self.terminal(sys.executable, str(script), CI="true")
    shown = " ".join(self.shown(child, 1).split())
    self.assertNotIn("log in now", shown)
    self.assertIn("GOOGLE_APPLICATION_CREDENTIALS", shown)
    self.assertFalse(self.submitted())

  def test_no_terminal(self) -> None:
    """Nobody is asked."""
    ran = self.run_script(_SUBMIT)
    self.assertEqual(ran.returncode, 1)
    self.assertIn("gcloud auth application-default login", ran.stderr)
    self.assertNotIn("log in now", ran.stderr)

  def test_doctor_logs_in(self) -> None:
    """`--fix` lets gcloud do it where somebody sits, and only there."""
    found = self.checks("--fix", code=1)
    self.assertFalse(found["Google log-in"]["ok"])
    self.assertIn("needs Google log-in", found["Container API"]["sentence"])
    child = self.terminal(_COMMAND, "doctor", "--fix")
    shown = self.shown(child, 0)
    self.assertIn("Google log-in: mended", shown)
    self.assertIn("all is well", shown)
    found = self.checks()
    self.assertIn("robot@project.example", found["Google log-in"]["sentence"])
    self.assertTrue(found["bucket"]["ok"])

  def test_its_words(self) -> None:
    """What a terminal shows is as the golden files, but for what changes."""
    for name, code, more in (
      ("logged-out", 1, dict[str, str]()),
      ("well", 0, {"KERAS_REMOTE_QUEUE": "nightly"}),
      ("broken", 1, {"KERAS_REMOTE_ZONE": "europe-west4-b"}),
    ):
      if name == "well":
        self.shown(self.terminal(_COMMAND, "doctor", "--fix"), 0)
        self.server.put(_QUEUES, {"metadata": {"name": "nightly"}})
      child = self.terminal(_COMMAND, "doctor", NO_COLOR="1", **more)
      text = self.plain(self.shown(child, code))
      golden = _GOLDEN / f"{name}.txt"
      if not golden.exists():
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
        self.fail(f"{golden} was missing: look at what it is now")
      self.assertEqual(text, golden.read_text())

  def plain(self, shown: str) -> str:
    """What stays of it, without the part of the line that is a spinner."""
    shown = shown[shown.index("settings") :].replace("\r", "")
    # The first link and the home tell of this machine.
    shown = re.sub(r"ok +Python(.|\n)*?(?=ok +options)", "", shown)
    # It ends a sentence: lines break before or after it.
    shown = re.sub(r"in\s+\d+\s+ms\n", "in # ms\n", shown)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:#", shown)

  def test_a_bucket_that_is_missing(self) -> None:
    """The call has a StoreError of its own, with the command that makes it."""
    self.shown(self.terminal(_COMMAND, "doctor", "--fix"), 0)
    ran = self.run_script(_SUBMIT, KERAS_REMOTE_STORE="gs://no-such-bucket")
    self.assertEqual(ran.returncode, 1)
    self.assertRegex(
      ran.stderr, "BucketNotFoundError: .*buckets create gs://no-such-bucket"
    )
    self.assertFalse(self.submitted())

  def test_what_is_lost_later(self) -> None:
    """A right that is taken away after all was well: the error says so."""
    self.shown(self.terminal(_COMMAND, "doctor", "--fix"), 0)
    self.output(_SUBMIT)
    self.server.forbidden = {"create secrets"}
    self.server.remove(_ACCOUNTS, "default")
    self.server.fault = _no_secrets
    ran = self.run_script(_SUBMIT)
    self.assertEqual(ran.returncode, 1)
    self.assertIn("ClusterAccessError", ran.stderr)
    self.assertRegex(ran.stderr, "- rights: you may not create secrets")
    self.assertRegex(ran.stderr, "- service account: .*'default'")
    # From now on it is looked at before.
    requests = len(self.server.requests)
    ran = self.run_script(_SUBMIT)
    self.assertIn("CredentialsError: 2 things are missing", ran.stderr)
    paths = [request.path for request in self.server.requests[requests:]]
    self.assertEmpty([path for path in paths if path.endswith("/secrets")])


if __name__ == "__main__":
  absltest.main()
