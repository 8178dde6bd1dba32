"""What the JSON of a pod says, by its parts."""

from collections.abc import Mapping
from typing import Any

from keras_remote.job.line import one_line

Json = Mapping[str, Any]
# By these a LeaderWorkerSet and an Indexed Job say which host a pod is.
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
_HOSTS = WORKER_INDEX, COMPLETION_INDEX


def host_of(pod: Json) -> int:
  """Which host of its group a pod is; 0 where it is no group's."""
  labels = pod["metadata"].get("labels") or {}
  return int(next((labels[name] for name in _HOSTS if name in labels), "0"))


def is_leaving(pod: Json) -> bool:
  """Whether somebody has deleted it."""
  return bool(pod["metadata"].get("deletionTimestamp"))


def state(pod: Json) -> Json:
  """Of its container: waiting, running or terminated."""
  return _container(pod).get("state", {})


def begun_anew(pod: Json) -> int:
  """How often its container was begun anew."""
  return _container(pod).get("restartCount", 0)


def ends(pod: Json) -> int:
  """How often its container has ended."""
  if "running" in state(pod):
    return begun_anew(pod)
  # Until it is begun anew it may also wait for that.
  ended = "terminated" in state(pod) or ended_before(pod) is not None
  return begun_anew(pod) + ended


def ended_before(pod: Json) -> Json | None:
  """The pod as it was when its container ended, where that began anew."""
  before = _container(pod).get("lastState") or {}
  if "terminated" not in before:
    return None
  status = {**pod["status"], "containerStatuses": [{"state": before}]}
  return {**pod, "status": status}


def _container(pod: Json) -> Json:
  statuses = pod.get("status", {}).get("containerStatuses") or ()
  return statuses[0] if statuses else {}


def condition(thing: Json, kind: str) -> Json:
  """A condition of a pod, or nothing."""
  for each in thing.get("status", {}).get("conditions") or ():
    if each["type"] == kind:
      return each
  return {}


def image(pod: Json) -> str:
  """Its container's."""
  return pod["spec"]["containers"][0]["image"]


def plain(text: str) -> str:
  """What a message of the API says, to go on with in a sentence."""
  return one_line(text).rstrip(".")
