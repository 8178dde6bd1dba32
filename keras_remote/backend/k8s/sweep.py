"""Removes what submitters that died left in a namespace."""

import datetime
from collections.abc import Iterable

from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.groups import owns_set
from keras_remote.backend.k8s.objects import (
  CONFIG_MAPS,
  JOBS,
  SECRETS,
  SETS,
  Object,
)

# Far more than a submitter needs between a Secret and its Job.
_SENDING = datetime.timedelta(hours=1)
# A version that nobody has called with for so long is rarely called again;
# what is gone is made again.
_UNUSED = datetime.timedelta(days=7)


def sweep(cluster: Cluster, latest: Object) -> None:
  """Removes what is left of jobs that never began, and runners none uses.

  What belongs to a Job that is there is given to it.

  Args:
    latest: a Job that was made just now: by its time others are old, as no
      clock but the server's counts.

  Raises:
    ClusterError: the cluster fails, or the user may not do that.
  """
  now = _made(latest)
  # Before the Jobs: so none of these is of a Job that came in between. And in
  # brief: what they hold is others' secrets.
  secrets = cluster.list(SECRETS, _OURS, brief=True).items
  archives = cluster.list(CONFIG_MAPS, _OURS, brief=True).items
  listed = cluster.list(JOBS, _OURS).items
  jobs = {each["metadata"]["name"]: each for each in listed}
  for secret in secrets:
    metadata = secret["metadata"]
    job_id = metadata["labels"].get(pods.JOB_LABEL)
    if job_id is None or metadata.get("ownerReferences"):
      continue
    if job_id in jobs:
      owner = pods.owned_by({**_JOB, **jobs[job_id]})
      cluster.patch(SECRETS, metadata["name"], owner)
    elif now - _made(secret) > _SENDING:
      cluster.delete(SECRETS, metadata["name"])
  used = {name for job in jobs.values() for name in _archives(job)}
  for archive in archives:
    name = archive["metadata"]["name"]
    unused = pods.is_archive(name) and name not in used
    if unused and now - _made(archive) > _UNUSED:
      cluster.delete(CONFIG_MAPS, name)
  _sweep_owners(cluster, [job for job in listed if now - _made(job) > _SENDING])


def _sweep_owners(cluster: Cluster, jobs: Iterable[Object]) -> None:
  """Removes Jobs that own a group, and have none: nothing ends them."""
  owners = [job for job in jobs if owns_set(job)]
  if not owners:
    return
  found = cluster.list(SETS, _OURS, brief=True).items
  sets = {each["metadata"]["name"] for each in found}
  for job in owners:
    metadata = job["metadata"]
    if metadata["name"] not in sets:
      cluster.delete(JOBS, metadata["name"], uid=metadata["uid"])


# A list says it once, and not with each of its items.
_JOB = {"apiVersion": "batch/v1", "kind": "Job"}


_OURS = ",".join(f"{name}={value}" for name, value in pods.MANAGED.items())


def _made(found: Object) -> datetime.datetime:
  return datetime.datetime.fromisoformat(found["metadata"]["creationTimestamp"])


def _archives(job: Object) -> Iterable[str]:
  """The ConfigMaps that the Job's pods mount."""
  for volume in job["spec"]["template"]["spec"].get("volumes", ()):
    if "configMap" in volume:
      yield volume["configMap"]["name"]
