"""The LeaderWorkerSet that runs a group, and what lets it end itself."""

from typing import Any

from keras_remote.accelerators.gke import apart
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.making import Stages
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  ROLES,
  SECRETS,
  SETS,
)
from keras_remote.backend.k8s.status import WORKER_INDEX
from keras_remote.backend.k8s.template import (
  Contents,
  Part,
  place,
  pod_template,
)
from keras_remote.job.spec import JobSpec

# The names of labels and annotations that its controller reads and writes.
_LABEL = "leaderworkerset.sigs.k8s.io/"
_INDEX = f"metadata.labels['{WORKER_INDEX}']"
_RBAC = "rbac.authorization.k8s.io"


def release_name(job_id: str) -> str:
  """The name of the Secret that proves who may end the group."""
  return f"{job_id}-release"


def stages(spec: JobSpec, contents: Contents) -> Stages:
  """All that a group is made of beside its Job, in the order of its making."""
  return [
    # A role is there before it is given to somebody, and an account before
    # what proves it: a cluster refuses the one and removes the other.
    [(ACCOUNTS, account(spec)), (ROLES, role(spec))],
    [(BINDINGS, binding(spec)), (SECRETS, release(spec))],
    [(SETS, set_manifest(spec, contents))],
  ]


def set_manifest(spec: JobSpec, contents: Contents) -> dict[str, Any]:
  """The set whose one group are the hosts of the job.

  Also where it has several slices: a set starts a group that fails anew, so a
  group for each would make an attempt of hosts of several times.
  """
  asked = spec.resources
  a_slice = asked.hosts // asked.slices
  # Each host may free the machines: host 0 may never come.
  part = Part(
    index=_INDEX,
    restarts=True,
    environ=apart(parse_accelerator(asked.accelerator)),
    release=release_name(spec.job_id),
  )
  group = {
    "size": asked.hosts,
    # Else a host alone would be started again, in an old group.
    "restartPolicy": "RecreateGroupOnPodRestart",
    # By it the controller tells each host who else is in its slice.
    **(
      {"subGroupPolicy": {"subGroupSize": a_slice}}
      if 1 < a_slice < asked.hosts
      else {}
    ),
    "leaderTemplate": pod_template(spec, contents, part),
    "workerTemplate": pod_template(spec, contents, part),
  }
  metadata = pods.metadata(spec)
  if asked.queue:
    metadata["labels"] |= {pods.QUEUE_LABEL: asked.queue}
  metadata["annotations"] |= _exclusive(spec)
  return {
    "apiVersion": f"{SETS.api_group}/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {"name": spec.job_id, **metadata},
    "spec": {
      "replicas": 1,
      "startupPolicy": "LeaderCreated",
      "leaderWorkerTemplate": group,
    },
  }


def account(spec: JobSpec) -> dict[str, Any]:
  """Whom the hosts are, to end the group; their pods are somebody else."""
  return {
    **_of("v1", "ServiceAccount", spec),
    "automountServiceAccountToken": False,
  }


def role(spec: JobSpec) -> dict[str, Any]:
  """What that one may: delete this one set, and then this one Job."""
  return {
    **_of(f"{_RBAC}/v1", "Role", spec),
    "rules": [
      {
        "apiGroups": [kind.api_group],
        "resources": [kind.plural],
        "resourceNames": [spec.job_id],
        "verbs": ["delete"],
      }
      for kind in (SETS, JOBS)
    ],
  }


def binding(spec: JobSpec) -> dict[str, Any]:
  """That it may."""
  return {
    **_of(f"{_RBAC}/v1", "RoleBinding", spec),
    "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": spec.job_id},
    "subjects": [{"kind": "ServiceAccount", "name": spec.job_id}],
  }


def release(spec: JobSpec) -> dict[str, Any]:
  """What proves who it is: the cluster fills it in."""
  secret = _of("v1", "Secret", spec)
  secret["metadata"] |= {
    "name": release_name(spec.job_id),
    "annotations": {"kubernetes.io/service-account.name": spec.job_id},
  }
  return {**secret, "type": "kubernetes.io/service-account-token"}


def _of(version: str, kind: str, spec: JobSpec) -> dict[str, Any]:
  return {
    "apiVersion": version,
    "kind": kind,
    "metadata": {"name": spec.job_id, "labels": pods.labels(spec)},
  }


def _exclusive(spec: JobSpec) -> dict[str, str]:
  """Has each slice of several hosts get the nodes of one for itself."""
  domain = place(spec).domain
  if not domain:
    return {}
  whole = "subgroup-" if spec.resources.slices > 1 else ""
  return {f"{_LABEL}{whole}exclusive-topology": domain}
