"""From settings, or from the place of a job, to a cluster."""

import contextlib
import os

from keras_remote import errors
from keras_remote.accelerators import zones
from keras_remote.backend.base import Cloud, Wanted
from keras_remote.backend.k8s.cluster import Cluster, open_cluster, open_gke
from keras_remote.backend.k8s.connection import contexts
from keras_remote.backend.k8s.names import (
  ClusterName,
  GkeCluster,
  gke_cluster,
  gke_of_context,
)
from keras_remote.home import Home

# What Google's own libraries read; it alone chooses no backend.
PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"


def open_target(home: Home, wanted: Wanted, place: str | None) -> Cluster:
  """The namespace where a job runs.

  Args:
    place: where a job of it is; None for a new job.

  Raises:
    ConfigError: no cluster is named, or the kubeconfig has no such context.
  """
  if place:
    there, _, namespace = place.rpartition("/")
    gke = gke_cluster(there)
    if gke:
      return open_gke(home, gke, namespace)
    # The same cluster may go by another name here.
    if _named(wanted):
      if there in contexts():
        return open_cluster(there, namespace)
      return _open(home, wanted, namespace)
    # Who has no kubeconfig may have a log-in.
    gke = gke_of_context(there)
    if gke and not _knows(there):
      return open_gke(home, gke, namespace)
    return open_cluster(there, namespace)
  return _open(home, wanted, wanted.namespace)


def target_place(cluster: Cluster) -> str:
  """What `open_target` takes, here and on other machines.

  Raises:
    KerasRemoteError: the cluster had to be asked for, and was not found.
  """
  return f"{cluster.name.place}/{cluster.namespace}"


def cloud_of(wanted: Wanted, name: ClusterName) -> Cloud | None:
  """Where in Google Cloud the images of a cluster's jobs are made.

  None where no project is named, as for a cluster elsewhere.
  """
  gke = gke_cluster(name.place)
  project = wanted.project or (gke.project if gke else None)
  if project is None:
    return None
  zone = wanted.zone or (gke.location if gke else None)
  return Cloud(project, zone or zones.get_default_zone())


def _knows(context: str) -> bool:
  """Whether the kubeconfig, if there is one, has the context."""
  with contextlib.suppress(errors.ConfigError):
    return context in contexts()
  return False


def _named(wanted: Wanted) -> bool:
  return wanted.context is not None or wanted.cluster is not None


def _open(home: Home, wanted: Wanted, namespace: str | None) -> Cluster:
  if wanted.context and wanted.cluster:
    raise errors.ConfigError(
      f"both context '{wanted.context}' and cluster '{wanted.cluster}' name a "
      "cluster: set only one of context= and cluster= "
      "(`keras-remote config show` tells who says them)"
    )
  if wanted.context:
    return open_cluster(wanted.context, namespace)
  if wanted.cluster:
    gke = GkeCluster(_project(wanted), wanted.zone, wanted.cluster)
    return open_gke(home, gke, namespace)
  if wanted.project:
    raise errors.ConfigError(
      f"project '{wanted.project}' is named, and no cluster of it: set "
      "cluster= or KERAS_REMOTE_CLUSTER to one that `gcloud container clusters "
      f"list --project={wanted.project}` shows"
    )
  raise errors.ConfigError(
    "the gke backend runs on a cluster, and none is named: set context= or "
    "KERAS_REMOTE_CONTEXT to one that `kubectl config get-contexts` shows, or "
    "project= and cluster= to a cluster of GKE"
  )


def _project(wanted: Wanted) -> str:
  project = wanted.project or os.environ.get(PROJECT_VARIABLE, "").strip()
  if not project:
    raise errors.ConfigError(
      f"cluster '{wanted.cluster}' is named, and no project that has it: set "
      "project= or KERAS_REMOTE_PROJECT; `gcloud config get project` shows "
      "yours"
    )
  return project
