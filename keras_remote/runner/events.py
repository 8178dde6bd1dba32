"""What a first process waits for."""

from typing import Any

from keras_remote.job.outcome import HostReport, Outcome


class ChildEnded:
  """Some child of this process has ended."""


# The worker's answers, and what the heart finds in the job's directory.
Event = dict[str, Any] | ChildEnded | Outcome | HostReport
