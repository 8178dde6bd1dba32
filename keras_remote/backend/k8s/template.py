"""From a job's spec to the template of its pods, as pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_remote.accelerators.gke import Placement, placement
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.backend.k8s import pods, secrets
from keras_remote.job import quantity
from keras_remote.job.launch import (
  ALLOCATION_VARIABLE,
  HOST_VARIABLE,
  LEADER_VARIABLE,
  Launch,
)
from keras_remote.job.spec import JobSpec

_FOLDER = "/keras-remote"
_WORK = f"{_FOLDER}/work"
_RELEASE = f"{_FOLDER}/release"
_LAST_WORDS = "/dev/termination-log"
# Without requests a pod is the first to be evicted.
_REQUESTS = {"cpu": "500m", "memory": "1Gi"}
# Who it is where nobody may be root: the user that most images with one have.
_USER = 1000
# Seconds: what a stopped job has to save.
_GRACE = 30
# An autoscaler moves what uses little of its node, and a job would begin anew.
_STAYS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
# What proves a service account, as its Secret has it.
_PROOF = ("ca.crt", "namespace", "token")


@dataclass(frozen=True)
class Contents:
  """What is in a job's pods beside what its spec says.

  Attributes:
    digest: sha256 of spec.json.
    image: of the container.
    runner: name of the runner's ConfigMap.
    variables: names of the values that the job's Secret holds.
    restricted: for a namespace that lets no pod be root or have privileges,
      by the Pod Security Standard of that name.
  """

  digest: str
  image: str
  runner: str
  variables: tuple[str, ...]
  restricted: bool = False


@dataclass(frozen=True)
class Part:
  """Which of a job's pods a template is for.

  Attributes:
    index: the field of a pod that says which host it is; "" for the only one.
    restarts: whether its container is started again whenever it exits.
    release: a Secret that proves who may delete the job's objects; "" where
      this pod deletes none.
    environ: further variables.
    subdomain: the Service that gives each pod a name; "" for none.
    together: whether all of the job's pods are in one domain of their placement
      because the template says it, rather than whoever makes them.
  """

  index: str = ""
  restarts: bool = False
  release: str = ""
  environ: Mapping[str, str] = field(default_factory=dict)
  subdomain: str = ""
  together: bool = False


def place(spec: JobSpec) -> Placement:
  """Which node each host of the job is."""
  return placement(parse_accelerator(spec.resources.accelerator))


def pod_template(
  spec: JobSpec, contents: Contents, part: Part | None = None
) -> dict[str, Any]:
  """The template of a job's pods.

  Args:
    part: which of them; None for the pod of a job of one host.
  """
  part = part or Part()
  pod = _pod(spec, contents, part)
  if contents.restricted:
    _restrict(pod, contents.variables)
  metadata = pods.metadata(spec)
  metadata["annotations"] |= _STAYS
  return {"metadata": metadata, "spec": pod}


def _pod(spec: JobSpec, contents: Contents, part: Part) -> dict[str, Any]:
  there = place(spec)
  asked = spec.resources
  limits = dict(there.limits)
  requests = {**_REQUESTS, **limits}
  shared: dict[str, Any] = {"medium": "Memory"}
  if asked.cpu:
    requests["cpu"] = asked.cpu
  if asked.memory:
    # As much as it may take: so it never is what another pod took away.
    requests["memory"] = limits["memory"] = asked.memory
    shared["sizeLimit"] = quantity.half(asked.memory)
  pod: dict[str, Any] = {
    "restartPolicy": "Always" if part.restarts else "Never",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": _GRACE,
    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
      {
        "name": pods.CONTAINER,
        "image": contents.image,
        "command": ["python3", "-I", f"{_FOLDER}/runner/{pods.ARCHIVE}"],
        "env": [
          *secrets.variables(spec.job_id, contents.variables),
          *_values(part.environ),
          *_launch(spec, contents.digest, part),
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
      {"name": "runner", "configMap": {"name": contents.runner}},
      _volume("key", spec.job_id, _files(spec)),
      {"name": "work", "emptyDir": {}},
      # The 64 MB of a container are too few for those who load data.
      {"name": "shared", "emptyDir": shared},
    ],
  }
  if part.release:
    # Each file is named: the pod waits for one that is not there yet.
    pod["volumes"].append(_volume("release", part.release, _PROOF))
    pod["containers"][0]["volumeMounts"].append(
      {"name": "release", "mountPath": _RELEASE}
    )
  if part.subdomain:
    pod["subdomain"] = part.subdomain
  if asked.priority_class:
    pod["priorityClassName"] = asked.priority_class
  if asked.service_account:
    pod["serviceAccountName"] = asked.service_account
  if there.selector:
    pod["nodeSelector"] = dict(there.selector)
  if part.together and there.domain:
    pod["affinity"] = _together(spec.job_id, there.domain)
  if there.tolerations:
    pod["tolerations"] = [dict(each) for each in there.tolerations]
  return pod


def _together(job_id: str, domain: str) -> dict[str, Any]:
  """All of the job in one domain, and no other job there.

  Two that each have a part of a slice would wait for each other for ever.
  """
  required = "requiredDuringSchedulingIgnoredDuringExecution"
  ours: dict[str, Any] = {"key": pods.JOB_LABEL}
  mine = [{**ours, "operator": "In", "values": [job_id]}]
  others = [
    {**ours, "operator": "Exists"},
    {**ours, "operator": "NotIn", "values": [job_id]},
  ]

  def term(expressions: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    selector = {"matchExpressions": expressions}
    return {
      required: [{"labelSelector": selector, **more, "topologyKey": domain}]
    }

  return {
    "podAffinity": term(mine),
    "podAntiAffinity": term(others, namespaceSelector={}),
  }


def _volume(name: str, secret: str, files: Iterable[str]) -> dict[str, Any]:
  items = [{"key": each, "path": each} for each in files]
  return {"name": name, "secret": {"secretName": secret, "items": items}}


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
  container["env"] += _values(
    {name: value for name, value in values.items() if name not in variables}
  )


def _files(spec: JobSpec) -> list[str]:
  """What of the job's Secret its first process reads as files."""
  return [secrets.KEY, *([secrets.RECIPE] if spec.image.requirements else [])]


def _launch(spec: JobSpec, digest: str, part: Part) -> list[dict[str, Any]]:
  launch = Launch(
    store=spec.target.store,
    job_id=spec.job_id,
    spec_digest=digest,
    host=0,
    hosts=spec.resources.hosts,
    key_file=f"{_FOLDER}/key/{secrets.KEY}",
    scratch=f"{_WORK}/scratch",
    allocation="",
    leader="127.0.0.1",
    last_words=_LAST_WORDS,
    by_line=True,
    recipe=f"{_FOLDER}/key/{secrets.RECIPE}" if spec.image.requirements else "",
    stays=part.restarts,
    release=_RELEASE if part.release else "",
  )
  # Each pod is another one.
  fields = {ALLOCATION_VARIABLE: "metadata.uid"}
  if part.index:
    # Not by name: one that does not resolve yet is not asked for again soon.
    fields |= {HOST_VARIABLE: part.index, LEADER_VARIABLE: "status.podIP"}
  values = launch.environ()
  return [
    *_values({name: v for name, v in values.items() if name not in fields}),
    *(
      {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
      for name, path in fields.items()
    ),
  ]


def _values(values: Mapping[str, str]) -> list[dict[str, Any]]:
  return [{"name": name, "value": value} for name, value in values.items()]
