"""Groups that hang: the status names the host that holds up the others."""

import contextlib
import io
import itertools
import signal
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from absl.testing import absltest, parameterized

from keras_remote.core import pending
from keras_remote.core.console import Console
from keras_remote.core.handle import JobHandle
from keras_remote.core.job import Job
from keras_remote.job.directory import JobDirectory
from keras_remote.runner import heartbeat
from tests.hang_contract import PATIENCE, HangCase, hanging, sleeps
from tests.integration.harness import (
  JobTestCase,
  first_process,
  processes,
)

_SLICE = "v4-16"


@pytest.mark.timeout(6 * PATIENCE)
class HangTest(HangCase, JobTestCase):
  def submit_hanging(self, hang: Callable[[], object]) -> JobHandle[Any]:
    """A job whose host 1 hangs, while host 0 waits for it."""
    job = self.submit(hanging(hang), accelerator=_SLICE)
    self.addCleanup(_end, job)
    for host in (0, 1):
      self.assert_logged(job, "all are here", host)
    return job

  def test_a_host_that_sleeps_before_a_collective(self) -> None:
    """It is named with its place within 30 s; its stacks are in its log.

    A call that waits for the job says it, once.
    """
    job = self.submit_hanging(sleeps())
    directory = JobDirectory(job._directory.store, job.id)
    shown = io.StringIO()
    waiting = threading.Thread(
      target=_wait,
      args=(Job(job.spec, directory, job._backend), Console(shown, shown)),
    )
    waiting.start()
    self.addCleanup(waiting.join)
    self.addCleanup(job.cancel)
    sentence = self.assert_sleeper_named(job)
    self.assertStartsWith(sentence, "attempt 1 is running, but host 0 has ")
    line = f"keras_remote: {sentence}\n"
    self.wait_for(lambda: line in shown.getvalue(), shown.getvalue)
    job.cancel()
    waiting.join()
    self.assertEqual(shown.getvalue().count(line), 1)

  def test_code_that_keeps_pythons_lock(self) -> None:
    """Its host is named, and its stacks say where that is."""
    job = self.submit_hanging(lambda: sum(itertools.repeat(1)))
    self.sentence(job, "s run code that keeps Python's lock")
    self.assert_logged(job, "in <lambda>", host=1)

  def test_a_host_that_returns_early(self) -> None:
    """The others wait for it in vain: so much is told."""

    def train() -> None:
      import jax
      from jax.experimental import multihost_utils

      multihost_utils.sync_global_devices("all are here")
      if jax.process_index() == 0:
        multihost_utils.sync_global_devices("never")

    job = self.submit(train, accelerator=_SLICE)
    self.addCleanup(_end, job)
    self.sentence(job, "; host 1 has returned")

  @parameterized.parameters(0, 1)
  def test_a_first_process_that_is_stopped(self, host: int) -> None:
    """Its host is named as silent; once it goes on, the hang is told again."""
    job = self.submit_hanging(sleeps())
    first = first_process(job, host)
    first.send_signal(signal.SIGSTOP)
    try:
      sentence = self.sentence(job, f"host {host} has not been heard of")
      self.assertIn(f"more than {heartbeat.SILENCE:g} s", sentence)
    finally:
      first.send_signal(signal.SIGCONT)
    self.sentence(job, "host 1 has been at ")


def _end(job: JobHandle[Any]) -> None:
  """Ends a job whose hosts are deaf to SIGTERM, and would use up its grace."""
  job.cancel()
  for process in processes(job):
    with contextlib.suppress(psutil.Error):
      process.kill()


def _wait(job: Job, console: Console) -> None:
  with contextlib.suppress(TimeoutError):
    pending.ending(job, console, 2 * PATIENCE)


if __name__ == "__main__":
  absltest.main()
