"""The group of hosts that the function's JAX runtime spans."""

import math
import re

# What the survivors of a group say when another host is gone; seen with
# jax 0.10 and its gloo collectives.
_ECHO = re.compile(
  r"(?i)connection (closed|reset|refused)|gloo|collective|barrier|heartbeat"
  r"|coordination service|coordinator|UNAVAILABLE|DEADLINE_EXCEEDED"
)


def join_group(coordinator: str, host: int, hosts: int, timeout: float) -> None:
  """Joins this process to the JAX runtime of its group.

  Raises:
    RuntimeError: the group did not form within `timeout` seconds.
  """
  import jax

  jax.distributed.initialize(
    coordinator,
    num_processes=hosts,
    process_id=host,
    initialization_timeout=math.ceil(timeout),
    # Arguments say all: what else JAX might detect here is not our group.
    cluster_detection_method="deactivate",
  )


def distribute(seed: int | None) -> None:
  """Has Keras split batches over all devices of the group, until told else.

  It comes before there is any variable of Keras, as each stays what it was
  made as. What a host is given to fit is its own part of the data, whatever
  that is: Keras could split tf.data alone, and would refuse all else.

  Args:
    seed: of the random numbers of all hosts, which are to make the same
      weights; None where there is one host, whose numbers stay its own.

  Raises:
    ModuleNotFoundError: there is no Keras.
  """
  try:
    import keras
  except ModuleNotFoundError as error:
    error.add_note(
      'distribution="data_parallel" needs keras where the job runs: name it in '
      "dependencies="
    )
    raise
  if seed is not None:
    keras.utils.set_random_seed(seed)
  everywhere = keras.distribution.DataParallel(auto_shard_dataset=False)
  keras.distribution.set_distribution(everywhere)


def leave_group() -> None:
  """Leaves the group's JAX runtime, when all of its hosts do."""
  import jax

  jax.distributed.shutdown()


def is_echo(exception: BaseException) -> bool:
  """Whether the exception only says that another host of the group failed.

  Also where it was raised because of such a one, or while one was handled.
  """
  seen: set[int] = set()  # A chain may lead back into itself.
  error: BaseException | None = exception
  while error is not None and id(error) not in seen:
    if str(type(error).__module__).startswith("jax") and _ECHO.search(
      str(error)
    ):
      return True
    seen.add(id(error))
    cause = error.__cause__
    error = error.__context__ if cause is None else cause
  return False
