"""What a cluster is called, where people read or type it."""

from dataclasses import dataclass

_SCHEME = "gke://"
# How gcloud calls contexts: gke_project_location_name.
_GCLOUD = "gke"
_PARTS = 3


@dataclass(frozen=True)
class GkeCluster:
  """A cluster of GKE.

  Attributes:
    location: its zone or region; None where nobody says it.
  """

  project: str
  location: str | None
  name: str


@dataclass(frozen=True)
class ClusterName:
  """What a cluster is called.

  Attributes:
    place: begins the place of a job that is there.
    words: in a sentence.
    kubectl: begins a command of kubectl's on it.
    look: a command that tells whether it is up.
    login: how to prove anew who asks, as the end of a sentence.
  """

  place: str
  words: str
  kubectl: str
  look: str
  login: str


def of_context(context: str) -> ClusterName:
  """The name of a cluster that a context of the kubeconfig names."""
  kubectl = f"kubectl --context={context}"
  return ClusterName(
    place=context,
    words=f"the cluster of context '{context}'",
    kubectl=kubectl,
    look=f"{kubectl} get pods",
    login=f"`{kubectl} auth whoami` tells who you are there",
  )


def of_gke(cluster: GkeCluster) -> ClusterName:
  """The name of a cluster whose location is known."""
  project, location, name = cluster.project, cluster.location, cluster.name
  where = f"{name} --location={location} --project={project}"
  return ClusterName(
    place=f"{_SCHEME}{project}/{location}/{name}",
    words=f"the GKE cluster {project}/{location}/{name}",
    kubectl=f"kubectl --context={_GCLOUD}_{project}_{location}_{name}",
    look=f"gcloud container clusters describe {where}",
    login="`gcloud auth application-default login`",
  )


def gke_cluster(place: str) -> GkeCluster | None:
  """The cluster of GKE that a place names; None where it is a context."""
  parts = place.removeprefix(_SCHEME).split("/")
  if not place.startswith(_SCHEME) or len(parts) != _PARTS:
    return None
  return GkeCluster(*parts)


def gke_of_context(context: str) -> GkeCluster | None:
  """The cluster of a context that bears the name that gcloud gives it."""
  scheme, *parts = context.split("_")
  if scheme != _GCLOUD or len(parts) != _PARTS:
    return None
  return GkeCluster(*parts)
