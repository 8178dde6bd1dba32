"""How it gets into a cluster, and what is told meanwhile."""

import dataclasses
from typing import Any

import yaml
from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  QUOTAS,
  ROLES,
  SETS,
  Applied,
  Kind,
  Object,
)
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import kubernetes, releases
from keras_remote.progress import Step
from tests.fakes.api_server import Request
from tests.fakes.environment import environment
from tests.fakes.kubernetes_case import NAMESPACE, KubernetesCase

_CONFIG = InfraConfig(
  project="my-project",
  zone="us-central1-a",
  cluster="train",
  namespace=NAMESPACE,
  members=(
    "user:ada@example.com",
    "group:ml@example.com",
    "serviceAccount:ci@my-project.iam.gserviceaccount.com",
  ),
  quota=(("requests.google.com/tpu", "16"), ("count/jobs.batch", "50")),
)
_DEFINITION: Object = {
  "apiVersion": "apiextensions.k8s.io/v1",
  "kind": "CustomResourceDefinition",
  "metadata": {"name": "leaderworkersets.leaderworkerset.x-k8s.io"},
}
_CONTROLLER: Object = {
  "apiVersion": "v1",
  "kind": "ServiceAccount",
  "metadata": {"name": "controller", "namespace": "lws-system"},
}
_SYSTEM: Object = {
  "apiVersion": "v1",
  "kind": "Namespace",
  "metadata": {"name": "lws-system"},
}
_DEFINITIONS = Kind(
  "apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False
)
_CLUSTER_BINDINGS = Kind(
  "apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False
)
_NAMESPACES = Kind("api/v1", "namespaces", False)


class ApplyTest(KubernetesCase):
  def apply(self, **changed: Any) -> dict[str, Applied]:
    config = dataclasses.replace(_CONFIG, **changed)
    done = kubernetes.apply(self.cluster, config)
    self.said = kubernetes.summary(done)
    return {each.kind: each.how for each in done}

  def test_twice(self) -> None:
    """The second time nothing is changed, which is said."""
    first = self.apply()
    del first["Namespace"]  # It was there.
    self.assertEqual(set(first.values()), {Applied.MADE})
    self.assertIn("6 objects made", self.said)
    self.assertEqual(set(self.apply().values()), {Applied.SAME})
    self.assertEqual(self.said, "Kubernetes: all 7 objects are as they were")

  def test_what_is_asked_for_no_more(self) -> None:
    """Members lose what they had, and the quota goes."""
    self.apply()
    changed = self.apply(members=(), quota=())
    self.assertEqual(changed["RoleBinding"], Applied.CHANGED)
    self.assertEqual(self.found(BINDINGS, "keras-remote")["subjects"], [])
    self.assertIsNone(self.found(QUOTAS, "keras-remote"))
    self.assertNotIn("ResourceQuota", self.apply(members=(), quota=()))

  def test_another_namespace(self) -> None:
    """Members have no right where jobs were before; that is done once."""
    self.apply()
    self.apply(namespace="other")
    for kind, name in (
      (BINDINGS, "keras-remote"),
      (_CLUSTER_BINDINGS, f"keras-remote-{NAMESPACE}"),
    ):
      self.assertEqual(self.binding(kind, name)["subjects"], [])
    new = self.binding(_CLUSTER_BINDINGS, "keras-remote-other")
    self.assertLen(new["subjects"], len(_CONFIG.members))
    again = self.apply(namespace="other")
    self.assertEqual(set(again.values()), {Applied.SAME})

  def test_withdrawn(self) -> None:
    """What nobody else has a part in goes, wherever jobs were."""
    account = {"metadata": {"name": "theirs"}}
    self.cluster.create(ACCOUNTS, account)
    self.apply()
    self.apply(namespace="other")
    config = dataclasses.replace(_CONFIG, namespace="other")
    kubernetes.withdraw(self.cluster, config)
    for namespace in (NAMESPACE, "other"):
      there = dataclasses.replace(self.cluster, namespace=namespace)
      for kind in (ACCOUNTS, ROLES, BINDINGS, QUOTAS):
        self.assertFalse(there.has(kind, "keras-remote"), (namespace, kind))
    self.assertEmpty(self.cluster.list(_CLUSTER_BINDINGS, "").items)
    self.assertTrue(self.cluster.has(ACCOUNTS, "theirs"))
    self.assertTrue(self.cluster.has(_NAMESPACES, "other"))
    kubernetes.withdraw(self.cluster, config)

  def test_withdrawn_of_others(self) -> None:
    """What somebody else has written in too stays, without our members."""
    self.apply()
    path = f"/{BINDINGS.group}/namespaces/{NAMESPACE}/{BINDINGS.plural}"
    managers = [{"manager": "keras-remote"}, {"manager": "kubectl-edit"}]
    found = self.found(BINDINGS, "keras-remote")
    found["metadata"]["managedFields"] = managers
    self.server.put(path, found)
    path = f"/{ROLES.group}/namespaces/{NAMESPACE}/{ROLES.plural}"
    role = self.found(ROLES, "keras-remote")
    role["metadata"]["labels"] = {"managed-by": "helm"}
    self.server.put(path, role)
    kubernetes.withdraw(self.cluster, _CONFIG)
    self.assertEqual(self.found(BINDINGS, "keras-remote")["subjects"], [])
    self.assertTrue(self.cluster.has(ROLES, "keras-remote"))
    self.assertFalse(self.cluster.has(ACCOUNTS, "keras-remote"))

  def binding(self, kind: Kind, name: str) -> Object:
    """It, in the namespace where jobs were before if it is in any."""
    found = self.cluster.get(kind, name)
    assert found
    return found

  def test_a_cluster_that_lacks_a_kind(self) -> None:
    """It is named, rather than a path that is not found."""
    odd = {**_CONTROLLER, "apiVersion": "odd.example/v1", "kind": "Odd"}
    with self.assertRaisesRegex(errors.ClusterError, "no Odd of odd.example/v"):
      kubernetes.install(self.cluster, [odd])

  def manifest(self, *bodies: Object) -> str:
    """The path of a manifest."""
    text = yaml.safe_dump_all(bodies)
    return self.create_tempfile(content=text).full_path

  def sets(self, source: str) -> list[str]:
    """What is told while they are installed."""
    steps: list[Step] = []
    self.done = kubernetes.have_sets(self.cluster, source, steps.append)
    return [step.what.removeprefix("applying ") for step in steps]

  def test_sets(self) -> None:
    """What others are in comes first, each in the namespace that it names."""
    source = self.manifest(_CONTROLLER, _DEFINITION, _SYSTEM)
    self.assertEqual(
      self.sets(source)[1:],
      [
        "Namespace lws-system (1 of 3)",
        f"CustomResourceDefinition {_DEFINITION['metadata']['name']} (2 of 3)",
        "ServiceAccount controller (3 of 3)",
      ],
    )
    path = "/api/v1/namespaces/lws-system/serviceaccounts"
    self.assertIsNotNone(self.server.get(path, "controller"))
    # Nothing is fetched, and nothing applied.
    self.assertEqual((self.sets(source), self.done), ([], ()))
    self.server.remove(path, "controller")
    other = self.manifest(_CONTROLLER, _DEFINITION)
    self.sets(other)
    self.assertIsNotNone(self.server.get(path, "controller"))

  def test_sets_that_do_not_answer(self) -> None:
    """All of them is applied again: something of them may be gone."""
    source = self.manifest(_DEFINITION, _CONTROLLER)
    self.sets(source)
    left = [500]
    self.server.fault = lambda request: (
      left.pop() if left and _of_sets(request) else None
    )
    self.assertLen(self.sets(source), 3)
    self.assertEqual({each.how for each in self.done}, {Applied.SAME})

  def test_sets_of_a_file(self) -> None:
    """They stay where no other source is named: there may be no internet."""
    source = self.manifest(_DEFINITION, _CONTROLLER)
    self.sets(source)
    self.assertEqual((self.sets(""), self.done), ([], ()))

  def test_sets_of_a_release(self) -> None:
    """An older one that answers stays where the newer cannot be fetched."""
    self.sets(self.manifest(_DEFINITION))
    path = f"/{_DEFINITIONS.group}/{_DEFINITIONS.plural}"
    name = _DEFINITION["metadata"]["name"]
    body = self.server.get(path, name)
    assert body
    older = {"keras-remote/source": releases.address("0.0.1")}
    body["metadata"]["annotations"] = older
    self.server.put(path, body)
    # Nobody listens there.
    nobody, here = "http://127.0.0.1:9", "127.0.0.1,localhost"
    with environment(
      HTTPS_PROXY=nobody, https_proxy=nobody, NO_PROXY=here, no_proxy=here
    ):
      *_, told = self.sets("")
      self.assertIn("stay as they are: the manifest", told)
      self.server.remove(path, name)
      with self.assertRaisesRegex(errors.ConfigError, "cannot be fetched"):
        self.sets("")

  def test_sets_that_somebody_else_has_installed(self) -> None:
    """They are left as they are: another version may be in use."""
    managed = {"managedFields": [{"manager": "helm"}]}
    body = {"metadata": {**_DEFINITION["metadata"], **managed}}
    self.server.put(f"/{_DEFINITIONS.group}/{_DEFINITIONS.plural}", body)
    (told,) = self.sets(self.manifest(_DEFINITION))
    self.assertIn("left as they are", told)

  def test_all(self) -> None:
    """What jobs need, and then their sets."""
    done = kubernetes.provision(
      self.cluster, _CONFIG, source=self.manifest(_DEFINITION)
    )
    self.assertEqual(done[0].kind, "Namespace")
    self.assertEqual(done[-1].kind, "CustomResourceDefinition")

  def test_a_controller_that_comes(self) -> None:
    """It is waited for, and each time it is said for how long."""
    left = [500, 404, 500]
    self.server.fault = lambda request: (
      _of_sets(request) and (left.pop() if left else None)
    )
    steps: list[Step] = []
    kubernetes.wait_for_sets(
      self.cluster, steps.append, sleep=lambda seconds: None
    )
    self.assertEmpty(left)
    self.assertLen(steps, 3)

  def test_a_controller_that_does_not(self) -> None:
    """The error says where to look, and that the command can be repeated."""
    self.server.fault = lambda request: 500 if _of_sets(request) else None
    with self.assertRaisesRegex(errors.ClusterError, "lws-system get pods"):
      kubernetes.wait_for_sets(self.cluster, patience=-1)

  def test_who_may_not(self) -> None:
    """Nobody waits for a right."""
    self.server.fault = lambda request: 403 if _of_sets(request) else None
    with self.assertRaises(errors.ClusterAccessError):
      kubernetes.wait_for_sets(self.cluster)


def _of_sets(request: Request) -> bool:
  return request.path.endswith(SETS.plural)


if __name__ == "__main__":
  absltest.main()
