"""Groups that hang: the status names the host that holds up the others."""

import contextlib
import io
import itertools
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
from absl.testing import absltest

from keras_remote.core import pending
from keras_remote.core.console import Console
from keras_remote.core.handle import JobHandle
from keras_remote.core.job import Job
from keras_remote.job.directory import JobDirectory
from keras_remote.runner import heartbeat
from tests.integration.harness import (
  JobTestCase,
  first_process,
  processes,
  wait_for_text,
)

_SLICE = "v4-16"
# A hang is named within these seconds of the others' waiting.
_PROMISED = 30.0
# Seconds for what must come to hold, however busy the machine is.
_PATIENCE = 75.0


class HangTest(JobTestCase):
  def submit_hanging(self, hang: Callable[[], object]) -> JobHandle[Any]:
    """A job whose host 1 hangs, while host 0 waits for it."""
    happens = self.stamp()

    def train() -> None:
      import jax
      from jax.experimental import multihost_utils

      multihost_utils.sync_global_devices("all are here")
      print("all are here", flush=True)
      if jax.process_index() == 1:
        hang()
      else:
        happens()
      multihost_utils.sync_global_devices("never")

    job = self.submit(train, accelerator=_SLICE)
    self.addCleanup(job.cancel)
    for host in (0, 1):
      wait_for_text(job, "all are here", host)
    return job

  def sentence(self, job: JobHandle[Any], text: str) -> str:
    """What the status says, once it says this too."""
    self.wait_for(lambda: text in job.why().sentence, job.why)
    return job.why().sentence

  def assert_logged(self, job: JobHandle[Any], text: str, host: int) -> None:
    def log() -> str:
      return "".join(job.logs(host=host))

    self.wait_for(lambda: text in log(), log)

  def wait_for(
    self, holds: Callable[[], bool], found: Callable[[], object]
  ) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
      self.assertLess(time.monotonic(), deadline, found())
      time.sleep(0.5)

  def test_a_host_that_sleeps_before_a_collective(self) -> None:
    """It is named with its place within 30 s; its stacks are in its log.

    A call that waits for the job says it, once, and so does host 0's log.
    """

    def sleeps() -> None:
      time.sleep(600)

    job = self.submit_hanging(sleeps)
    directory = JobDirectory(job._directory.store, job.id)
    shown = io.StringIO()
    waiting = threading.Thread(
      target=_wait,
      args=(Job(job.spec, directory, job._backend), Console(shown, shown)),
    )
    waiting.start()
    self.addCleanup(waiting.join)
    self.addCleanup(job.cancel)
    number = sleeps.__code__.co_firstlineno + 1
    place = f"hang_test.py:{number} in sleeps"
    sentence = self.sentence(job, place)
    waited = time.time() - float(self.event.read_text())
    self.assertRegex(
      sentence,
      r"^attempt 1 is running, but host 0 has waited in a collective for more "
      rf"than \d+ s; host 1 has been at \S*{place} for more than \d+ s$",
    )
    self.assertLess(waited, _PROMISED)
    self.assert_logged(job, f"line {number} in sleeps", host=1)
    said = sentence.partition("but ")[2]
    self.assert_logged(job, f"[keras_remote: {said}]", host=0)
    line = f"keras_remote: {sentence}\n"
    self.wait_for(lambda: line in shown.getvalue(), shown.getvalue)
    job.cancel()
    waiting.join()
    self.assertEqual(shown.getvalue().count(line), 1)

  def test_code_that_keeps_pythons_lock(self) -> None:
    """Its host is named, and its stacks say where that is."""
    job = self.submit_hanging(lambda: sum(itertools.repeat(1)))
    self.sentence(job, "host 1 has for more than 10 s run code that keeps")
    self.assert_logged(job, "in <lambda>", host=1)
    # Deaf to SIGTERM, it would use up its grace.
    for process in processes(job):
      with contextlib.suppress(psutil.Error):
        process.kill()

  def test_a_host_that_returns_early(self) -> None:
    """The others wait for it in vain: so much is told."""

    def train() -> None:
      import jax
      from jax.experimental import multihost_utils

      multihost_utils.sync_global_devices("all are here")
      if jax.process_index() == 0:
        multihost_utils.sync_global_devices("never")

    job = self.submit(train, accelerator=_SLICE)
    self.addCleanup(job.cancel)
    self.sentence(job, "; host 1 has returned")

  def test_a_first_process_that_is_stopped(self) -> None:
    """Its host is named as silent; once it goes on, nothing is said."""
    job = self.submit_hanging(lambda: time.sleep(600))
    first = first_process(job, 1)
    first.send_signal(signal.SIGSTOP)
    try:
      sentence = self.sentence(job, "host 1 has not been heard of")
      self.assertIn(f"more than {heartbeat.SILENCE:g} s", sentence)
    finally:
      first.send_signal(signal.SIGCONT)
    self.sentence(job, "host 1 has been at ")


def _wait(job: Job, console: Console) -> None:
  with contextlib.suppress(TimeoutError):
    pending.ending(job, console, 2 * _PATIENCE)


if __name__ == "__main__":
  absltest.main()
