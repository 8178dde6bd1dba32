"""Makes the objects of a job: its Job first, which owns all others."""

import contextlib
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from keras_remote import errors
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import JOBS, Kind, Object

# Those of one stage are made side by side, each stage after the one before.
Stages = Sequence[Sequence[tuple[Kind, Object]]]


def make(cluster: Cluster, job: Object, stages: Stages) -> Object | None:
  """The new Job; None where there was one, of which nothing is made twice.

  What cannot be made whole is not left half made.

  Args:
    stages: what the Job owns, which goes when it does.

  Raises:
    ClusterError: the cluster fails, or refuses.
  """
  created = cluster.create(JOBS, job)
  if not stages:
    return created
  name = job["metadata"]["name"]
  owner = created or cluster.get(JOBS, name)
  if owner is None:  # It has ended in between.
    return None
  try:
    for stage in stages:
      with ThreadPoolExecutor(len(stage), f"make {name}") as pool:
        have = functools.partial(_have, cluster, pods.owned_by(owner))
        # All of them are waited for, whichever fails.
        for each in [pool.submit(have, *each) for each in stage]:
          each.result()
  except BaseException:
    if created:
      with contextlib.suppress(errors.KerasRemoteError):
        cluster.delete(JOBS, name, uid=created["metadata"]["uid"])
    raise
  return created


def _have(cluster: Cluster, owned: Object, kind: Kind, body: Object) -> None:
  """Has there be such an object of this Job."""
  mine = {**body, "metadata": {**body["metadata"], **owned["metadata"]}}
  name = body["metadata"]["name"]
  found = cluster.create(kind, mine) or cluster.get(kind, name)
  while found is None or _owners(found) != _owners(mine):
    # It is of an earlier Job of this name, and about to go with it.
    if found:
      cluster.delete(kind, name, uid=found["metadata"]["uid"])
    found = cluster.create(kind, mine) or cluster.get(kind, name)


def _owners(found: Object) -> list[str]:
  owners = found["metadata"].get("ownerReferences") or ()
  return [each["uid"] for each in owners]
