"""What a namespace demands of a job before it lets it run."""

import contextlib
from collections.abc import Callable, Sequence

from keras_remote import errors
from keras_remote.backend.base import Wanted
from keras_remote.backend.k8s import waiting
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.objects import ACCOUNTS, JOBS, Kind, Object
from keras_remote.backend.k8s.target import target_place
from keras_remote.home import Home

# A cluster serves one of them at least.
_QUEUES = tuple(
  Kind(f"apis/kueue.x-k8s.io/{version}", "localqueues")
  for version in ("v1beta1", "v1beta2")
)
_NOT_FOUND = 404
# What the home remembers: how it was answered.
_SECURITY = "pod-security"
# How a server's warning begins that no pod of such a Job would be let in.
_WARNING = 'would violate PodSecurity "restricted'


def restricted(
  cluster: Cluster, home: Home, manifest: Callable[[], Object]
) -> bool:
  """Whether its pods may neither be root nor have privileges.

  The API server is asked once a day, with a Job that it does not make: it
  refuses pods only later, when nobody hears.
  """
  for answer in (True, False):
    if home.remembered(_SECURITY, _note(cluster, answer)):
      return answer
  try:
    warned = cluster.warnings(JOBS, manifest())
  except errors.ClusterError:  # What is wrong shows when it is created.
    return False
  answer = any(_WARNING in each.replace("\\", "") for each in warned)
  home.remember(_SECURITY, _note(cluster, answer))
  return answer


def heed(cluster: Cluster, home: Home, events: Sequence[Object]) -> None:
  """Has the next call ask anew, where pods are refused all the same."""
  if waiting.is_insecure(events):
    for answer in (True, False):
      home.forget(_SECURITY, _note(cluster, answer))


def _note(cluster: Cluster, answer: bool) -> str:
  return f"{target_place(cluster)} {answer}"


def check(cluster: Cluster, home: Home, wanted: Wanted) -> None:
  """Passes for settings that the namespace can serve; asks once a day.

  Raises:
    ConfigError: the queue or the service account is not there.
  """
  for kind, name, look in (
    ("queue", wanted.queue, check_queue),
    ("service-account", wanted.service_account, check_account),
  ):
    if name is None:
      continue
    note = f"{target_place(cluster)} {name}"
    if not home.remembered(kind, note):
      look(cluster, name)
      home.remember(kind, note)


def check_account(cluster: Cluster, account: str) -> None:
  """Passes for a service account that is there: no other would get a pod.

  Raises:
    ConfigError: the namespace has none of this name.
  """
  with contextlib.suppress(errors.ClusterAccessError):
    if cluster.has(ACCOUNTS, account):
      return
    raise errors.ConfigError(
      f"namespace '{cluster.namespace}' has no service account '{account}': "
      f"`{cluster.name.kubectl} -n {cluster.namespace} create serviceaccount "
      f"{account}`, or name another one by service_account= or "
      "KERAS_REMOTE_SERVICE_ACCOUNT"
    )


def check_queue(cluster: Cluster, queue: str) -> None:
  """Passes for a queue that is there: no other would ever let a job go.

  Raises:
    ConfigError: the namespace has no such queue, or the cluster no Kueue.
  """
  for kind in _QUEUES:
    try:
      found = cluster.list(kind, "").items
    except errors.ClusterAccessError:
      return  # Who may not look may still be let go.
    except errors.ClusterError as error:
      if error.status != _NOT_FOUND:
        raise
      continue
    names = [each["metadata"]["name"] for each in found]
    if queue in names:
      return
    known = ", ".join(names) or "it has none"
    raise errors.ConfigError(
      f"namespace '{cluster.namespace}' has no queue '{queue}': set queue= or "
      f"KERAS_REMOTE_QUEUE to one of its LocalQueues ({known}), or to none"
    )
  raise errors.ConfigError(
    f"queue '{queue}' is asked for, and {cluster.name.words} has no Kueue, "
    "which would have it: leave queue= out, or install Kueue there"
  )
