"""What holds up a group that runs, for whoever looks at its job."""

from collections.abc import Callable

from keras_remote import clock, errors
from keras_remote.backend.base import Observation
from keras_remote.job.directory import JobDirectory
from keras_remote.job.state import State

# Between two looks: stores cannot push.
SECONDS = 5.0


class HangLook:
  """Looks at the newest attempt of a group, at most every `SECONDS`.

  Args:
    now: seconds on this process's own clock.
  """

  def __init__(
    self,
    directory: JobDirectory,
    now: Callable[[], float] = clock.monotonic,
  ) -> None:
    self._directory = directory
    self._now = now
    self._seen: tuple[int, float] | None = None
    self._sentence = ""

  def sentence(self, attempt: int) -> str:
    """Which host holds up the others; "" where none does, as far as is known.

    Args:
      attempt: the newest.
    """
    now = self._now()
    if (
      self._seen is None
      or self._seen[0] != attempt
      or now - self._seen[1] >= SECONDS
    ):
      self._seen = attempt, now
      self._sentence = sentence(self._directory, attempt)
    return self._sentence


def sentence(directory: JobDirectory, attempt: int) -> str:
  """The same, as it is stored now; a look that fails has seen nothing."""
  try:
    hang = directory.hang(attempt)
  except errors.StoreError:
    return ""
  return hang.sentence if hang else ""


def running(attempt: int, hang: str = "") -> Observation:
  """An attempt that runs, and what holds it up, if anything does."""
  said = f"attempt {attempt} is running"
  return Observation(
    State.RUNNING, f"{said}, but {hang}" if hang else said, held_up=bool(hang)
  )
