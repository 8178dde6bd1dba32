"""What a job of many hosts relies on: how LeaderWorkerSets behave.

What their controller's end means is in restarts_test.py.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from absl.testing import absltest, parameterized
from kubernetes import client

from tests.cluster import containers
from tests.cluster.calls import wait_until
from tests.cluster.namespace import REQUEST_SECONDS
from tests.cluster.sets import POOL, PREFIX, SetTest, all_slices

_EXCLUSIVE = {f"{PREFIX}/exclusive-topology": POOL}
_EXCLUSIVE_SLICES = {f"{PREFIX}/subgroup-exclusive-topology": POOL}
# Deletes a set as its leader does, and says what it is answered.
_RELEASE = """
import json, os, ssl, sys, urllib.error, urllib.request
folder, namespace = "/release", open("/release/namespace").read()
host, port = (
  os.environ[f"KUBERNETES_SERVICE_{each}"] for each in ("HOST", "PORT"))
context = ssl.create_default_context(cafile="/release/ca.crt")

def ask(method, path, body=None):
  request = urllib.request.Request(
    f"https://{host}:{port}{path}", method=method,
    data=body and json.dumps(body).encode(),
    headers={
      "Authorization": "Bearer " + open("/release/token").read(),
      "Content-Type": "application/json"})
  try:
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
      return answer.status, json.load(answer)
  except urllib.error.HTTPError as error:
    return error.code, None

group = "leaderworkerset.x-k8s.io"
sets = f"/apis/{group}/v1/namespaces/{namespace}/leaderworkersets"
said = {}
for name in ("ours", "theirs"):
  attributes = {
    "namespace": namespace, "verb": "delete", "group": group,
    "resource": "leaderworkersets", "name": name}
  _, review = ask(
    "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    {"apiVersion": "authorization.k8s.io/v1",
     "kind": "SelfSubjectAccessReview",
     "spec": {"resourceAttributes": attributes}})
  status, _ = ask(
    "DELETE", f"{sets}/{name}", {"propagationPolicy": "Background"})
  said[name] = [review["status"]["allowed"], status]
print(json.dumps(said))
"""


class LeaderWorkerSetTest(SetTest, parameterized.TestCase):
  def test_who_a_host_is(self) -> None:
    """Each pod is told its index by a label, and is started for ever."""
    self.create_set("group", 3)
    for index, pod in enumerate(self.wait_group("group", 3)):
      environ = self.environ(pod)
      self.assertEqual(environ["HOST"], str(index))
      self.assertEqual(environ["LWS_GROUP_SIZE"], "3")
      self.assertEqual(pod.spec.restart_policy, "Always")
      self.assertNotIn("TPU_WORKER_ID", environ)

  @pytest.mark.timeout(600)
  def test_slices(self) -> None:
    """Two sets each have all machines of a pool; what they need is named."""
    self.enter_context(all_slices())
    names = ("one", "two")
    for name in names:
      self.create_set(name, 4, chips=4, annotations=_EXCLUSIVE)
    pools: list[str] = []
    for name in names:
      group = self.wait_group(name, 4)
      pools += self.pools(group)
      self.assert_workers(name, group)
    self.assertLen(set(pools), 2)

  @pytest.mark.timeout(600)
  def test_several_slices(self) -> None:
    """Hosts of a group are in as many pools as it has slices, in order."""
    self.enter_context(all_slices())
    self.create_set(
      *("group", 8), chips=4, slice_hosts=4, annotations=_EXCLUSIVE_SLICES
    )
    group = self.wait_group("group", 8)
    pools: list[str] = []
    for hosts in (group[:4], group[4:]):
      pools += self.pools(hosts)
      self.assert_workers("group", hosts)
    self.assertLen(set(pools), 2)

  @pytest.mark.timeout(300)
  def test_made_anew(self) -> None:
    """All pods of a group are made anew when anything happens to one."""
    disturbances: dict[str, Callable[[list[Any]], object]] = {
      "a worker's process": lambda group: containers.first(group[1]).kill(),
      "a worker": lambda group: self.delete_pod(group[2]),
      "the leader's process": lambda group: containers.first(group[0]).kill(),
      "the leader": lambda group: self.delete_pod(group[0]),
    }
    self.create_set("group", 3)
    group = self.wait_group("group", 3)
    for name, disturb in disturbances.items():
      with self.subTest(name):
        disturb(group)
        group = self.wait_group("group", 3, but=group)

  def test_deleted(self) -> None:
    """With a set go all of its pods."""
    self.create_set("group", 3)
    self.wait_group("group", 3)
    self.delete_set("group")
    self.wait_gone("group")

  @parameterized.named_parameters(
    ("deleted", False),
    ("over_its_deadline", True),
  )
  def test_owned(self, deadline: bool) -> None:
    """An empty Job that owns a set takes all with it when it goes."""
    batch: Any = client.BatchV1Api(self.api)
    job = self.create_job(batch)
    self.create_set("group", 2, owner=job)
    self.wait_group("group", 2)
    if deadline:
      batch.patch_namespaced_job(
        *("group", self.namespace, {"spec": {"activeDeadlineSeconds": 1}}),
        _request_timeout=REQUEST_SECONDS,
      )
    else:
      batch.delete_namespaced_job(
        *("group", self.namespace),
        propagation_policy="Background",
        _request_timeout=REQUEST_SECONDS,
      )
    self.wait_gone("group")
    listed = batch.list_namespaced_job(
      self.namespace, _request_timeout=REQUEST_SECONDS
    )
    self.assertEmpty(listed.items)

  def test_release(self) -> None:
    """A token may end the one set that its role names, from within a pod."""
    for name in ("ours", "theirs"):
      self.create_set(name, 1, replicas=0)
    self.create_release("ours")
    mounted = {"name": "release", "secret": {"secretName": "ours"}}
    pod = self.create_pod(
      *("python", "-c", _RELEASE),
      image=self.cluster.python_image,
      mounts={"release": "/release"},
      volumes=[mounted],
      automountServiceAccountToken=False,
    )
    self.assertEqual(
      json.loads(self.output(pod)),
      {"ours": [True, 200], "theirs": [False, 403]},
    )
    wait_until(lambda: self.sets() == ["theirs"], "the set does not go")

  def create_job(self, batch: Any) -> Any:
    """A Job that starts no pod, and stays until its deadline."""
    container = {"name": "none", "image": self.cluster.busybox_image}
    spec = {"restartPolicy": "Never", "containers": [container]}
    job = batch.create_namespaced_job(
      self.namespace,
      {
        "metadata": {"name": "group"},
        "spec": {
          "parallelism": 0,
          "activeDeadlineSeconds": 3600,
          "ttlSecondsAfterFinished": 0,
          "template": {"spec": spec},
        },
      },
      _request_timeout=REQUEST_SECONDS,
    )
    return job

  def create_release(self, name: str) -> None:
    """A Secret with a token that may delete the set of that name."""
    rights: Any = client.RbacAuthorizationV1Api(self.api)
    metadata = {"name": name}
    group = "rbac.authorization.k8s.io"
    rule = {
      "apiGroups": ["leaderworkerset.x-k8s.io"],
      "resources": ["leaderworkersets"],
      "resourceNames": [name],
      "verbs": ["delete"],
    }
    account = "kubernetes.io/service-account"
    makes: Iterable[tuple[Callable[..., Any], dict[str, Any]]] = (
      (self.core.create_namespaced_service_account, {}),
      (rights.create_namespaced_role, {"rules": [rule]}),
      (
        rights.create_namespaced_role_binding,
        {
          "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
          "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
      ),
      (
        self.core.create_namespaced_secret,
        {
          "metadata": {**metadata, "annotations": {f"{account}.name": name}},
          "type": f"{account}-token",
        },
      ),
    )
    for make, body in makes:
      make(
        self.namespace,
        {"metadata": metadata, **body},
        _request_timeout=REQUEST_SECONDS,
      )

  def pools(self, group: list[Any]) -> set[str]:
    """Where the pods are; one, unless it fails."""
    nodes = {
      node.metadata.name: node.metadata.labels[POOL]
      for node in self.core.list_node(_request_timeout=REQUEST_SECONDS).items
    }
    pools = {nodes[pod.spec.node_name] for pod in group}
    self.assertLen(pools, 1)
    return pools

  def assert_workers(self, name: str, hosts: list[Any]) -> None:
    """Each host of a slice knows the slice's hosts, and which one it is."""
    addresses = [f"{pod.metadata.name}.{name}" for pod in hosts]
    for index, pod in enumerate(hosts):
      environ = self.environ(pod)
      self.assertEqual(environ["TPU_WORKER_ID"], str(index))
      self.assertEqual(environ["TPU_WORKER_HOSTNAMES"], ",".join(addresses))


if __name__ == "__main__":
  absltest.main()
