"""What the hosts of a group run in tests, the same on every backend.

Each is made by a function, as it goes to a job by value: it uses nothing of
this module, and imports what it needs there. No `assert` either, which pytest
would make a call of pytest's.
"""

from collections.abc import Callable
from typing import Any

Work = Callable[..., Any]
# What host 1 prints at once, in characters.
FLOOD = 4_000_000


def counted(function: Work) -> Work:
  """The function; each call leaves a file among the job's."""

  def call(*args: object) -> object:
    import uuid

    import keras_remote

    job: Any = keras_remote.current_job()
    path = job.output_dir / f"called-{uuid.uuid4().hex}"
    path.write_text(str(job.host))
    return function(*args)

  return call


def meeting(store: str, key: str) -> Work:
  """Adds over all devices, once somebody has written to the store.

  Host 1 floods its log and returns before host 0.
  """

  def meet(word: str) -> dict[str, Any]:
    import functools
    import os
    import time

    import jax
    import jax.numpy as jnp

    import keras_remote
    from keras_remote.storage.open import open_store

    job: Any = keras_remote.current_job()
    (job.output_dir / "said").write_text(f"{word} {job.host}")
    if job.host == 1:
      for _ in range(FLOOD // 100):
        print("." * 99)
    print(f"host {job.host} of {job.hosts}", flush=True)
    there = open_store(store)
    while not list(there.list(key, limit=1)):
      time.sleep(0.2)
    mine = jax.local_device_count()
    first = mine * jax.process_index()
    numbers = first + jnp.arange(mine, dtype=jnp.float32)
    add = functools.partial(jax.lax.psum, axis_name="all")
    total = jax.pmap(add, "all")(numbers)
    if job.host == 0:
      time.sleep(1.0)
    return {
      "host": job.host,
      "attempt": job.attempt,
      "process": jax.process_index(),
      "processes": jax.process_count(),
      "devices": jax.device_count(),
      "total": float(total[0]),
      "variable": os.environ["GROUP_VARIABLE"],
      "word": word,
    }

  return meet


def fitting() -> Work:
  """A fit on all devices, after a sum over them; prints the weights."""

  def fit() -> dict[str, Any]:
    import functools
    import time

    import jax
    import jax.numpy as jnp
    import keras
    import numpy as np

    import keras_remote

    job: Any = keras_remote.current_job()
    add = functools.partial(jax.lax.psum, axis_name="all")
    mine = jax.local_device_count()
    first = mine * jax.process_index()
    total = jax.pmap(add, "all")(first + jnp.arange(mine, dtype=jnp.float32))
    inputs = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
    share = inputs[job.host :: job.hosts]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(share, 3 * share, batch_size=8, verbose=0)
    weights = [weight.tolist() for weight in model.get_weights()]
    print("weights:", weights, flush=True)
    time.sleep(0.1 * job.host)
    (kernel, _) = model.weights
    return {
      "host": job.host,
      "processes": jax.process_count(),
      "total": float(total[0]),
      "spread": len(kernel.value.sharding.device_set),
      "weights": weights,
    }

  return fit


def raising() -> Work:
  """Host 1 raises when all others wait for it in a collective."""

  def fail() -> None:
    import time

    import jax
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("all are here")
    if jax.process_index() == 1:
      time.sleep(0.5)
      raise LookupError("of host 1")
    multihost_utils.sync_global_devices("never")

  return fail


def exiting() -> Work:
  """Host 1 exits with 3 when host 0 has returned."""

  def leave() -> str:
    import sys
    import time

    import jax
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("all are here")
    if jax.process_index() == 1:
      time.sleep(1.0)
      sys.exit(3)
    return "host 0 has returned"

  return leave


def lasting() -> Work:
  """Says that it runs, for ever."""

  def last() -> None:
    import time

    print("it runs", flush=True)
    time.sleep(600)

  return last
