"""Who holds the lock of a stack, as Pulumi's text of it says."""

import os
import re
import socket

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import LockedError

_RUNS = ", which runs"
# As Pulumi's own backends write who holds a lock.
_HOLDER = re.compile(r"created by (\S+) \(pid (\d+)\) at (\S+)")


def locked(error: LockedError, config: InfraConfig, command: str) -> str:
  """Who holds the lock of a cluster, and what to do, as a sentence.

  Args:
    command: what was typed, such as "keras-remote up".
  """
  holders = [
    f"{who} (process {pid}{_whether_it_runs(who, int(pid))}) since {when}"
    for who, pid, when in _HOLDER.findall(error.text)
  ]
  who = " and ".join(dict.fromkeys(holders)) or "somebody"
  return (
    f"the cluster {config.cluster} is being changed elsewhere: {who} holds its "
    f"lock. Wait for that to end, and type this again; if it is dead, "
    f"`{command} --unlock` takes its lock away"
  )


def check_dead(error: LockedError, config: InfraConfig) -> None:
  """Passes unless one who holds the lock is known to be at work.

  Raises:
    InfraError: it is.
  """
  for who, pid, when in _HOLDER.findall(error.text):
    if _whether_it_runs(who, int(pid)) == _RUNS:
      raise errors.InfraError(
        f"the cluster {config.cluster} is being changed by {who} since {when}, "
        f"and its process {pid} runs here: wait for it, or end it with `kill "
        f"{pid}`. If that is none of keras-remote or Pulumi, its number was "
        "given anew: `gcloud storage rm --recursive "
        f"gs://{config.state_bucket}/.pulumi/locks` takes the lock away"
      )


def _whether_it_runs(who: str, pid: int) -> str:
  """What is known of a process that may be of this machine."""
  if who.rpartition("@")[2] != socket.gethostname():
    return ""
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return ", which runs no more"
  except PermissionError:
    pass
  return _RUNS
