"""The Jobs that run a job's processes, or stand for it, as pure functions."""

import math
from typing import Any

from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.status import COMPLETION_INDEX
from keras_remote.backend.k8s.template import Contents, Part, pod_template
from keras_remote.job.launch import ENDED_EXIT
from keras_remote.job.spec import JobSpec

# Seconds for which an ended Job is kept.
_KEPT = 24 * 60 * 60
# Seconds for which a Job with a timeout may wait for its node: a backstop that
# ends none whose pool is full for days, as that is not its function's time.
_WAITING = 7 * 24 * 60 * 60
# Seconds of an attempt beside its function.
_AROUND = 600
# Seconds after which a group without a timeout goes: else one that nobody can
# end from inside would be paid for until somebody sees it.
_UNLIMITED = 30 * 24 * 60 * 60
# Seconds that fit everywhere in the API.
_LONGEST = 2**31 - 1
# What of an Indexed Job's pod says which it is.
_INDEX = f"metadata.annotations['{COMPLETION_INDEX}']"


def job_manifest(spec: JobSpec, contents: Contents) -> dict[str, Any]:
  """The Job that runs a job: a pod for each host."""
  hosts = spec.resources.hosts
  # One start more than attempts: it tells how the job ended.
  starts: dict[str, Any] = {"backoffLimit": _attempts(spec)}
  part = Part()
  if hosts > 1:
    # A host whose starts are used up ends the others.
    starts = {
      "completionMode": "Indexed",
      "completions": hosts,
      "parallelism": hosts,
      "backoffLimitPerIndex": _attempts(spec),
      "maxFailedIndexes": 0,
    }
    part = Part(index=_INDEX, subdomain=spec.job_id, together=True)
  queue = spec.resources.queue
  return _job(
    spec,
    {
      # Whoever admits it lets it go.
      **({"suspend": True} if queue else {}),
      **starts,
      "podFailurePolicy": {
        "rules": [
          {
            "action": "FailJob",
            "onExitCodes": {
              "containerName": pods.CONTAINER,
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
      "template": pod_template(spec, contents, part),
    },
    queue,
  )


def owner_manifest(spec: JobSpec, contents: Contents) -> dict[str, Any]:
  """The Job without pods that owns the objects of a group.

  It goes when its time is up, which without a timeout is a month, and then all
  goes that it owns: no client and no controller of ours is needed for that. Its
  template is never used: it says which runner the job has, and what of Pod
  Security a namespace demands.
  """
  return _job(
    spec,
    {
      "parallelism": 0,
      "backoffLimit": 0,
      "ttlSecondsAfterFinished": 0,
      "activeDeadlineSeconds": _UNLIMITED,
      # A queue holds the set alone: this Job's time goes on meanwhile.
      **_deadline(spec, _UNLIMITED if spec.resources.queue else _WAITING),
      "template": pod_template(spec, contents),
    },
  )


def service_manifest(spec: JobSpec) -> dict[str, Any]:
  """The Service that gives the hosts of an Indexed Job their names.

  Without it GKE tells none of a slice's hosts where the others are.
  """
  return {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": spec.job_id, "labels": pods.labels(spec)},
    "spec": {
      "clusterIP": "None",
      "selector": {pods.JOB_LABEL: spec.job_id},
      # They look for each other before one of them is ready.
      "publishNotReadyAddresses": True,
    },
  }


def _job(
  spec: JobSpec, body: dict[str, Any], queue: str | None = None
) -> dict[str, Any]:
  metadata = pods.metadata(spec)
  if queue:
    metadata["labels"] |= {pods.QUEUE_LABEL: queue}
  return {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": spec.job_id, **metadata},
    "spec": body,
  }


def _attempts(spec: JobSpec) -> int:
  return 1 + spec.limits.retries + spec.limits.max_preemptions


def _deadline(spec: JobSpec, waiting: float = _WAITING) -> dict[str, int]:
  """A backstop: the function's own time is kept by its first process.

  Args:
    waiting: seconds that it may wait for its nodes.
  """
  timeout = spec.limits.timeout
  if timeout is None:
    return {}
  around = _AROUND
  if spec.resources.hosts > 1:
    around += spec.limits.startup_timeout
  seconds = waiting + _attempts(spec) * (timeout + around)
  return {"activeDeadlineSeconds": min(math.ceil(seconds), _LONGEST)}
