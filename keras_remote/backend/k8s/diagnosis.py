"""What a Job and its pods say, as sentences: pure functions of their JSON."""

import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from keras_remote.backend.k8s import waiting
from keras_remote.backend.k8s.pods import QUEUE_LABEL
from keras_remote.backend.k8s.pools import Pool
from keras_remote.backend.k8s.status import (
  Json,
  condition,
  image,
  is_leaving,
  plain,
  state,
)
from keras_remote.job import last_words
from keras_remote.job.launch import ENDED_EXIT
from keras_remote.job.state import State

_ENDED_PHASES = ("Succeeded", "Failed")
_JOB_ENDED = ("Complete", "Failed")
_NO_RUNNER = re.compile(r'configmap "(keras-remote-runner-\w+)" not found')
# Why a pod is taken away, and what helps.
_CURES = (
  ("Evicted", "; its node was short of that: memory= keeps some for a job"),
  (
    "Kubelet",
    "; its node was short of something, or was shut down: call again",
  ),
  ("Preempt", "; what is more urgent took its place: see priority_class="),
  ("Taint", "; its node went away, as spot nodes do: call again"),
  ("NodeNotReady", "; its node went away, as spot nodes do: call again"),
)
# What is told of a pod before it is taken away.
_TAKEN = ("Evicted", "NodeNotReady", "Preempted", "TaintManagerEviction")
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
    hopeless: it waits for what waiting alone does not bring.
    hosts: what each host does, where there are several.
    held_up: whether the sentence says what holds up a group that runs.
    stays: whether its pods show nothing of its end, as they stay after it.
  """

  state: State
  sentence: str
  told: bool = False
  dead: bool = False
  over: bool = False
  hopeless: bool = False
  hosts: tuple[str, ...] = ()
  held_up: bool = False
  stays: bool = False


def view(
  job: Json | None,
  pods: Sequence[Json],
  events: Sequence[Json] = (),
  known: Sequence[Pool] | None = None,
) -> View:
  """How the job stands.

  Args:
    events: what was told of the Job and its pods.
    known: the pools that the cluster has; None where they are not known.
  """
  pods = sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
  ended = [pod for pod in pods if has_ended(pod)]
  living = [pod for pod in pods if not has_ended(pod)]
  last = f"{death(ended[-1])}" if ended else ""
  told = any(has_told(pod) for pod in ended)
  running = [pod for pod in living if has_started(pod)]
  if running:
    return View(State.RUNNING, _running(running[-1], job), told=told)
  condition = finished(job)
  if job is None or condition:
    if living:
      return View(State.RUNNING, "its pod is being removed", told=told)
    return View(
      State.PENDING, last or gone(condition), told, dead=bool(ended), over=True
    )
  again = f"; it is started again, as {last}" if last else ""
  dead = bool(ended)
  if living:
    why = waiting.for_start(living[-1], events, known)
    sentence = f"{why.sentence}{again}"
    return View(State.PENDING, sentence, told, dead, hopeless=why.hopeless)
  if job["spec"].get("suspend"):
    return View(State.QUEUED, suspended(job), told, dead)
  if last:
    return View(State.PENDING, last, told, dead)
  why = waiting.for_pod(events)
  return View(State.PENDING, why.sentence, told, hopeless=why.hopeless)


def has_ended(pod: Json) -> bool:
  """Whether its container has ended, or will never start."""
  # The container says so up to a second before the phase does.
  return _terminated(pod) is not None or _phase(pod) in _ENDED_PHASES


def has_started(pod: Json) -> bool:
  """Whether its container runs, or has run."""
  found = state(pod)
  return "running" in found or "terminated" in found


def has_told(pod: Json) -> bool:
  """Whether its first process has ended, and says that the outcome is stored."""
  return exit_code(pod) in (0, ENDED_EXIT)


def death(pod: Json) -> str:
  """Why the pod's container has ended."""
  status = pod.get("status", {})
  ended = _terminated(pod) or {}
  words = plain(spoken(pod))
  reason = status.get("reason", "")
  code = ended.get("exitCode")
  if ended.get("reason") == "OOMKilled":
    return _out_of_memory(pod)
  if reason in ("Evicted", "Preempting"):
    why = plain(status.get("message", ""))
    return f"its pod was taken away ({reason}): {why}{_cure(reason)}"
  if why := taken(pod):
    return why
  if ended.get("reason") in ("StartError", "ContainerCannotRun"):
    return f"its image {image(pod)} cannot run the job: {words}"
  if ended.get("reason") == "ContainerStatusUnknown":
    node = pod["spec"].get("nodeName")
    return (
      f"its container is gone: node {node} died or began anew "
      "(ContainerStatusUnknown); call again"
    )
  if words:
    return words
  if code is None:
    return f"its pod ended ({reason or _phase(pod)}) before it could start"
  if is_leaving(pod):
    return "its pod was deleted"
  return f"its first process ended with {_exit(code)} and said nothing"


def taken(pod: Json) -> str:
  """Why it is taken away; "" where it is not."""
  found = condition(pod, "DisruptionTarget")
  if found.get("status") != "True":
    return ""
  reason, why = found.get("reason", ""), plain(found.get("message", ""))
  return f"its pod was taken away ({reason}): {why}{_cure(reason)}"


def told_at_end(pods: Iterable[Json]) -> Iterator[str]:
  """What those first processes said that have stored the outcome."""
  for pod in pods:
    if has_told(pod) and (words := last_said(pod)):
      yield words


def spoken(pod: Json) -> str:
  """What its first process said at its end, to people."""
  words = last_said(pod)
  return "" if last_words.is_record(words) else words


def last_said(pod: Json) -> str:
  """All that its first process said at its end; "" while it has not."""
  return (_terminated(pod) or {}).get("message", "")


def told_of(pods: Sequence[Json], events: Sequence[Json], uid: str) -> str:
  """Why the pod with this uid died; "" where nothing of its Job is left.

  Args:
    events: of that pod.
  """
  for pod in pods:
    if pod["metadata"]["uid"] == uid:
      return death(pod) if has_ended(pod) else ""
  told = waiting.latest(events, "Pod", None, *_TAKEN)
  if told:
    reason, why = told["reason"], plain(told.get("message", ""))
    return f"its pod was taken away ({reason}): {why}{_cure(reason)}"
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


def _cure(reason: str) -> str:
  """What helps against being taken away for this reason, if anything does."""
  return next((cure for name, cure in _CURES if name in reason), "")


def _running(pod: Json, job: Json | None) -> str:
  if job is None or is_leaving(pod):
    return "its pod is being stopped"
  return f"it runs on node {pod['spec'].get('nodeName')}"


def suspended(job: Json) -> str:
  """Why a suspended Job makes no pod."""
  queue = job["metadata"].get("labels", {}).get(QUEUE_LABEL)
  if queue is None:
    name = job["metadata"]["name"]
    return (
      "its Job is suspended, by somebody: `kubectl patch job "
      f'{name} -p \'{{"spec":{{"suspend":false}}}}\'` lets it go'
    )
  return (
    f"it waits until queue '{queue}' admits its Job: `kubectl get workloads` "
    "shows who is before it"
  )


def gone(condition: Json) -> str:
  """That nothing is left of a job.

  Args:
    condition: by which its Job ended, if it is there.
  """
  if is_time_up(condition):
    return (
      "its Job's time was up, as it waited and ran for longer than it may: a "
      "larger timeout= gives it more"
    )
  if condition:
    why = plain(condition.get("message", "")) or condition.get("reason", "")
    return f"its Job ended and left no pod: {why}"
  return "its Job is gone: somebody deleted it"


def is_time_up(condition: Json) -> bool:
  """Whether a Job ended by this as its deadline had come."""
  return condition.get("reason") == "DeadlineExceeded"


def finished(job: Json | None) -> Json:
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
  condition = finished(job)
  told = condition.get("reason") == "PodFailurePolicy"
  if condition.get("type") == "Failed" and not told:
    return True
  now = view(job, pods)
  return now.dead and not now.told


def seeking_node(pods: Sequence[Json]) -> set[str]:
  """What is said of pods that ask for labels that no node with room has."""
  said = {
    condition(pod, "PodScheduled").get("message", "")
    for pod in pods
    if pod["spec"].get("nodeSelector")
  }
  return {words for words in said if "selector" in words}


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


def _terminated(pod: Json) -> Json | None:
  return state(pod).get("terminated")


def exit_code(pod: Json) -> int | None:
  """What its container ended with; None while it has not."""
  return (_terminated(pod) or {}).get("exitCode")


def ended_at(pod: Json) -> str:
  """When its container ended, by its node's clock."""
  return (_terminated(pod) or {}).get("finishedAt") or ""


def _exit(code: int) -> str:
  try:
    return f"signal {signal.Signals(code - _SIGNALLED).name}"
  except ValueError:
    return f"exit code {code}"
