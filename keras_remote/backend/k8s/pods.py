"""From a job's spec to its manifest, as pure functions."""

import base64
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from keras_remote.accelerators.gke import placement
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.backend.k8s import secrets
from keras_remote.job import layout, quantity
from keras_remote.job.launch import ALLOCATION_VARIABLE, ENDED_EXIT, Launch
from keras_remote.job.spec import JobSpec

# By these a person finds what is whose; the part before the slash is ours.
JOB_LABEL = "keras-remote/job"
_OWNER, _NAME, _FUNCTION = (
  f"keras-remote/{each}" for each in ("owner", "name", "function")
)
MANAGED = {"app.kubernetes.io/managed-by": "keras-remote"}
CONTAINER = "runner"
ARCHIVE = "runner.pyz"
_ARCHIVE_PREFIX = "keras-remote-runner-"
_FOLDER = "/keras-remote"
_WORK = f"{_FOLDER}/work"
_LAST_WORDS = "/dev/termination-log"
# Without requests a pod is the first to be evicted.
_REQUESTS = {"cpu": "500m", "memory": "1Gi"}
# Who it is where nobody may be root: the user that most images with one have.
_USER = 1000
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# Seconds: what a stopped job has to save, and an ended Job is kept.
_GRACE, _KEPT = 30, 24 * 60 * 60
# Seconds for which a Job with a timeout may wait for its node: a backstop.
_WAITING = 24 * 60 * 60
# Seconds of an attempt beside its function.
_AROUND = 600
# Seconds that fit everywhere in the API.
_LONGEST = 2**31 - 1


def selector(job_id: str) -> str:
  """The label by which a job's objects are found."""
  return f"{JOB_LABEL}={job_id}"


def labels(spec: JobSpec) -> dict[str, str]:
  """The labels of all that is made for a job."""
  return {
    **MANAGED,
    JOB_LABEL: spec.job_id,
    _OWNER: _label(spec.origin.who.rpartition("@")[0] or spec.origin.who),
    _NAME: _label(spec.origin.name),
  }


def of_owner(spec: JobSpec) -> str:
  """The labels by which all that is made for the job's owner is found."""
  every = {**MANAGED, _OWNER: labels(spec)[_OWNER]}
  return ",".join(f"{name}={value}" for name, value in every.items())


def archive_name(archive: bytes) -> str:
  """The name of the ConfigMap that holds this runner."""
  return f"{_ARCHIVE_PREFIX}{layout.digest(archive)}"


def is_archive(name: str) -> bool:
  """Whether a ConfigMap of ours with this name holds a runner."""
  return name.startswith(_ARCHIVE_PREFIX)


def archive_map(archive: bytes) -> dict[str, Any]:
  """The ConfigMap that holds the runner, for every job of this version."""
  return {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": archive_name(archive), "labels": MANAGED},
    "immutable": True,
    "binaryData": {ARCHIVE: base64.b64encode(archive).decode()},
  }


def job_manifest(
  spec: JobSpec,
  *,
  digest: str,
  image: str,
  runner: str,
  variables: Iterable[str],
  restricted: bool = False,
) -> dict[str, Any]:
  """The Kubernetes Job that runs a job of one host.

  Args:
    restricted: for a namespace that lets no pod be root or have privileges,
      by the Pod Security Standard of that name.
    digest: sha256 of spec.json.
    runner: name of the runner's ConfigMap.
    variables: names of the values that the job's Secret holds.
  """
  variables = tuple(variables)
  pod = _pod(spec, digest, image, runner, variables)
  if restricted:
    _restrict(pod, variables)
  queue = spec.resources.queue
  metadata = {
    "labels": labels(spec),
    "annotations": {
      _OWNER: spec.origin.who,
      _NAME: spec.origin.name,
      # What follows a command may be long, and is nobody's business.
      _FUNCTION: spec.entry.qualname or spec.entry.argv[0],
    },
  }
  return {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {
      "name": spec.job_id,
      "labels": {**labels(spec), **({QUEUE_LABEL: queue} if queue else {})},
      "annotations": metadata["annotations"],
    },
    "spec": {
      # Whoever admits it lets it go.
      **({"suspend": True} if queue else {}),
      # One start more than attempts: it tells how the job ended.
      "backoffLimit": spec.limits.retries + 1,
      "podFailurePolicy": {
        "rules": [
          {
            "action": "FailJob",
            "onExitCodes": {
              "containerName": CONTAINER,
              "operator": "In",
              "values": [ENDED_EXIT],
            },
          },
          {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
          },
        ]
      },
      "ttlSecondsAfterFinished": _KEPT,
      **_deadline(spec),
      "template": {
        "metadata": metadata,
        "spec": pod,
      },
    },
  }


def owned_by(job: Mapping[str, Any]) -> dict[str, Any]:
  """What makes an object go when the Job does."""
  owner = {
    "apiVersion": job["apiVersion"],
    "kind": job["kind"],
    "name": job["metadata"]["name"],
    "uid": job["metadata"]["uid"],
  }
  return {"metadata": {"ownerReferences": [owner]}}


def _pod(
  spec: JobSpec,
  digest: str,
  image: str,
  runner: str,
  variables: Iterable[str],
) -> dict[str, Any]:
  place = placement(parse_accelerator(spec.resources.accelerator))
  asked = spec.resources
  limits = dict(place.limits)
  requests = {**_REQUESTS, **limits}
  shared: dict[str, Any] = {"medium": "Memory"}
  if asked.cpu:
    requests["cpu"] = asked.cpu
  if asked.memory:
    # As much as it may take: so it never is what another pod took away.
    requests["memory"] = limits["memory"] = asked.memory
    shared["sizeLimit"] = quantity.half(asked.memory)
  pod: dict[str, Any] = {
    "restartPolicy": "Never",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": _GRACE,
    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
      {
        "name": CONTAINER,
        "image": image,
        "command": ["python3", "-I", f"{_FOLDER}/runner/{ARCHIVE}"],
        "env": [
          *secrets.variables(spec.job_id, variables),
          *_launch(spec, digest),
        ],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePath": _LAST_WORDS,
        "volumeMounts": [
          {"name": "runner", "mountPath": f"{_FOLDER}/runner"},
          {"name": "key", "mountPath": f"{_FOLDER}/key"},
          {"name": "work", "mountPath": _WORK},
          {"name": "shared", "mountPath": "/dev/shm"},
        ],
      }
    ],
    "volumes": [
      {"name": "runner", "configMap": {"name": runner}},
      {
        "name": "key",
        "secret": {
          "secretName": spec.job_id,
          "items": [{"key": each, "path": each} for each in _files(spec)],
        },
      },
      {"name": "work", "emptyDir": {}},
      # The 64 MB of a container are too few for those who load data.
      {"name": "shared", "emptyDir": shared},
    ],
  }
  if asked.priority_class:
    pod["priorityClassName"] = asked.priority_class
  if asked.service_account:
    pod["serviceAccountName"] = asked.service_account
  if place.selector:
    pod["nodeSelector"] = dict(place.selector)
  if place.tolerations:
    pod["tolerations"] = [dict(each) for each in place.tolerations]
  return pod


def _restrict(pod: dict[str, Any], variables: Iterable[str]) -> None:
  """Makes it a pod that may run where none may be root.

  Images whose user is root run too, as another one whom they do not know.
  """
  ids = {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
  pod["securityContext"] |= {"runAsNonRoot": True, **ids}
  (container,) = pod["containers"]
  container["securityContext"]["capabilities"] = {"drop": ["ALL"]}
  # What such a user lacks.
  values = {"HOME": _WORK, "USER": "keras-remote"}
  container["env"] += [
    {"name": name, "value": value}
    for name, value in values.items()
    if name not in variables
  ]


def _files(spec: JobSpec) -> list[str]:
  """What of the job's Secret its first process reads as files."""
  return [secrets.KEY, *([secrets.RECIPE] if spec.image.requirements else [])]


def _launch(spec: JobSpec, digest: str) -> list[dict[str, Any]]:
  launch = Launch(
    store=spec.target.store,
    job_id=spec.job_id,
    spec_digest=digest,
    host=0,
    hosts=1,
    key_file=f"{_FOLDER}/key/{secrets.KEY}",
    scratch=f"{_WORK}/scratch",
    allocation="",
    leader="127.0.0.1",
    last_words=_LAST_WORDS,
    by_line=True,
    recipe=f"{_FOLDER}/key/{secrets.RECIPE}" if spec.image.requirements else "",
  )
  values = launch.environ()
  # Each pod of the Job is another one.
  del values[ALLOCATION_VARIABLE]
  uid = {"fieldRef": {"fieldPath": "metadata.uid"}}
  return [
    *({"name": name, "value": value} for name, value in values.items()),
    {"name": ALLOCATION_VARIABLE, "valueFrom": uid},
  ]


def _deadline(spec: JobSpec) -> dict[str, int]:
  """A backstop: the function's own time is kept by its first process."""
  timeout = spec.limits.timeout
  if timeout is None:
    return {}
  attempts = 1 + spec.limits.retries
  seconds = _WAITING + attempts * (timeout + _AROUND)
  return {"activeDeadlineSeconds": min(math.ceil(seconds), _LONGEST)}


def _label(text: str) -> str:
  """The text as a label's value: what that cannot hold becomes a dash."""
  plain = re.sub(r"[^A-Za-z0-9._-]", "-", text)
  return plain[:63].strip("-._")
