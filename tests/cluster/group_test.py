"""One function on several hosts of a real cluster, on each backend there."""

from collections.abc import Callable
from typing import Any

import pytest
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  PODS,
  ROLES,
  SECRETS,
  SETS,
)
from keras_remote.core.handle import JobHandle
from keras_remote.job.state import State
from tests.cluster.calls import CallTest, wait_until
from tests.cluster.job_image import job_image
from tests.fakes.environment import environment

# Two cores pull an image of 600 MB onto several nodes, and start each host.
_SECONDS = 400
_BACKENDS = ("gke", "pathways")
# What stands for the chips, which nobody has here.
_CHIPS = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
_KINDS = (JOBS, PODS, SETS, ACCOUNTS, ROLES, BINDINGS, SECRETS)


def _sums() -> Callable[[], dict[str, Any]]:
  """A function that says who it is, and adds over all devices."""

  def sums() -> dict[str, Any]:
    import functools

    import jax
    import jax.numpy as jnp

    import keras_remote

    # No assert: pytest makes it a call of pytest's.
    job: Any = keras_remote.current_job()
    print(f"host {job.host} of {job.hosts}", flush=True)
    mine = jax.local_device_count()
    first = mine * jax.process_index()
    numbers = first + jnp.arange(mine, dtype=jnp.float32)
    add = functools.partial(jax.lax.psum, axis_name="all")
    total = jax.pmap(add, "all")(numbers)
    return {
      "host": job.host,
      "process": jax.process_index(),
      "processes": jax.process_count(),
      "devices": jax.device_count(),
      "total": float(total[0]),
    }

  return sums


@pytest.mark.timeout(_SECONDS + 60)
class GroupTest(CallTest):
  """The same function and the same expectations, whatever the backend."""

  def setUp(self) -> None:
    super().setUp()
    image = job_image("jax", "keras")
    self.enter_context(environment(KERAS_REMOTE_CONTAINER_IMAGE=image))

  def told(self, job: JobHandle[Any], hosts: int) -> dict[str, Any]:
    """What host 0 has returned, of a function that each host has called."""
    value = job.result(timeout=_SECONDS)
    self.assertEqual(job.status(), State.SUCCEEDED)
    self.assertEqual((self.calls(job), job.outcome().attempt), (hosts, 1))
    for host in range(hosts):
      said = "".join(job.logs(host=host))
      self.assertIn(f"host {host} of {hosts}", said)
    return value

  def assert_released(self, job: JobHandle[Any]) -> None:
    """Nothing of it takes a machine any more, and nothing is to be removed."""
    there = open_cluster(self.cluster.context, self.namespace)

    def left() -> list[str]:
      selector = pods.selector(job.id)
      found = [
        (kind.plural, each)
        for kind in _KINDS
        for each in there.list(kind, selector).items
      ]
      return [
        f"{plural} {each['metadata']['name']}"
        for plural, each in found
        if _is_left(job, plural, each)
      ]

    wait_until(lambda: not left(), f"left: {left()}")

  @parameterized.parameters(*_BACKENDS)
  def test_two_machines(self, backend: str) -> None:
    """They are one runtime, whose sum is right, and go when it is over."""
    job = self.submit(_sums(), backend=backend, accelerator="cpu:2", hosts=2)
    value = self.told(job, 2)
    self.assertEqual(
      value,
      {"host": 0, "process": 0, "processes": 2, "devices": 4, "total": 6.0},
    )
    self.assert_released(job)

  @parameterized.parameters(*_BACKENDS)
  def test_a_slice(self, backend: str) -> None:
    """Four hosts of four chips, in one pool of the two that there are."""
    job = self.submit(
      _sums(), backend=backend, accelerator="v5e-16", env=_CHIPS
    )
    value = self.told(job, 4)
    self.assertEqual(
      value,
      {
        "host": 0,
        "process": 0,
        "processes": 4,
        "devices": 16,
        "total": float(sum(range(16))),
      },
    )
    self.assert_released(job)

  @parameterized.parameters(*_BACKENDS)
  def test_cancelling(self, backend: str) -> None:
    """All hosts end, and nothing of them is left."""
    job = self.submit(
      self.until_told, backend=backend, accelerator="cpu", hosts=2
    )
    wait_until(
      lambda: self.calls(job) == 2, "not all hosts are called", _SECONDS
    )
    job.cancel()
    with self.assertRaises(errors.JobCancelledError):
      job.result(timeout=_SECONDS)
    self.assert_released(job)


def _is_left(job: JobHandle[Any], plural: str, found: Any) -> bool:
  """Whether an object of an ended job is one too many.

  A Job with pods that have ended is kept for a day, with its Secret.
  """
  if job.spec.target.backend == "pathways":
    return True
  running = found.get("status", {}).get("phase") in ("Pending", "Running")
  return plural == "pods" and running


if __name__ == "__main__":
  absltest.main()
