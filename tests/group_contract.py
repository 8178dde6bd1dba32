"""What a group of hosts promises, as one suite for every backend.

A backend's own test module makes a subclass of `GroupContract`; what runs is
in `group_functions.py`.
"""

import ast
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from absl.testing import parameterized

import keras_remote
from keras_remote import errors
from keras_remote.core.handle import JobHandle
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Outcome
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests import group_functions as functions

_KEY = "told"
_LOOK = 0.1
_COMMAND = str(Path(sys.executable).with_name("keras-remote"))
# Prints what all hosts print, as they do, and then the value.
_ATTACH = """
import sys
import keras_remote
job = keras_remote.attach(sys.argv[1])
job.show_logs(follow=True)
print(job.result(timeout=float(sys.argv[2])))
"""
# Submits a call, says its id, and stays.
_SUBMIT = """
import json, sys, time
import keras_remote
from tests import group_functions
options = json.loads(sys.argv[1])
fit = group_functions.counted(group_functions.fitting())
job = keras_remote.run(**options)(fit).submit()
print(json.dumps([job.id, job.spec.target.store]), flush=True)
time.sleep(3600)
"""


class GroupContract(parameterized.TestCase):
  """A subclass says where, and what is left of a job there.

  Attributes:
    backend: its name.
    seconds: within which a group surely starts, or ends.
    gone: seconds after the outcome within which its machines are free.
    everywhere: options that every call needs.
    project: a folder that is sent with each call.
    signs: a store that this process and the jobs reach.
  """

  backend: ClassVar[str]
  seconds: ClassVar[float]
  gone: ClassVar[float]
  everywhere: Mapping[str, Any]
  project: Path
  signs: str

  def left(self, job_id: str) -> Sequence[str]:
    """What of the job still takes a machine, or is to be removed."""
    raise AssertionError("a subclass says")

  def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
    env = {**self.everywhere.get("env", {}), **options.get("env", {})}
    return {"backend": self.backend, **self.everywhere, **options, "env": env}

  def two(
    self, work: functions.Work, *args: object, **options: Any
  ) -> JobHandle[Any]:
    """The call on two machines, of two devices each."""
    options = self._options({"accelerator": "cpu:2", "hosts": 2, **options})
    call = keras_remote.run(**options)(functions.counted(work))
    return call.submit(*args)

  def submit_and_die(self, **options: Any) -> JobDirectory:
    """The job of a client that is killed once it has submitted its call."""
    argv = (sys.executable, "-c", _SUBMIT, json.dumps(self._options(options)))
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
      argv,
      cwd=self.project,
      env={**os.environ, "PYTHONPATH": root},
      stdout=subprocess.PIPE,
      text=True,
    ) as client:
      assert client.stdout
      line = client.stdout.readline()
      client.kill()
    job_id, store = json.loads(line)
    return JobDirectory(open_store(store), job_id)

  def wait_until(self, holds: Callable[[], Any], message: str) -> Any:
    deadline = time.monotonic() + self.seconds
    while not (found := holds()):
      if time.monotonic() > deadline:
        self.fail(message)
      time.sleep(_LOOK)
    return found

  def assert_released(self, job: JobHandle[Any]) -> None:
    """Nothing of it takes a machine any more, nor is it called again."""
    self.wait_until(lambda: not self.left(job.id), "something of it is left")

  def assert_called_once(self, job: JobHandle[Any]) -> None:
    """Each host has called, once, as the job's directory tells."""
    hosts = job.spec.resources.hosts
    calls = collections.Counter(
      file.read_bytes().decode()
      for file in job.files()
      if "called-" in file.path
    )
    self.assertEqual(calls, {str(host): 1 for host in range(hosts)})

  def assert_fails(
    self, job: JobHandle[Any], state: State, error: type[BaseException]
  ) -> Outcome:
    """It ends so, on its only attempt, and frees its machines."""
    with self.assertRaises(error) as caught:
      job.result(timeout=self.seconds)
    self.assertIs(type(caught.exception), error)
    self.assertEqual(job.status(), state)
    self.assert_released(job)
    return job.outcome()

  def test_two_machines(self) -> None:
    """They are one runtime; another process sees both, and the value.

    Though one floods its log, the other is seen meanwhile; and one may return
    before the other.
    """
    meet = functions.meeting(self.signs, _KEY)
    job = self.two(meet, "hello", env={"GROUP_VARIABLE": "given"})
    self.assertEqual(job.spec.resources.hosts, 2)  # From here on it is found.
    command = (sys.executable, "-c", _ATTACH, job.id, str(self.seconds))
    with (
      subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
      contextlib.ExitStack() as stack,
    ):
      stack.callback(other.kill)
      assert other.stdout
      missing = {f"[host {host}] host {host} of 2\n" for host in (0, 1)}
      for line in other.stdout:
        missing.discard(line)
        if not missing:
          break
      self.assertEmpty(missing)
      open_store(self.signs).write(_KEY, b"")
      *_, value = other.stdout
      other.wait(self.seconds)
    self.assertEqual(other.returncode, 0)
    expected = {
      "host": 0,
      "attempt": 1,
      "process": 0,
      "processes": 2,
      "devices": 4,
      "total": 6.0,
      "variable": "given",
      "word": "hello",
    }
    self.assertEqual(ast.literal_eval(value), expected)
    self.assertEqual(job.result(timeout=self.seconds), expected)
    self.assertEqual(job.status(), State.SUCCEEDED)
    self.assert_called_once(job)
    said = {file.path: file.read_bytes() for file in job.files()}
    self.assertEqual(said["said"], b"hello 0")
    self.assertEqual(said["host-1/said"], b"hello 1")
    self.assertIn("host 0 of 2", "".join(job.logs(host=0)))
    self.assertNotIn("....", "".join(job.logs(host=0)))
    whole = subprocess.run(
      (_COMMAND, "jobs", "logs", job.id, "--host", "1"),
      capture_output=True,
      text=True,
      timeout=self.seconds,
      check=True,
    ).stdout
    self.assertGreaterEqual(len(whole), functions.FLOOD)
    self.assertIn("host 1 of 2", whole[functions.FLOOD :])
    self.assert_released(job)

  def test_a_slice(self) -> None:
    """Four hosts of four chips are 16, though the client is killed.

    Each host feeds its own share to a fit and comes to the same weights; host
    0's value is the job's, and its machines are free soon after.
    """
    directory = self.submit_and_die(
      accelerator="v5e-16", distribution="data_parallel"
    )
    job_id = directory.job_id
    # It only looks: what it finds is what the job's own processes have done.
    outcome = self.wait_until(directory.outcome, f"{job_id} has no outcome")
    self.wait_until(lambda: not self.left(job_id), "something of it is left")
    took = time.time() - datetime.fromisoformat(outcome.ended).timestamp()
    print(f"{self.backend}: free {took:.1f} s after the outcome", flush=True)
    self.assertEqual(outcome.state, State.SUCCEEDED, outcome.message)
    self.assertLess(took, self.gone)
    job = keras_remote.attach(job_id)
    value = job.result(timeout=self.seconds)
    weights = value.pop("weights")
    self.assertEqual(
      value,
      {"host": 0, "processes": 4, "total": float(sum(range(16))), "spread": 16},
    )
    for host in range(4):
      (said,) = re.findall(
        r"^weights: (.*)$", job.tail(host=host), re.MULTILINE
      )
      self.assertEqual(ast.literal_eval(said), weights)
    self.assert_called_once(job)

  def test_an_exception(self) -> None:
    """The cause is raised, not its echoes; whose they are is said."""
    job = self.two(functions.raising())
    outcome = self.assert_fails(job, State.FAILED, LookupError)
    self.assertEqual((outcome.host, outcome.attempt), (1, 1))
    # Host 0 may have been ended before its collective has failed.
    self.assertRegex(
      outcome.message, r"^'?of host 1'?( \(host 0 then lost the connection.*)?$"
    )
    self.assert_called_once(job)

  def test_an_exit(self) -> None:
    """It is the job's ending, though another host has returned before."""
    job = self.two(functions.exiting())
    outcome = self.assert_fails(job, State.FAILED, errors.RemoteError)
    self.assertEqual((outcome.host, outcome.exit_code), (1, 3))
    self.assertIn("host 1", outcome.message)

  def test_a_cancel(self) -> None:
    """All hosts end, and nothing of them is left."""
    job = self.two(functions.lasting())
    for host in (0, 1):
      self.wait_until(
        lambda host=host: "it runs" in job.tail(host=host),
        f"host {host} does not run",
      )
    self.assertTrue(job.cancel())
    self.assert_fails(job, State.CANCELLED, errors.JobCancelledError)
    self.assert_called_once(job)

  def test_a_timeout(self) -> None:
    """The time is up for all hosts."""
    job = self.two(functions.lasting(), timeout=10)
    self.assert_fails(job, State.TIMED_OUT, errors.JobTimeoutError)
