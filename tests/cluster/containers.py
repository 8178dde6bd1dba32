"""The processes of pods as this machine sees them: what a test can end."""

import re
from pathlib import Path
from typing import Any

import psutil

# In the command line of what calls the function, also while it installs.
_WORKER = "keras_remote.runner.worker"


def processes(uid: str) -> dict[str, list[psutil.Process]]:
  """Those of a pod, by the id of their container; the sandbox's is one."""
  found: dict[str, list[psutil.Process]] = {}
  for process in psutil.process_iter():
    try:
      groups = Path(f"/proc/{process.pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
      continue
    if match := re.search(rf"pod{uid}/(\w+)", groups):
      found.setdefault(match[1], []).append(process)
  return found


def sandbox(uid: str) -> psutil.Process:
  """What keeps the pod's network and names, and does nothing else."""
  every = [each for all_ in processes(uid).values() for each in all_]
  return min(every, key=lambda process: process.create_time())


def first(pod: Any) -> psutil.Process:
  """Process 1 of the pod's container, which runs.

  Its end is the container's: who is killed by it is all of the host.
  """
  (status,) = pod.status.container_statuses
  container = status.container_id.rpartition("/")[2]
  (found,) = (
    each
    for each in processes(pod.metadata.uid)[container]
    if _id_in_container(each) == 1
  )
  return found


def worker(pod: Any) -> psutil.Process:
  """The process that calls the function in the pod's container."""
  (found,) = (
    each
    for each in first(pod).children()
    if _WORKER in " ".join(each.cmdline())
  )
  return found


def _id_in_container(process: psutil.Process) -> int:
  status = Path(f"/proc/{process.pid}/status").read_text()
  (line,) = re.findall(r"^NSpid:(.*)$", status, re.MULTILINE)
  return int(line.split()[-1])
