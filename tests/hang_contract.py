"""What must be said of a group that hangs, whatever its backend."""

import re
import time
from collections.abc import Callable
from typing import Any

from absl.testing import absltest

from keras_remote.core.handle import JobHandle

# A hang is named within these seconds of the others' waiting.
PROMISED = 30.0
# Seconds for what must come to hold, however busy the machine is.
PATIENCE = 150.0


def hanging(hang: Callable[[], object]) -> Callable[[], None]:
  """A function of two hosts: host 1 hangs, while host 0 waits for it.

  Host 0 prints since when.
  """

  def train() -> None:
    import time

    import jax
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("all are here")
    print("all are here", flush=True)
    if jax.process_index() == 1:
      hang()
    print(f"waits from {time.time()}", flush=True)
    multihost_utils.sync_global_devices("never")

  return train


def sleeps() -> Callable[[], None]:
  """What host 1 does of the group that `assert_sleeper_named` takes."""

  def sleeper() -> None:
    import time

    time.sleep(600)

  return sleeper


class HangCase(absltest.TestCase):
  def sentence(self, job: JobHandle[Any], text: str) -> str:
    """What the status says, once it says this too."""
    self.wait_for(lambda: text in job.why().sentence, job.why)
    return job.why().sentence

  def assert_logged(self, job: JobHandle[Any], text: str, host: int) -> None:
    self.wait_for(lambda: text in _log(job, host), lambda: _log(job, host))

  def wait_for(
    self, holds: Callable[[], bool], found: Callable[[], object]
  ) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
      self.assertLess(time.monotonic(), deadline, found())
      time.sleep(0.5)

  def assert_sleeper_named(self, job: JobHandle[Any]) -> str:
    """Host 1 is named with its place within 30 s; its stacks are in its log.

    Host 0's log says it too, and what each host does is there to be shown.

    Returns:
      the sentence.
    """
    number = sleeps().__code__.co_firstlineno + 3
    place = f"hang_contract.py:{number} in sleeper"
    sentence = self.sentence(job, place)
    named = time.time()
    self.assertRegex(
      sentence,
      r", but host 0 has waited in a collective for more than \d+ s; host 1 "
      rf"has been at \S*{place} for more than \d+ s$",
    )
    began = re.search(r"waits from (\S+)", _log(job, 0))
    assert began
    self.assertLess(named - float(began[1]), PROMISED)
    self.assert_logged(job, f"line {number} in sleeper", host=1)
    self.assert_logged(
      job, f"[keras_remote: {sentence.partition(', but ')[2]}]", host=0
    )
    waits, sleeper = job.why().hosts
    self.assertIn("it waits in a collective at ", waits)
    self.assertRegex(sleeper, rf"it runs at \S*{place}")
    return sentence


def _log(job: JobHandle[Any], host: int) -> str:
  return "".join(job.logs(host=host))
