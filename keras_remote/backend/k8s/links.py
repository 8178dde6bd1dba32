"""What calls on a cluster take, link by link."""

import functools
from collections.abc import Sequence

from keras_remote import clock, credentials, errors
from keras_remote.backend.k8s import admission, needs
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.connection import GkeWay
from keras_remote.backend.k8s.objects import ACCOUNTS, QUOTAS, Object
from keras_remote.backend.k8s.rights import (
  FURTHER,
  GROUP_RIGHTS,
  RIGHTS,
  Right,
)
from keras_remote.checks import Check, Link, look_at
from keras_remote.job import quantity

# The links' names.
ADDRESS = "Container API"
CLUSTER = "cluster"
NAMESPACE = "namespace"
_RIGHTS = "rights"

# Seconds for all questions about rights, which are asked side by side.
_RIGHTS_LIMIT = 12.0
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# What of quotas concerns jobs.
_COUNTED = (
  "pods",
  "jobs",
  "secrets",
  "configmaps",
  "cpu",
  "memory",
  "gpu",
  "tpu",
)


def links(
  cluster: Cluster,
  account: str | None,
  queue: str | None,
  *,
  groups: bool = False,
) -> Sequence[Link]:
  """What calls in a namespace take.

  Args:
    account: the service account of jobs; None for the default.
    queue: of Kueue, which admits jobs; None for none.
    groups: whether jobs are LeaderWorkerSets.
  """
  found: list[Link] = []
  way = cluster.connection.way
  if isinstance(way, GkeWay):
    found.append(credentials.link())
    look = functools.partial(_address, way)
    found.append(Link(ADDRESS, look, [credentials.LINK]))

  def add(
    what: str, look: functools.partial[Check], *needs: str, vital: bool = False
  ) -> None:
    found.append(Link(what, look, needs, vital))

  partial = functools.partial
  add(CLUSTER, partial(_cluster, cluster), ADDRESS, vital=True)
  found.append(
    Link(
      NAMESPACE,
      partial(_namespace, cluster),
      [CLUSTER],
      mend=partial(_make_namespace, cluster),
    )
  )
  rights_look = partial(_rights, cluster, groups=groups)
  add(_RIGHTS, rights_look, NAMESPACE, vital=True)
  name = account or "default"
  account_look = partial(_account, cluster, name)
  add("service account", account_look, NAMESPACE, vital=True)
  add("quota", partial(_quota, cluster), NAMESPACE)
  if queue:
    add("queue", partial(_queue, cluster, queue), NAMESPACE, vital=True)
  groups_look = partial(_groups, cluster, needed=groups)
  add("LeaderWorkerSet", groups_look, CLUSTER, vital=groups)
  return found


def _address(way: GkeWay) -> Check:
  endpoint = way.look()
  return Check(ADDRESS, True, f"{way.name.words} is at {endpoint.url}")


def _cluster(cluster: Cluster) -> Check:
  begun = clock.monotonic()
  answer = cluster.api("GET", "/version") or {}
  took = clock.monotonic() - begun
  version = answer.get("gitVersion", "of an unknown version")
  return Check(
    CLUSTER,
    True,
    f"{cluster.name.words} answers: Kubernetes {version}, in "
    f"{1000 * took:.0f} ms",
  )


def _namespace(cluster: Cluster) -> Check:
  name = cluster.namespace
  try:
    found = cluster.api("GET", f"/api/v1/namespaces/{name}")
  except errors.ClusterAccessError:
    sentence = f"you may not look whether there is a namespace '{name}'"
    return Check(NAMESPACE, None, sentence)
  if found:
    ending = found.get("status", {}).get("phase") == "Terminating"
    if not ending:
      return Check(NAMESPACE, True, f"'{name}' is there")
    sentence = f"namespace '{name}' is being removed"
    cure = "wait until it is gone, and make it again, or name another one"
    return _broken(NAMESPACE, sentence, cure)
  sentence = f"{cluster.name.words} has no namespace '{name}'"
  return _broken(
    NAMESPACE,
    sentence,
    f"`{cluster.name.kubectl} create namespace {name}` or `keras-remote "
    "doctor --fix` makes it, or name another one with namespace=",
  )


def _make_namespace(cluster: Cluster) -> None:
  body = {"metadata": {"name": cluster.namespace}}
  cluster.api("POST", "/api/v1/namespaces", body)


def _rights(cluster: Cluster, *, groups: bool) -> Check:
  """Whether the user has all rights; each is asked for by itself.

  No request tells all: that one leaves out what Google's IAM allows.
  """

  def look(right: Right) -> Check:
    return Check(str(right), _may(cluster, right), "")

  needed = (*RIGHTS, *GROUP_RIGHTS) if groups else RIGHTS
  asked = [
    Link(str(right), functools.partial(look, right))
    for right in (*needed, *FURTHER)
  ]
  answers = list(look_at(asked, limit=_RIGHTS_LIMIT))
  for answer in answers:
    if answer.sentence:  # It was not answered.
      raise answer.error or errors.ClusterError(answer.sentence)
  vital = {str(right) for right in needed}
  refused = [answer.what for answer in answers if not answer.ok]
  missing = [what for what in refused if what in vital]
  where = f"in namespace '{cluster.namespace}'"
  cure = (
    f"who owns the cluster can allow it: `{cluster.name.kubectl} create "
    f"rolebinding keras-remote --clusterrole=edit --user=YOU "
    f"--namespace={cluster.namespace}`"
  )
  if missing:
    sentence = f"you may not {', '.join(missing)} {where}"
    if set(missing) <= {str(right) for right in GROUP_RIGHTS}:
      cure = f"who owns the cluster can allow it: {needs.grants(cluster)}"
    return _broken(_RIGHTS, sentence, cure, access=True)
  if refused:
    sentence = f"jobs run, but less is told: you may not {', '.join(refused)}"
    return Check(_RIGHTS, None, f"{sentence} {where}", cure)
  sentence = f"you may do all that a call takes {where}"
  return Check(_RIGHTS, True, sentence)


def _may(cluster: Cluster, right: Right) -> bool:
  asked = {
    "namespace": cluster.namespace,
    "verb": right.verb,
    "group": right.kind.api_group,
    "resource": right.kind.plural,
    "subresource": right.part,
  }
  body: Object = {"spec": {"resourceAttributes": asked}}
  answer = cluster.api("POST", _REVIEWS, body) or {}
  return bool(answer.get("status", {}).get("allowed"))


def _account(cluster: Cluster, name: str) -> Check:
  what = "service account"
  try:
    found = cluster.get(ACCOUNTS, name)
  except errors.ClusterAccessError:
    return Check(what, None, f"you may not look whether there is a '{name}'")
  if found:
    return Check(what, True, f"'{name}' is there")
  return _broken(
    what,
    f"namespace '{cluster.namespace}' has no service account '{name}'",
    f"`{cluster.name.kubectl} --namespace={cluster.namespace} create "
    f"serviceaccount {name}`, or name another one with service_account=",
  )


def _quota(cluster: Cluster) -> Check:
  what = "quota"
  try:
    quotas = cluster.list(QUOTAS, "").items
  except errors.ClusterAccessError:
    return Check(what, None, "you may not look at the namespace's quotas")
  rooms = [
    f"{name} {status.get('used', {}).get(name, '0')} of {most}"
    for quota in quotas
    for status in [quota.get("status", {})]
    for name, most in status.get("hard", {}).items()
    if any(word in name for word in _COUNTED)
  ]
  full = [room for room in rooms if _full(room)]
  if full:
    sentence = f"the namespace is full: {', '.join(full)}"
    cure = "wait until jobs end, or ask who owns the cluster for more"
    return Check(what, False, sentence, cure)
  if not rooms:
    return Check(what, True, "the namespace has none for jobs")
  return Check(what, True, f"there is room: {', '.join(rooms)}")


def _full(room: str) -> bool:
  """Whether all of it is used: "pods 3 of 3"."""
  _, used, _, most = room.rsplit(" ", 3)
  return quantity.number(used) >= quantity.number(most)


def _queue(cluster: Cluster, queue: str) -> Check:
  admission.check_queue(cluster, queue)
  return Check("queue", True, f"'{queue}' is there")


def _groups(cluster: Cluster, *, needed: bool) -> Check:
  what = "LeaderWorkerSet"
  if needs.installed(cluster):
    return Check(what, True, "is installed: slices of several hosts can run")
  if needed:
    return _broken(what, "is not installed, and pathways needs it", needs.CURE)
  return Check(
    what,
    None,
    "is not installed: only slices of several hosts need it",
    needs.INSTALL,
  )


def _broken(
  what: str, sentence: str, cure: str, *, access: bool = False
) -> Check:
  kind = errors.ClusterAccessError if access else errors.ClusterError
  return Check(what, False, sentence, cure, kind(f"{sentence}: {cure}"))
