"""What a Job and its pods say, as sentences: pure functions of their JSON."""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_remote.job.launch import ENDED_EXIT
from keras_remote.job.state import State

Json = Mapping[str, Any]

_ENDED_PHASES = ("Succeeded", "Failed")
_JOB_ENDED = ("Complete", "Failed")
_UNPULLED = (
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
)
_NO_RUNNER = re.compile(r'configmap "(keras-remote-runner-\w+)" not found')
# A shell and Kubernetes say a signal's number so.
_SIGNALLED = 128


@dataclass(frozen=True)
class View:
  """How a job stands, as far as its Job and pods tell.

  Attributes:
    state: PENDING, QUEUED or RUNNING: they know of no ending.
    told: a first process says that the outcome is stored.
    dead: a first process has ended, and none lives.
    over: none lives, and none will be started.
  """

  state: State
  sentence: str
  told: bool = False
  dead: bool = False
  over: bool = False


def view(job: Json | None, pods: Sequence[Json]) -> View:
  """How the job stands."""
  pods = sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
  ended = [pod for pod in pods if has_ended(pod)]
  living = [pod for pod in pods if not has_ended(pod)]
  last = f"{death(ended[-1])}" if ended else ""
  told = any(_exit_code(pod) in (0, ENDED_EXIT) for pod in ended)
  running = [pod for pod in living if has_started(pod)]
  if running:
    return View(State.RUNNING, _running(running[-1], job), told=told)
  condition = _finished(job)
  if job is None or condition:
    if living:
      return View(State.RUNNING, "its pod is being removed", told=told)
    return View(
      State.PENDING, last or _gone(condition), told, dead=bool(ended), over=True
    )
  again = f"; it is started again, as {last}" if last else ""
  dead = bool(ended)
  if living:
    sentence = f"{pending(living[-1])}{again}"
    return View(State.PENDING, sentence, told=told, dead=dead)
  if job["spec"].get("suspend"):
    sentence = "its Job is suspended: it waits for admission"
    return View(State.QUEUED, sentence, told, dead)
  return View(State.PENDING, last or "its pod is being made", told, dead)


def has_ended(pod: Json) -> bool:
  """Whether its container has ended, or will never start."""
  # The container says so up to a second before the phase does.
  return _terminated(pod) is not None or _phase(pod) in _ENDED_PHASES


def has_started(pod: Json) -> bool:
  """Whether its container runs, or has run."""
  state = _state(pod)
  return "running" in state or "terminated" in state


def pending(pod: Json) -> str:
  """Why the pod's container does not run yet."""
  waiting = _state(pod).get("waiting", {})
  reason, message = waiting.get("reason", ""), waiting.get("message", "")
  if reason in _UNPULLED:
    return (
      f"its image {_image(pod)} cannot be pulled ({reason}): "
      f"{_plain(message) or 'no reason is given'}; check the name, and that "
      "the cluster may read it"
    )
  if reason == "CreateContainerConfigError":
    return (
      f"its container cannot be set up ({reason}): {_plain(message)}; a Secret "
      "or ConfigMap of the job is missing: cancel it and call again"
    )
  if reason and reason != "ContainerCreating":
    return f"its container does not start ({reason}): {_plain(message)}"
  scheduled = _condition(pod, "PodScheduled")
  if scheduled.get("status") == "False":
    why = _plain(scheduled.get("message", "")) or scheduled.get("reason", "")
    return f"no node can take it yet ({scheduled.get('reason')}): {why}"
  node = pod["spec"].get("nodeName")
  if node:
    return f"its container is being made on node {node}, from {_image(pod)}"
  return "it waits for a node"


def death(pod: Json) -> str:
  """Why the pod's container has ended."""
  status = pod.get("status", {})
  ended = _terminated(pod) or {}
  words = _plain(ended.get("message", ""))
  reason = status.get("reason", "")
  taken = _condition(pod, "DisruptionTarget")
  code = ended.get("exitCode")
  if ended.get("reason") == "OOMKilled":
    return _out_of_memory(pod)
  if reason in ("Evicted", "Preempting"):
    return f"its pod was taken away ({reason}): {_plain(status['message'])}"
  if taken.get("status") == "True":
    why = _plain(taken.get("message", ""))
    return f"its pod was taken away ({taken.get('reason')}): {why}"
  if ended.get("reason") in ("StartError", "ContainerCannotRun"):
    return f"its image {_image(pod)} cannot run the job: {words}"
  if words:
    return words
  if code is None:
    return f"its pod ended ({reason or _phase(pod)}) before it could start"
  if pod["metadata"].get("deletionTimestamp"):
    return "its pod was deleted"
  return f"its first process ended with {_exit(code)} and said nothing"


def told_of(pods: Sequence[Json], uid: str) -> str:
  """Why the pod with this uid died; "" where no pod of its Job is left."""
  for pod in pods:
    if pod["metadata"]["uid"] == uid:
      return death(pod) if has_ended(pod) else ""
  if not pods:
    return ""
  return "its pod is gone: somebody deleted it, or the node that it was on"


def _out_of_memory(pod: Json) -> str:
  (container, *_) = pod["spec"].get("containers") or ({},)
  limit = container.get("resources", {}).get("limits", {}).get("memory")
  more = "than its node had" if limit is None else f"than its {limit}"
  return (
    f"its container ran out of memory: it took more {more} (OOMKilled); "
    "memory= asks for more"
  )


def _running(pod: Json, job: Json | None) -> str:
  if job is None or pod["metadata"].get("deletionTimestamp"):
    return "its pod is being stopped"
  return f"it runs on node {pod['spec'].get('nodeName')}"


def _gone(condition: Json) -> str:
  if condition:
    why = _plain(condition.get("message", "")) or condition.get("reason", "")
    return f"its Job ended and left no pod: {why}"
  return "its Job is gone: somebody deleted it"


def _finished(job: Json | None) -> Json:
  """The condition that says that the Job starts no further pod."""
  conditions = (job or {}).get("status", {}).get("conditions") or ()
  for each in conditions:
    if each["type"] in _JOB_ENDED and each["status"] == "True":
      return each
  return {}


def untold(job: Json | None, pods: Sequence[Json]) -> bool:
  """Whether there is a Job whose first processes ended and told nobody."""
  if job is None:
    return False
  condition = _finished(job)
  told = condition.get("reason") == "PodFailurePolicy"
  if condition.get("type") == "Failed" and not told:
    return True
  now = view(job, pods)
  return now.dead and not now.told


def missing_runner(pods: Sequence[Json], events: Sequence[Json]) -> str | None:
  """The name of the runner's ConfigMap, where a pod waits for it in vain."""
  names = {pod["metadata"]["name"] for pod in pods if not has_started(pod)}
  for event in events:
    if event["involvedObject"].get("name") in names:
      found = _NO_RUNNER.search(event.get("message", ""))
      if found:
        return found[1]
  return None


def _phase(pod: Json) -> str:
  return pod.get("status", {}).get("phase", "")


def _state(pod: Json) -> Json:
  statuses = pod.get("status", {}).get("containerStatuses") or ()
  return statuses[0].get("state", {}) if statuses else {}


def _terminated(pod: Json) -> Json | None:
  return _state(pod).get("terminated")


def _exit_code(pod: Json) -> int | None:
  return (_terminated(pod) or {}).get("exitCode")


def _condition(pod: Json, kind: str) -> Json:
  for each in pod.get("status", {}).get("conditions") or ():
    if each["type"] == kind:
      return each
  return {}


def _image(pod: Json) -> str:
  return pod["spec"]["containers"][0]["image"]


def _exit(code: int) -> str:
  try:
    return f"signal {signal.Signals(code - _SIGNALLED).name}"
  except ValueError:
    return f"exit code {code}"


def _plain(text: str) -> str:
  """The text in one line, and no longer than somebody reads."""
  line = " ".join(text.split()).rstrip(".")
  return line if len(line) <= 500 else f"{line[:499]}…"
