"""Slices of several hosts, of which one fails, or all are to end."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from absl.testing import absltest, parameterized

import keras_remote
from keras_remote import errors
from keras_remote.core.command import submit_command
from keras_remote.core.handle import JobHandle
from keras_remote.job.state import State
from tests.integration.harness import (
  PROMISED,
  JobTestCase,
  first_process,
  wait_for_text,
)

# The hosts of a group share few cores here; some have to be heard of first.
# It is less than the silence of a heart, 30 s, by which an end is found else.
_PROMISED = PROMISED + 8.0
# Two hosts; seconds within which they surely have begun their call.
_SLICE = "v4-16"
_BEGUN = 10.0


def _host() -> int:
  job = keras_remote.current_job()
  assert job
  return job.host


class FailureTest(JobTestCase):
  """The last host fails while the others wait for it."""

  def submit_failing(
    self, fail: Callable[[], object], accelerator: str, last: int
  ) -> JobHandle[Any]:
    happens = self.stamp()

    def work() -> None:
      import jax
      from jax.experimental import multihost_utils

      multihost_utils.sync_global_devices("all are here")
      if jax.process_index() == last:
        time.sleep(0.5)  # The others wait by now.
        happens()
        fail()
      multihost_utils.sync_global_devices("never")

    job = self.submit(work, accelerator=accelerator)
    self.assert_prompt(job, _PROMISED)
    self.assertEqual(job.outcome().host, last)
    return job

  def test_an_exception_of_one_host(self) -> None:
    """It is raised as itself; the others' errors are only echoes."""

    def fail() -> None:
      raise LookupError("on host 3")

    job = self.submit_failing(fail, "v5e-16", 3)
    error = self.assert_ends(job, State.FAILED, LookupError, "^'?on host 3")
    self.assertEqual(error.__notes__, ["keras_remote: raised on host 3 of 4"])

  def test_a_killed_worker_of_one_host(self) -> None:
    """Its signal is what the job ended by."""
    job = self.submit_failing(
      lambda: os.kill(os.getpid(), signal.SIGKILL), _SLICE, 1
    )
    error = self.assert_ends(job, State.FAILED, errors.WorkerDiedError)
    assert isinstance(error, errors.WorkerDiedError)
    self.assertEqual(error.signal, signal.SIGKILL)

  @parameterized.parameters(0, 1)
  def test_a_first_process_that_is_killed(self, host: int) -> None:
    """Nobody can tell how its host would have ended: the job is lost."""

    def work() -> None:
      print("running", flush=True)
      time.sleep(600)

    job = self.submit(work, accelerator=_SLICE)
    for each in (0, 1):
      wait_for_text(job, "running", each)
    self.stamp()()
    first_process(job, host).kill()
    self.assert_prompt(job, _PROMISED)
    self.assert_ends(job, State.LOST, errors.JobLostError, f"host {host}")


class SavingTest(JobTestCase):
  """All hosts are to end: each has time to save what it has."""

  def work(self, *, returns: bool = False) -> Callable[[], None]:
    """A function that saves when it is told to end, later on host 1.

    Args:
      returns: host 0 has returned by then.
    """
    happens = self.stamp()

    def work() -> None:
      if returns and _host() == 0:
        return
      try:
        print("running", flush=True)
        time.sleep(600)
      finally:
        time.sleep(0.2 + _host())
        print("saved", flush=True)
        happens()

    return work

  def assert_saved(self, job: JobHandle[Any], *hosts: int) -> None:
    for host in hosts:
      # JAX would have more to say.
      self.assertEqual(job.tail(host=host), "running\nsaved")

  def test_a_timeout(self) -> None:
    """Host 0 waits for the others, without which it would end them."""
    job = self.submit(self.work(), accelerator=_SLICE, timeout=_BEGUN)
    self.assert_prompt(job)
    self.assert_ends(job, State.TIMED_OUT, errors.JobTimeoutError)
    self.assert_saved(job, 0, 1)

  def test_a_timeout_when_host_0_has_returned(self) -> None:
    """The others' time is up too; host 0 stays until they have saved."""
    work = self.work(returns=True)
    job = self.submit(work, accelerator=_SLICE, timeout=_BEGUN)
    self.assert_prompt(job)
    self.assert_ends(job, State.TIMED_OUT, errors.JobTimeoutError)
    self.assert_saved(job, 1)

  def test_a_cancel(self) -> None:
    """The ending is there at once, and what the hosts save then is kept."""
    job = self.submit(self.work(), accelerator=_SLICE)
    for host in (0, 1):
      wait_for_text(job, "running", host)
    began = time.time()
    self.assertTrue(job.cancel())
    self.assert_nothing_left(job)
    self.assertLess(time.time() - began, 1.2 + PROMISED)
    self.assert_ends(job, State.CANCELLED, errors.JobCancelledError)
    self.assert_saved(job, 0, 1)


class ReturnTest(JobTestCase):
  def test_the_end_of_the_interpreter(self) -> None:
    """On each host open files are written and exit handlers run.

    All of it is there when the job has ended.
    """

    def work() -> None:
      job = keras_remote.current_job()
      assert job
      path = job.output_dir
      atexit.register(lambda: (path / "left").write_text("whole"))
      kept = (path / "open").open("w")  # noqa: SIM115
      kept.write("whole")
      vars(sys.modules["__main__"])["kept"] = kept

    job = self.submit(work, accelerator=_SLICE)
    job.result(timeout=60)
    self.assertEqual(
      {file.path: file.read_bytes() for file in job.files()},
      dict.fromkeys(("left", "open", "host-1/left", "host-1/open"), b"whole"),
    )

  def test_a_value_that_does_not_count(self) -> None:
    """What host 1 returns need not even be one that can be sent."""
    job = self.submit(
      lambda: threading.Lock() if _host() else "host 0's", accelerator=_SLICE
    )
    self.assertEqual(job.result(timeout=60), "host 0's")


class SpreadTest(JobTestCase):
  """What a group is joined for: one program on all devices of all hosts."""

  def test_a_keras_fit(self) -> None:
    """Each host feeds its own share, and all come to the same weights.

    They start from the same ones, though nobody has set a seed; the loss is
    that of all shares together.
    """

    def fit() -> list[Any]:
      import jax
      import keras
      import numpy as np

      job = keras_remote.current_job()
      assert job
      inputs = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
      share = inputs[job.host :: job.hosts]
      model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
      model.compile(keras.optimizers.SGD(0.1), "mse")
      history = model.fit(share, 3 * share, batch_size=8, verbose=0).history
      weights = [weight.tolist() for weight in model.get_weights()]
      print(weights, history["loss"])
      (kernel, _) = model.weights
      return [jax.process_count(), len(kernel.value.sharding.device_set)]

    job = self.submit(fit, accelerator=_SLICE, distribution="data_parallel")
    self.assertEqual(job.result(timeout=110), [2, 8])
    told = {job.tail(1, host=host) for host in range(2)}
    self.assertLen(told, 1)
    # While the hosts look for each other.
    self.assertIn("keras", job.spec.environment.imports)

  def test_slices(self) -> None:
    """Emulated ones are one group, and each host knows which it is in."""

    def look() -> str:
      import jax

      job = keras_remote.current_job()
      assert job
      print(f"{job.slice} of {job.slices}")
      return f"{jax.process_count()} hosts, {jax.device_count()} devices"

    job = self.submit(look, accelerator=_SLICE, slices=2, retries=1)
    self.assertEqual(job.result(timeout=60), "4 hosts, 16 devices")
    told = [job.tail(1, host=host) for host in range(4)]
    self.assertEqual(told, ["0 of 2", "0 of 2", "1 of 2", "1 of 2"])
    self.assertEqual(job.spec.limits.retries, 1)

  def test_a_gang(self) -> None:
    """Machines of GPUs are a group of as many hosts as they are to be."""

    def count() -> list[int]:
      import jax

      return [jax.process_count(), jax.device_count()]

    job = self.submit(count, accelerator="l4x2", hosts=2)
    self.assertEqual(job.result(timeout=60), [2, 4])


class CommandTest(JobTestCase):
  @parameterized.parameters((_SLICE, 2, 4), ("v5e-8", 1, 8))
  def test_it_joins_the_group(
    self, accelerator: str, hosts: int, chips: int
  ) -> None:
    """A script that initializes JAX without arguments finds all hosts."""
    script = (
      "import jax; jax.distributed.initialize(); print(jax.process_index(),"
      "jax.process_count(), jax.local_device_count(), jax.device_count())"
    )
    command = (sys.executable, "-c", script)
    job = submit_command(command, {"accelerator": accelerator})
    self.addCleanup(self.assert_nothing_left, job)
    job.result(timeout=60)
    for host in range(hosts):
      told = f"{host} {hosts} {chips} {hosts * chips}"
      self.assertIn(told, job.tail(host=host).splitlines())


if __name__ == "__main__":
  absltest.main()
