"""What Ctrl-C, SIGTERM and a hang-up do to a call that blocks."""

import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pexpect
from absl.testing import parameterized

import keras_remote
from keras_remote.job.state import State

_SCRIPT = textwrap.dedent("""
  import time
  import keras_remote

  @keras_remote.run
  def train():
    try:
      print("training", flush=True)
      time.sleep(600)
    finally:
      print("saved", flush=True)

  train()
""")


class InterruptTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.project = Path(self.create_tempdir().full_path)
    (self.project / "train.py").write_text(_SCRIPT)
    home = self.create_tempdir().full_path
    os.chmod(home, 0o700)
    before = os.environ["KERAS_REMOTE_HOME"]
    os.environ["KERAS_REMOTE_HOME"] = home
    self.addCleanup(os.environ.__setitem__, "KERAS_REMOTE_HOME", before)

  def _client(self) -> "pexpect.spawn[str]":
    client = pexpect.spawn(
      sys.executable,
      ["train.py"],
      cwd=str(self.project),
      timeout=30,
      encoding="utf-8",
      dimensions=(24, 80),
    )
    client.expect("training")
    return client

  def test_ctrl_c_at_a_terminal_cancels(self) -> None:
    """The job is cancelled, that is said, and the client ends as Ctrl-C does."""
    client = self._client()
    client.sendintr()
    client.expect("cancelled train-")
    client.expect("KeyboardInterrupt")
    client.expect(pexpect.EOF)
    job = keras_remote.attach()
    with self.assertRaises(keras_remote.JobCancelledError):
      job.result(timeout=30)
    self.assertEqual(job.status(), State.CANCELLED)

  def test_sigterm_cancels(self) -> None:
    """CI that stops a step leaves nothing running."""
    client = self._client()
    client.kill(signal.SIGTERM)
    client.expect("cancelled train-")
    client.expect(pexpect.EOF)
    client.wait()
    self.assertEqual(client.exitstatus, 128 + signal.SIGTERM)
    self.assertEqual(keras_remote.attach().status(), State.CANCELLED)

  @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
  def test_while_the_job_is_being_submitted(self, number: int) -> None:
    """A job that nobody has seen yet is not left running either."""
    for index in range(3000):
      (self.project / f"{index}.txt").write_text("x" * 5000)
    client = pexpect.spawn(
      sys.executable,
      ["train.py"],
      cwd=str(self.project),
      timeout=30,
      encoding="utf-8",
    )
    preparing = Path(os.environ["KERAS_REMOTE_HOME"], "preparing")
    deadline = time.monotonic() + 20
    while not (preparing.exists() and list(preparing.iterdir())):
      self.assertLess(time.monotonic(), deadline)
    client.kill(number)
    client.expect("cancelled train-")
    client.expect(pexpect.EOF)
    for job in keras_remote.list_jobs():
      self.assertEqual(job.state, State.CANCELLED)

  def test_a_hang_up_leaves_the_job(self) -> None:
    """A closed terminal is no reason to lose a training run."""
    client = self._client()
    client.kill(signal.SIGHUP)
    client.expect(pexpect.EOF)
    job = keras_remote.attach()
    self.assertEqual(job.status(), State.RUNNING)
    self.assertTrue(job.cancel())
    job.outcome(timeout=30)
