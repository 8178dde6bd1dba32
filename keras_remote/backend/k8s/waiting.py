"""Why a job does not run yet, as a sentence with a cure: pure functions."""

import contextlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keras_remote.backend.k8s.pools import Pool, fitting
from keras_remote.backend.k8s.status import Json, condition, image, plain, state
from keras_remote.job import quantity

_IN_VAIN = (
  "InvalidImageName",
  "ErrImageNeverPull",
  "SignatureValidationFailed",
)
_UNPULLED = (
  "ErrImagePull",
  "ImagePullBackOff",
  "RegistryUnavailable",
  "ImageInspectError",
  *_IN_VAIN,
)
_NO_IMAGE = re.compile(
  r"not ?found|manifest unknown|name unknown|does not exist|no such host"
  r"|invalid reference",
  re.IGNORECASE,
)
_NOT_ALLOWED = re.compile(
  r"\b40[13]\b|unauthorized|denied|forbidden|authorization failed",
  re.IGNORECASE,
)
# Of the reasons why no pool grows: these pass.
_PASSING = ("max node group size", "backoff", "limit reached", "not ready")
# Those of the cluster autoscaler, and Karpenter's.
_SCALING = (
  "TriggeredScaleUp",
  "NotTriggerScaleUp",
  "FailedScaleUp",
  "Nominated",
)
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_CANCEL = "cancel the job and call again"


@dataclass(frozen=True)
class Waiting:
  """Why something waits.

  Attributes:
    hopeless: whether waiting alone heals nothing.
  """

  sentence: str
  hopeless: bool = False


def for_pod(events: Sequence[Json]) -> Waiting:
  """Why there is no pod of a job yet."""
  return refused(events) or Waiting("its pod is being made")


def refused(events: Sequence[Json], hosts: int = 1) -> Waiting | None:
  """Why the cluster makes no pod of a job; None where it does not say.

  Args:
    hosts: how many pods the job is, all at once.
  """
  told = _refusal(events)
  if told is None:
    return None
  words = plain(_ATTEMPTED.sub("", told.get("message", "")))
  for what, why, cure in _FORBIDDEN:
    if re.search(what, words):
      # What others use of a quota comes free when they end.
      passing = "exceeded quota" in words and not _exceeds(words, hosts)
      return Waiting(f"{why}: {words}; {cure}", hopeless=not passing)
  return Waiting(f"the cluster cannot make its pod: {words}")


def _refusal(events: Sequence[Json]) -> Json | None:
  """The last event by which whoever makes the pods tells that it cannot."""
  # A StatefulSet, of which a LeaderWorkerSet is made, says more than that.
  for kind in ("Job", "StatefulSet", "LeaderWorkerSet"):
    if told := latest(events, kind, None, "FailedCreate"):
      return told
  return None


def is_insecure(events: Sequence[Json]) -> bool:
  """Whether Pod Security forbids the pods of a job."""
  told = _refusal(events)
  return told is not None and _INSECURE in told.get("message", "")


def _exceeds(words: str, hosts: int) -> bool:
  """Whether so many such pods ask for more of a quota than it has in all."""
  asked, limit = (
    {name: _number(text) for name, text in _AMOUNT.findall(part)}
    for part in (
      words.partition("requested: ")[2].partition(", used: ")[0],
      words.partition("limited: ")[2],
    )
  )
  both = asked.keys() & limit.keys()
  return any(hosts * asked[name] > limit[name] for name in both)


def _number(text: str) -> float:
  """A quantity; infinite for what is none."""
  with contextlib.suppress(ValueError):
    return quantity.number(text)
  return math.inf


# What was tried, before why it could not be.
_ATTEMPTED = re.compile(
  r"Error creating: |create Pod \S+ in StatefulSet \S+ failed error: "
)
_AMOUNT = re.compile(r"([\w./-]+)=([\w.]+)")
_INSECURE = "violates PodSecurity"
# What a refusal says, whose it is, and its cure.
_FORBIDDEN = (
  (
    "exceeded quota|failed quota",
    "a ResourceQuota of the namespace forbids its pod",
    "end other jobs, ask for less with cpu= and memory=, or ask who owns the "
    "namespace for more",
  ),
  (
    _INSECURE,
    "the namespace's Pod Security forbids its pod",
    f"{_CANCEL}, which asks anew what it demands; if that does not help, "
    "choose another namespace=, or ask who owns this one to allow it by its "
    "label pod-security.kubernetes.io/enforce",
  ),
  (
    r"(maximum|minimum) \S+ usage per|max limit to request ratio"
    r"|must be less than or equal to \S+ limit",
    "a LimitRange of the namespace forbids its pod",
    "ask for what it allows with cpu= and memory=, or ask who owns the "
    "namespace to change it",
  ),
  (
    r"service ?account .*not found",
    "its pod's service account is not there",
    "set service_account= to one that `kubectl get serviceaccounts` shows",
  ),
  (
    "no PriorityClass",
    "its priority class is not there",
    "set priority_class= to one that `kubectl get priorityclasses` shows",
  ),
  (
    " is invalid: ",
    "the cluster takes no such pod",
    "change what the call asks for as it says",
  ),
  (
    "admission webhook .*denied",
    "a rule of the cluster forbids its pod",
    "change the call as it says, or ask who owns the cluster",
  ),
)


def for_start(
  pod: Json, events: Sequence[Json] = (), known: Sequence[Pool] | None = None
) -> Waiting:
  """Why the pod's container does not run yet.

  Args:
    known: the pools that the cluster has now; None where they are not known.
  """
  found = state(pod).get("waiting", {})
  reason, words = found.get("reason", ""), plain(found.get("message", ""))
  if reason in _UNPULLED:
    return _for_image(pod, reason, words, events)
  if reason == "CreateContainerConfigError":
    cure = f"a Secret or ConfigMap of the job is missing: {_CANCEL}"
    if "root" in words:
      cure = "choose an image whose user is not root, or another namespace="
    return Waiting(
      f"its container cannot be set up ({reason}): {words}; {cure}",
      hopeless=True,
    )
  if reason == "CrashLoopBackOff":
    return Waiting(f"its container ends again and again ({reason}): {words}")
  if reason and reason not in ("ContainerCreating", "PodInitializing"):
    return Waiting(
      f"its container does not start ({reason}): {words}; if that stays so, "
      "choose another image with container_image=",
      hopeless=reason == "CreateContainerError",
    )
  scheduled = condition(pod, "PodScheduled")
  if scheduled.get("status") == "False":
    return _for_node(pod, scheduled, events, known)
  return _for_container(pod, events)


def unpulled(pods: Iterable[Json]) -> set[str]:
  """The images that pods wait for in vain, or may."""
  return {
    image(pod)
    for pod in pods
    if state(pod).get("waiting", {}).get("reason") in _UNPULLED
  }


def _for_image(
  pod: Json, reason: str, words: str, events: Sequence[Json]
) -> Waiting:
  name = pod["metadata"]["name"]
  # A node that tries again may say no more than that, nor its last event.
  told = _of(events, "Pod", name, "Failed")
  why = " ".join([words, *(each.get("message", "") for each in told)])
  absent, forbidden = _NO_IMAGE.search(why), _NOT_ALLOWED.search(why)
  if forbidden:
    cure = (
      "the cluster may not read it, or it is not there: check the name, and "
      "let the nodes' service account read it (on Artifact Registry: "
      "roles/artifactregistry.reader)"
    )
  elif reason == "InvalidImageName":
    cure = "no image can be called so: correct it"
  elif absent and "@" in image(pod):
    # Its content names it: it was there once.
    cure = (
      "it was removed from there: cancel the job and call again, which makes an "
      "image of keras_remote's anew; push one of your own again"
    )
  elif absent or reason in _IN_VAIN:
    cure = "there is none of this name: check it, and push the image"
  else:
    cure = (
      "the node tries again; check the name, and that the cluster may read it"
    )
  return Waiting(
    f"its image {image(pod)} cannot be pulled ({reason}): "
    f"{words or 'no reason is given'}; {cure}",
    hopeless=bool(absent or forbidden or reason in _IN_VAIN),
  )


def _for_node(
  pod: Json,
  scheduled: Json,
  events: Sequence[Json],
  known: Sequence[Pool] | None,
) -> Waiting:
  reason = scheduled.get("reason", "")
  # What follows is what would be if others were put out.
  words, _, _ = scheduled.get("message", "").partition(" preemption: ")
  words = words.rstrip(" ,.")
  why = f"no node can take it yet ({reason}): {plain(words) or reason}"
  if reason == "SchedulingGated":
    return Waiting(f"{why}; whoever set its scheduling gates lets it go")
  told = latest(events, "Pod", pod["metadata"]["name"], *_SCALING)
  if told is None:
    # An autoscaler would say so, of a pool that has no nodes now, within a
    # minute. That the scheduler is heard shows that it would be heard too.
    heard = latest(events, "Pod", pod["metadata"]["name"], "FailedScheduling")
    return Waiting(
      f"{why}{_needs(pod, words, known)}",
      hopeless=heard is not None and _fits_nowhere(pod, words, known),
    )
  said = plain(told.get("message", "").partition(": ")[2]) or "no more is said"
  if told["reason"] in ("TriggeredScaleUp", "Nominated"):
    return Waiting(
      f"its pool is scaling up, which takes minutes ({told['reason']}: {said})"
    )
  if told["reason"] == "FailedScaleUp":
    return Waiting(
      f"its pool could not scale up (FailedScaleUp: {said}); the cluster tries "
      "again: another zone, another accelerator, or spot may be free sooner"
    )
  passing = any(each in said for each in _PASSING)
  return Waiting(
    f"{why}; and no pool grows for it (NotTriggerScaleUp: {said})"
    f"{_needs(pod, words, known)}",
    hopeless=not passing,
  )


def _fits_nowhere(pod: Json, words: str, known: Sequence[Pool] | None) -> bool:
  """Whether no pool that has nodes is of the kind that it asks for."""
  selector = pod["spec"].get("nodeSelector")
  return (
    bool(selector)
    and "selector" in words
    and known is not None
    and not fitting(known, selector)
  )


def _needs(pod: Json, words: str, known: Sequence[Pool] | None) -> str:
  """What it asks of a node, and which pools there are."""
  selector = pod["spec"].get("nodeSelector") or {}
  if not selector or "selector" not in words:
    full = "Insufficient" in words
    return "; it waits for room: cpu= and memory= say how much" if full else ""
  asked = ", ".join(f"{name}={value}" for name, value in selector.items())
  if known is None:
    return f"; it asks for nodes with {asked}"
  if found := fitting(known, selector):
    return f"; the nodes of {_names(found)} would do, and are full"
  now = f"the pools that have nodes now are {_names(known)}"
  return (
    f"; it asks for nodes with {asked}, and "
    f"{now if known else 'no pool has nodes now'}: if none such comes up, choose "
    "an accelerator that the cluster has, or make a pool for it"
  )


def _names(known: Iterable[Pool]) -> str:
  return ", ".join(str(pool) for pool in known)


def _for_container(pod: Json, events: Sequence[Json]) -> Waiting:
  node = pod["spec"].get("nodeName")
  if not node:
    return Waiting("it waits for a node")
  told = latest(events, "Pod", pod["metadata"]["name"], *_MOUNTS)
  if told is None:
    return Waiting(
      f"its container is being made on node {node}, from {image(pod)}"
    )
  words = plain(told.get("message", ""))
  if told["reason"] == "FailedCreatePodSandBox":
    return Waiting(
      f"node {node} cannot make its pod (FailedCreatePodSandBox): {words}; it "
      "tries again: if that stays so, something is wrong with the node"
    )
  gone = re.search(r'(secret|configmap) "[^"]*" not found', words)
  cure = (
    f"if that stays so, {_CANCEL}"
    if gone
    else "the node tries again: if that stays so, something is wrong with it"
  )
  return Waiting(
    f"node {node} cannot give its pod a volume ({told['reason']}): {words}; "
    f"{cure}",
    hopeless=gone is not None,
  )


def latest(
  events: Iterable[Json], kind: str, name: str | None, *reasons: str
) -> Json | None:
  """The last event that tells of the object for one of these reasons.

  Args:
    name: of the object; None for any of the kind.
  """
  return max(_of(events, kind, name, *reasons), key=_time, default=None)


def _of(
  events: Iterable[Json], kind: str, name: str | None, *reasons: str
) -> list[Json]:
  return [
    event
    for event in events
    if event.get("reason") in reasons
    and event["involvedObject"].get("kind") == kind
    and name in (None, event["involvedObject"].get("name"))
  ]


def _time(event: Json) -> str:
  series = event.get("series") or {}
  return (
    series.get("lastObservedTime")
    or event.get("lastTimestamp")
    or event.get("eventTime")
    or event["metadata"].get("creationTimestamp")
    or ""
  )
