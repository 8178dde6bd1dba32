"""`keras-remote jobs show` and `why` of a group, as far as it starts no process."""

import dataclasses
import json
from pathlib import Path

from absl.testing import absltest
from click.testing import CliRunner

from keras_remote.cli.main import cli
from keras_remote.home import ensure
from keras_remote.job import endings
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import At, Doing
from keras_remote.job.outcome import Cause, HostReport
from keras_remote.job.spec import Target
from keras_remote.storage.open import open_store
from tests.fakes.specs import JOB_ID, job_spec

_HOSTS = 4


class HostsTest(absltest.TestCase):
  """A group whose processes are elsewhere, of which only the store tells."""

  def setUp(self) -> None:
    super().setUp()
    self.home = ensure(Path(self.create_tempdir().full_path) / "home")
    store = open_store(str(self.home))
    spec = dataclasses.replace(
      job_spec(accelerator="v5e-16", hosts=_HOSTS),
      target=Target("local", store.uri, "elsewhere:/home"),
    )
    self.directory = JobDirectory(store, JOB_ID, b"key")
    self.directory.create_spec(spec, b"key")
    endings.claim(
      self.directory, spec, b"key", allocation="theirs", members=tuple("abcd")
    )

  def shown(self, *arguments: str) -> str:
    return self.said("show", *arguments)

  def said(self, command: str, *arguments: str) -> str:
    ran = CliRunner().invoke(
      cli,
      ("jobs", command, JOB_ID, *arguments),
      prog_name="keras-remote",
      env={"KERAS_REMOTE_HOME": str(self.home)},
    )
    self.assertEqual(ran.exit_code, 0, ran.output)
    return ran.stdout

  def test_what_each_host_does(self) -> None:
    """It has a line for each, and a list in JSON, while the job runs."""
    waits = Doing(At.WAITS, "train.py:20", "step", 15)
    runs = Doing(At.RUNS, "train.py:12", "load", 20)
    self.directory.write_doing(1, 0, waits)
    self.directory.write_doing(1, 1, runs)
    self.directory.create_host_report(
      HostReport(attempt=1, host=2, cause=Cause.RETURNED, message="")
    )
    hosts = [
      "it waits in a collective at train.py:20 in step",
      "it runs at train.py:12 in load",
      "returned",
      "it runs",
    ]
    self.assertEqual(json.loads(self.shown("--json"))["hosts"], hosts)
    text = self.shown()
    _, title, section = text.partition("\nhosts\n")
    self.assertTrue(title, text)
    lines = [line.strip() for line in section.splitlines()[:_HOSTS]]
    expected = [f"{host} {told}" for host, told in enumerate(hosts)]
    self.assertEqual([" ".join(line.split()) for line in lines], expected)

  def test_which_host_raised(self) -> None:
    """`why` names it, though the others have said nothing."""
    self.directory.create_host_report(
      HostReport(
        attempt=1,
        host=2,
        cause=Cause.EXCEPTION,
        message="no good",
        exception_type="builtins.ValueError",
      )
    )
    self.assertIn("attempt 1, host 2  ValueError: no good", self.said("why"))


if __name__ == "__main__":
  absltest.main()
