"""What a cluster must have, and let its users do, for groups of hosts."""

import contextlib

from keras_remote import errors
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import JOBS, SETS
from keras_remote.backend.k8s.target import target_place
from keras_remote.home import Home

# What the home remembers: where they were seen today.
_SEEN = "leader-worker-sets"
# What an API server says that cannot ask a controller.
_WEBHOOK = "failed calling webhook"
INSTALL = "`keras-remote up` installs it, or see https://lws.sigs.k8s.io"
CURE = (
  f'{INSTALL}; or call with backend="gke", which needs nothing but Jobs, and '
  "starts no group again"
)


def check(cluster: Cluster, home: Home) -> None:
  """Passes where there are LeaderWorkerSets; asks once a day.

  Raises:
    ConfigError: the cluster has none.
  """
  place = target_place(cluster)
  if home.remembered(_SEEN, place):
    return
  if not installed(cluster):
    raise errors.ConfigError(
      f"{cluster.name.words} has no LeaderWorkerSet, of which pathways makes "
      f"the hosts of a job: {CURE}"
    )
  home.remember(_SEEN, place)


def recheck(cluster: Cluster, home: Home) -> None:
  """The same, whatever was seen today.

  Raises:
    ConfigError: the cluster has none any more.
  """
  home.forget(_SEEN, target_place(cluster))
  check(cluster, home)


def installed(cluster: Cluster) -> bool:
  """Whether there is the API, as far as this user may know."""
  with contextlib.suppress(errors.ClusterAccessError):
    return cluster.api("GET", f"/{SETS.group}") is not None
  return True


def unanswered(
  cluster: Cluster, error: errors.ClusterError
) -> errors.ClusterError:
  """The same, with what helps where the controller of sets is away."""
  if _WEBHOOK not in str(error):
    return error
  return errors.ClusterError(
    f"{error}. The controller of LeaderWorkerSets, which checks each new one, "
    f"does not answer: `{cluster.name.kubectl} --namespace=lws-system get "
    "pods` shows whether it runs. Call again when it does, or with "
    'backend="gke", which makes Jobs alone',
    status=error.status,
    reason=error.reason,
  )


def grants(cluster: Cluster) -> str:
  """The commands that let a user make groups, to be typed by an owner."""
  kubectl, namespace = cluster.name.kubectl, cluster.namespace
  sets = f"{SETS.plural}.{SETS.api_group}"
  name = "keras-remote-groups"
  return (
    f"`{kubectl} --namespace={namespace} create role {name} "
    "--verb=get,list,create,delete "
    "--resource=serviceaccounts,roles.rbac.authorization.k8s.io,"
    "rolebindings.rbac.authorization.k8s.io,jobs.batch,"
    f"{sets}` and `{kubectl} --namespace={namespace} create rolebinding {name} "
    f"--role={name} --user=YOU`"
  )


def refused(
  cluster: Cluster, error: errors.ClusterAccessError
) -> errors.ClusterAccessError:
  """The same, with what a group takes and what else there is.

  What is refused of a job of any kind is told as it is.
  """
  if f"{JOBS.plural}.{JOBS.api_group}" in str(error):
    return error
  return errors.ClusterAccessError(
    f"{error}. The hosts of a group end it with a role that may do just that, "
    "which is made for each job, and only of rights that its maker has. "
    f"Who owns the cluster can give you all of them: {grants(cluster)}. Or "
    'call with backend="gke", which makes Jobs alone',
    status=error.status,
  )
