"""Makes the objects of a job: its Job first, which owns all others."""

import contextlib
import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from keras_remote import clock, errors
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import JOBS, Kind, Object

# Seconds for which what an earlier Job left may take to go, and between looks:
# a watch of every kind were dearer.
_PATIENCE, _LOOK = 30.0, 0.25

# Those of one stage are made side by side, each stage after the one before.
Stages = Sequence[Sequence[tuple[Kind, Object]]]


def make(
  cluster: Cluster, job: Object, stages: Stages, patience: float = _PATIENCE
) -> Object | None:
  """The new Job; None where there was one, of which nothing is made twice.

  What cannot be made whole is not left half made.

  Args:
    stages: what the Job owns, which goes when it does.
    patience: seconds for which what has one of their names may take to go.

  Raises:
    ClusterError: the cluster fails, or refuses, or what has one of their names
      does not go.
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
        owned = pods.owned_by(owner)
        have = functools.partial(_have, cluster, owned, patience)
        # All of them are waited for, whichever fails.
        for each in [pool.submit(have, *each) for each in stage]:
          each.result()
  except BaseException:
    if created:
      with contextlib.suppress(errors.KerasRemoteError):
        cluster.delete(JOBS, name, uid=created["metadata"]["uid"])
    raise
  return created


def _have(
  cluster: Cluster, owned: Object, patience: float, kind: Kind, body: Object
) -> None:
  """Has there be such an object of this Job."""
  mine = {**body, "metadata": {**body["metadata"], **owned["metadata"]}}
  name = body["metadata"]["name"]
  deadline, pause = clock.monotonic() + patience, 0.0
  while True:
    found = cluster.create(kind, mine) or cluster.get(kind, name)
    if found is not None and _owners(found) == _owners(mine):
      return
    if clock.monotonic() >= deadline:
      raise _in_the_way(cluster, kind, name)
    # It is of an earlier Job of this name, and about to go with it.
    if found:
      cluster.delete(kind, name, uid=found["metadata"]["uid"])
    time.sleep(pause)
    pause = _LOOK


def _in_the_way(cluster: Cluster, kind: Kind, name: str) -> errors.ClusterError:
  in_namespace = f"{cluster.name.kubectl} --namespace={cluster.namespace}"
  return errors.ClusterError(
    f"the job needs an object that another one of its name keeps from being "
    f"made, in {kind.plural}: '{name}' is somebody else's, or does not go for a "
    f"finalizer that it has. `{in_namespace} get {kind.plural} {name} -o yaml` "
    "shows which; once it is gone, call again"
  )


def _owners(found: Object) -> list[str]:
  owners = found["metadata"].get("ownerReferences") or ()
  return [each["uid"] for each in owners]
