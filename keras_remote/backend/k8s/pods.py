"""By what the objects of a job are found, and the runner that they share."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from keras_remote.job import layout
from keras_remote.job.spec import JobSpec

# By these a person finds what is whose; the part before the slash is ours.
JOB_LABEL = "keras-remote/job"
_OWNER, _NAME, _FUNCTION = (
  f"keras-remote/{each}" for each in ("owner", "name", "function")
)
MANAGED = {"app.kubernetes.io/managed-by": "keras-remote"}
# What admits a job to a cluster finds it by this one.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
CONTAINER = "runner"
ARCHIVE = "runner.pyz"
_ARCHIVE_PREFIX = "keras-remote-runner-"


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


def metadata(spec: JobSpec) -> dict[str, Any]:
  """The labels of what is made for a job, and in full what they stand for."""
  return {
    "labels": labels(spec),
    "annotations": {
      _OWNER: spec.origin.who,
      _NAME: spec.origin.name,
      # What follows a command may be long, and is nobody's business.
      _FUNCTION: spec.entry.qualname or spec.entry.argv[0],
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


def _label(text: str) -> str:
  """The text as a label's value: what that cannot hold becomes a dash."""
  plain = re.sub(r"[^A-Za-z0-9._-]", "-", text)
  return plain[:63].strip("-._")
