"""The Kubernetes side of `keras-remote up`, and jobs with exactly its rights."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from absl.testing import absltest
from kubernetes import client

from keras_remote import errors
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.links import links as links_of
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  PODS,
  QUOTAS,
  ROLES,
  Applied,
)
from keras_remote.checks import look_at
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import kubernetes, releases
from keras_remote.core.command import submit_command
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.cluster import install
from tests.cluster.calls import GCS, wait_until
from tests.cluster.gang import GangTest
from tests.cluster.namespace import REQUEST_SECONDS

_MEMBER = "ada@example.com"
# Asks what a job must not, as nobody, as its account, and as what ends its group.
_TRIES = """
import json, os, pathlib, ssl, sys, urllib.error, urllib.request
import keras_remote
from keras_remote.storage.open import open_store
store, namespace, other = sys.argv[1:]
job = keras_remote.current_job()
release = pathlib.Path("/keras-remote/release/token").read_text()
who = {"nobody": None, "account": os.environ["TOKEN"], "release": release}
core = f"api/v1/namespaces/{namespace}"
sets = "apis/leaderworkerset.x-k8s.io/v1/namespaces"
asked = [
  ("GET", f"{core}/secrets/{other}"),
  ("GET", f"{core}/secrets/{job.id}"),
  ("GET", f"{core}/secrets/keras-remote-key"),
  ("GET", f"{core}/secrets"),
  ("GET", f"{core}/pods"),
  ("GET", f"{core}/configmaps"),
  ("DELETE", f"{core}/pods"),
  ("DELETE", f"{sets}/{namespace}/leaderworkersets/{other}"),
  ("DELETE", f"apis/batch/v1/namespaces/{namespace}/jobs/{other}"),
  ("POST", f"apis/batch/v1/namespaces/{namespace}/jobs"),
  ("GET", "api/v1/nodes"),
]
seen = []
for name, token in who.items():
  for method, path in asked:
    request = urllib.request.Request(
      f"https://kubernetes.default.svc/{path}", method=method,
      data=b"{}" if method == "POST" else None,
      headers={"Content-Type": "application/json"})
    if token:
      request.add_header("Authorization", f"Bearer {token}")
    try:
      with urllib.request.urlopen(
        request, timeout=20, context=ssl._create_unverified_context()
      ) as answer:
        status = answer.status
    except urllib.error.HTTPError as error:
      status = error.code
    seen.append([name, method, path, status])
open_store(store).write(f"seen/{job.host}", json.dumps(seen).encode())
"""


@pytest.mark.timeout(600)
class ProvisionedTest(GangTest):
  """What `up` applies, in a namespace of the test's own."""

  def setUp(self) -> None:
    super().setUp()
    self.config = InfraConfig(
      project="my-project",
      zone="us-central1-a",
      # Jobs of a cluster are in one namespace: members leave the others.
      cluster=self.namespace,
      namespace=self.namespace,
      members=(f"user:{_MEMBER}",),
      quota=(("count/jobs.batch", "10"),),
    )
    rbac: Any = client.RbacAuthorizationV1Api(self.api)
    self.rbac = rbac
    self.objects = open_cluster(self.cluster.context, self.namespace)
    for delete in (
      rbac.delete_cluster_role_binding,
      rbac.delete_cluster_role,
    ):
      self.addCleanup(self.without, delete, f"keras-remote-{self.namespace}")

  def without(self, delete: Any, name: str) -> None:
    with contextlib.suppress(client.ApiException):  # It was never made.
      delete(name, _request_timeout=REQUEST_SECONDS)

  def apply(self, **changed: Any) -> dict[str, Applied]:
    """What became of each object, by its kind."""
    config = dataclasses.replace(self.config, **changed)
    done = kubernetes.apply(self.objects, config)
    self.said = kubernetes.summary(done)
    return {each.kind: each.how for each in done}

  @contextlib.contextmanager
  def as_member(self) -> Iterator[None]:
    """In this block the cluster takes this process for the member."""
    usual = self.proxy.headers

    def headers(passed: dict[str, str]) -> dict[str, str]:
      return {**usual(passed), "Impersonate-User": _MEMBER}

    self.proxy.headers = headers
    try:
      yield
    finally:
      self.proxy.headers = usual

  def test_twice(self) -> None:
    """The first time it makes all, the second time it changes nothing."""
    first = self.apply()
    # The test's own namespace is there.
    self.assertEqual(first.pop("Namespace"), Applied.CHANGED)
    self.assertEqual(set(first.values()), {Applied.MADE})
    self.assertIn("ResourceQuota", first)
    self.assertEqual(set(self.apply().values()), {Applied.SAME})
    self.assertIn("as they were", self.said)

  def test_what_is_changed(self) -> None:
    """It is as is asked for now: who is no member any more has no right."""
    self.apply()
    changed = self.apply(members=(), quota=())
    self.assertEqual(changed["RoleBinding"], Applied.CHANGED)
    self.assertEqual(changed["ClusterRoleBinding"], Applied.CHANGED)
    self.assertEqual(changed["Role"], Applied.SAME)
    self.assertEqual(changed["ResourceQuota"], Applied.CHANGED)
    binding = self.rbac.read_namespaced_role_binding(
      "keras-remote", self.namespace, _request_timeout=REQUEST_SECONDS
    )
    self.assertEmpty(binding.subjects or [])
    quotas = self.core.list_namespaced_resource_quota(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    self.assertEmpty(quotas)
    account = self.core.read_namespaced_service_account(
      "keras-remote", self.namespace, _request_timeout=REQUEST_SECONDS
    )
    self.assertEqual(
      account.metadata.annotations["iam.gke.io/gcp-service-account"],
      f"{self.namespace}-jobs@my-project.iam.gserviceaccount.com",
    )

  def test_withdrawn(self) -> None:
    """Nothing of it is left, a member may do nothing, and the rest stays."""
    theirs: Any = {"metadata": {"name": "theirs"}}
    self.objects.create(ACCOUNTS, theirs)
    self.objects.create(QUOTAS, {**theirs, "spec": {"hard": {"pods": "99"}}})
    self.apply()
    kubernetes.withdraw(self.objects, self.config)
    for kind in (ACCOUNTS, ROLES, BINDINGS, QUOTAS):
      self.assertFalse(self.objects.has(kind, "keras-remote"), kind)
    labels = f"keras-remote-cluster={self.config.cluster}"
    for listed in (
      self.rbac.list_cluster_role_binding,
      self.rbac.list_cluster_role,
    ):
      found = listed(label_selector=labels, _request_timeout=REQUEST_SECONDS)
      self.assertEmpty(found.items)
    self.assertTrue(self.objects.has(ACCOUNTS, "theirs"))
    self.assertTrue(self.objects.has(QUOTAS, "theirs"))
    with self.as_member(), self.assertRaises(errors.ClusterAccessError):
      self.objects.list(JOBS, "")
    kubernetes.withdraw(self.objects, self.config)

  def test_withdrawn_of_others(self) -> None:
    """What somebody else has a part in stays, without members."""
    self.apply()
    label = {"metadata": {"labels": {"team": "theirs"}}}
    self.rbac.patch_namespaced_role_binding(
      "keras-remote",
      self.namespace,
      label,
      field_manager="kubectl-label",
      _request_timeout=REQUEST_SECONDS,
    )
    kubernetes.withdraw(self.objects, self.config)
    found = self.objects.get(BINDINGS, "keras-remote")
    assert found
    self.assertEmpty(found.get("subjects") or [])
    self.assertFalse(self.objects.has(ROLES, "keras-remote"))

  def test_a_member(self) -> None:
    """May do all that calls take, and before that nothing."""
    with self.as_member(), self.assertRaises(errors.ClusterAccessError):
      self.submit(lambda: 7, service_account="keras-remote").result(60)
    self.apply()
    with self.as_member():
      job = self.submit(lambda: 7, service_account="keras-remote")
      self.assert_succeeds(job, 7)
      group = self.begin(service_account="keras-remote")
      self.assertTrue(group.cancel())
      with self.assertRaises(errors.JobCancelledError):
        group.result(timeout=self.seconds)

  def test_what_a_member_may_not(self) -> None:
    """All that `doctor` asks for is given, and nothing by which to get more."""
    self.apply()
    body: dict[str, Any] = {"metadata": {"name": "keras-remote"}}
    with self.as_member():
      links = links_of(self.objects, "keras-remote", None, groups=True)
      rights = {check.what: check for check in look_at(links)}["rights"]
      self.assertTrue(rights.ok, rights.sentence)
      for refused in (
        lambda: self.objects.create(PODS, body),
        lambda: self.objects.delete(BINDINGS, "keras-remote"),
        lambda: self.objects.patch(ROLES, "keras-remote", body),
        lambda: self.objects.delete(ACCOUNTS, "keras-remote"),
        lambda: self.objects.delete(QUOTAS, "keras-remote"),
        lambda: open_cluster(self.cluster.context, "default").list(JOBS, ""),
      ):
        with self.assertRaises(errors.ClusterAccessError):
          refused()
      # A role with rights that its maker has not.
      more = {
        **{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"},
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}],
      }
      with self.assertRaisesRegex(
        errors.ClusterAccessError, "not currently held"
      ):
        self.objects.create(ROLES, more)

  def test_the_release(self) -> None:
    """All kinds of the real manifest are taken, and twice changes nothing.

    It goes by other names: this cluster's own sets are in use.
    """
    bodies = self.release()
    self.addCleanup(self.uninstall, bodies)
    first = kubernetes.install(self.objects, bodies)
    self.assertEqual({each.how for each in first}, {Applied.MADE})
    self.assertGreater(len(first), 15)

    def same() -> bool:
      # Controllers still write how these stand.
      again = kubernetes.install(self.objects, bodies)
      return {each.how for each in again} == {Applied.SAME}

    wait_until(same, "applying it again changes something")

  def release(self) -> list[Any]:
    """The objects of the release, under names of this test alone."""
    if not install.lws_module().is_dir() or shutil.which("kubectl") is None:
      self.skipTest("there is no manifest, or nothing that makes it")
    made = subprocess.run(
      ("kubectl", "kustomize", install.lws_module() / "config" / "default"),
      check=True,
      capture_output=True,
      text=True,
      timeout=60,
    ).stdout
    for name in ("leaderworkerset.x-k8s.io", "leaderworkerset.sigs.k8s.io"):
      made = made.replace(name, f"{self.namespace}.example")
    file = self.create_tempfile(
      content=made.replace("lws-", f"{self.namespace}-")
    )
    # It defines another kind, so it is none of sets.
    with self.assertRaisesRegex(errors.ConfigError, "no manifest of Leader"):
      releases.manifest(file.full_path)
    bodies = [each for each in yaml.safe_load_all(file.read_text()) if each]
    for body in bodies:
      if body["kind"] == "Deployment":
        body["spec"]["replicas"] = 0  # Its image is nowhere.
    return bodies

  def uninstall(self, bodies: list[Any]) -> None:
    kinds = kubernetes.Kinds(self.objects)
    for body in bodies:
      kind = kinds.of(body)
      if not kind.namespaced:
        self.objects.delete(kind, body["metadata"]["name"])

  def test_what_a_job_must_not(self) -> None:
    """It is refused all of it, whoever it says to be, and goes on."""
    self.apply()
    (self.project / "tries.py").write_text(_TRIES)
    token = self.token("keras-remote")
    with self.as_member():
      other = self.begin(service_account="keras-remote")
      job = submit_command(
        ("python3", "tries.py", self.store, self.namespace, other.id),
        {
          "backend": "pathways",
          "accelerator": "cpu",
          "hosts": self.hosts,
          "cpu": 0.1,
          "capture_env_vars": [GCS],
          "env": {"TOKEN": token},
          "service_account": "keras-remote",
        },
      )
      self.assertEqual(job.outcome(timeout=self.seconds).state, State.SUCCEEDED)
    for host in range(self.hosts):
      seen = json.loads(open_store(self.store).read(f"seen/{host}"))
      # The cluster knows who asks, and refuses all the same.
      known = [each for each in seen if each[0] != "nobody"]
      self.assertEmpty([each for each in known if each[3] != 403])
      unknown = [each for each in seen if each[0] == "nobody"]
      self.assertEmpty([each for each in unknown if each[3] not in (401, 403)])
      self.assertLen(seen, 3 * 11)
    self.assertIs(other.status(), State.RUNNING)
    other.cancel()


if __name__ == "__main__":
  absltest.main()
