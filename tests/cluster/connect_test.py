"""Calls on a GKE cluster that no kubeconfig names, on a real API server.

A double of Google's Container API says where that is, and gives tokens of a
service account that may do what a user needs.
"""

import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

from absl.testing import absltest
from kubernetes import client

from keras_remote import clock
from keras_remote.backend.k8s import rights
from tests.cluster.api_proxy import ApiProxy
from tests.cluster.call_case import CallTest
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS
from tests.fakes.google_cloud import GoogleCloud, refusal

_ZONE = "us-central1-a"
# Seconds of a token, the least that an API server gives.
_LIFETIME = 600
_COMMAND = str(Path(sys.executable).with_name("keras-remote"))
_ADD = """
import keras_remote

@keras_remote.run
def train(lr):
  print("begun", flush=True)
  return lr * 2

print(train(0.25))
"""
# Until the test lets it end.
_WAIT = """
import sys
import keras_remote

@keras_remote.run
def train():
  import time
  print("begun", flush=True)
  time.sleep(25)
  return 7

job = train.submit()
print(job.id, flush=True)
for text in job.logs(follow=True):
  print(text.strip(), flush=True)
  break
try:
  print(job.result(timeout=80))
except keras_remote.KerasRemoteError as error:
  print(type(error).__name__, error)
"""


class GkeCase(CallTest):
  """A project `p` whose cluster `train` is the real one, through a proxy."""

  def setUp(self) -> None:
    super().setUp()
    self.proxy = self.enter_context(ApiProxy(self.folder))
    self.cloud = self.enter_context(GoogleCloud())
    authority = Path(self.folder, "proxy.crt").read_text()
    self.cloud.add("p", _ZONE, "train", self.proxy.url, authority)
    self.cloud.token = self.bound_token
    self.given: list[str] = []
    self.make_user()
    del self.environ["KERAS_REMOTE_CONTEXT"]
    self.environ |= {
      **self.cloud.login(self.folder),
      "KUBECONFIG": str(self.folder / "no-kubeconfig"),
      "KERAS_REMOTE_PROJECT": "p",
      "KERAS_REMOTE_ZONE": _ZONE,
      "KERAS_REMOTE_CLUSTER": "train",
    }

  def make_user(self) -> None:
    """A service account with the rights that `doctor` asks for, and no more."""
    rules: Any = client.RbacAuthorizationV1Api(self.api)
    role = {
      "metadata": {"name": "user"},
      "rules": rights.rules((*rights.RIGHTS, *rights.FURTHER)),
    }
    rules.create_namespaced_role(
      self.namespace, role, _request_timeout=REQUEST_SECONDS
    )
    self.user("user", "Role", "user")

  def bound_token(self) -> str:
    """A token that counts for as long as a Secret of its own is there."""
    name = f"token-{len(self.given)}"
    self.given.append(name)
    self.core.create_namespaced_secret(
      self.namespace,
      {"metadata": {"name": name}},
      _request_timeout=REQUEST_SECONDS,
    )
    bound = {"apiVersion": "v1", "kind": "Secret", "name": name}
    answer = self.core.create_namespaced_service_account_token(
      "user",
      self.namespace,
      {"spec": {"expirationSeconds": _LIFETIME, "boundObjectRef": bound}},
      _request_timeout=REQUEST_SECONDS,
    )
    return answer.status.token

  def end_tokens(self) -> None:
    """Those that were given count no more, and no connection stays."""
    tokens = list(self.cloud.tokens)
    while self.given:
      self.core.delete_namespaced_secret(
        self.given.pop(), self.namespace, _request_timeout=REQUEST_SECONDS
      )
    # The API server remembers for seconds that a token was good.
    deadline = clock.monotonic() + POD_SECONDS
    while any(map(self.counts, tokens)):
      self.assertLess(clock.monotonic(), deadline)
      threading.Event().wait(0.5)
    self.proxy.cut()

  def counts(self, token: str) -> bool:
    """Whether the API server takes the token."""
    answer = self.api.rest_client.pool_manager.request(
      "GET",
      f"{self.api.configuration.host}/api",
      headers={"Authorization": f"Bearer {token}"},
      timeout=REQUEST_SECONDS,
    )
    return answer.status != 401

  def start(self, script: str) -> "subprocess.Popen[str]":
    project = self.folder / "project"
    project.mkdir(exist_ok=True)
    path = project / "train.py"
    path.write_text(textwrap.dedent(script))
    started = subprocess.Popen(
      [sys.executable, str(path)],
      cwd=project,
      env=self.environ,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    self.addCleanup(started.wait, POD_SECONDS)
    self.addCleanup(started.kill)
    return started


class CallsTest(GkeCase):
  def test_a_call(self) -> None:
    """A project, a zone, a cluster and a log-in: the value comes back."""
    printed, said = self.ran(_ADD)
    self.assertEqual(printed, "begun\n0.5\n")
    self.assertIn("SUCCEEDED", said)
    self.assertFalse((self.folder / "no-kubeconfig").exists())
    self.assertFalse((self.folder / "no-gcloud").exists())
    # A warm one asks neither where the cluster is nor whether all is well.
    asked = len(self.cloud.requests)
    requests = len(self.proxy.requests)
    self.ran(_ADD)
    self.assertEqual(self.cloud.requests[asked:], ["/token"])
    paths = [request.path for request in self.proxy.requests[requests:]]
    self.assertEmpty([path for path in paths if "accessreviews" in path])

  def test_from_elsewhere(self) -> None:
    """A job says itself where it is: attach needs a log-in, and the store."""
    self.ran(_ADD)
    for name in ("PROJECT", "ZONE", "CLUSTER", "NAMESPACE"):
      del self.environ[f"KERAS_REMOTE_{name}"]
    printed, _ = self.ran(
      """
      import keras_remote
      job = keras_remote.attach()
      print(job.status(), job.result(timeout=60))
      """,
      KERAS_REMOTE_HOME=str(self.folder / "elsewhere"),
    )
    self.assertEqual(printed, "SUCCEEDED 0.5\n")

  def test_tokens_that_end_at_once(self) -> None:
    """Each request has one that still counts, and the job is as ever."""
    self.cloud.lifetime = 5
    printed, _ = self.ran(_ADD)
    self.assertEqual(printed, "begun\n0.5\n")
    self.assertGreater(len(self.cloud.tokens), 3)

  def test_a_token_that_ends_during_a_job(self) -> None:
    """The watch goes on with another one."""
    with self.start(_WAIT) as script:
      assert script.stdout
      script.stdout.readline()
      self.assertEqual(script.stdout.readline(), "begun\n")
      before = len(self.cloud.tokens)
      self.end_tokens()
      printed, said = script.communicate(timeout=POD_SECONDS)
    self.assertEqual(printed, "7\n", said)
    self.assertGreater(len(self.cloud.tokens), before)

  def test_a_log_in_that_ends_during_a_job(self) -> None:
    """It is said how to log in; the job goes on, and is attached to later."""
    with self.start(_WAIT) as script:
      assert script.stdout
      script.stdout.readline()
      self.assertEqual(script.stdout.readline(), "begun\n")
      self.cloud.revoked = True
      self.end_tokens()
      printed, said = script.communicate(timeout=POD_SECONDS)
    self.assertRegex(
      printed, "^CredentialsError .*gcloud auth application-default", said
    )
    self.cloud.revoked = False
    printed, _ = self.ran(
      "import keras_remote; print(keras_remote.attach().result(timeout=60))"
    )
    self.assertEqual(printed, "7\n")


class MissingTest(GkeCase):
  """Nothing is sent before all is there, and what is missing has its cure."""

  def fails(self, *words: str, **variables: str) -> None:
    _, said = self.ran(_ADD, expected=1, **variables)
    for each in words:
      self.assertRegex(said, each)
    self.assertNotIn('Traceback (most recent call last):\n  File "<', said)

  def doctor(self, **variables: str) -> dict[str, Any]:
    ran = subprocess.run(
      [_COMMAND, "doctor", "--json"],
      env=self.environ | variables,
      cwd=self.folder,
      capture_output=True,
      text=True,
      timeout=POD_SECONDS,
      check=False,
    )
    found = json.loads(ran.stdout)
    self.assertEqual(ran.returncode, 0 if found["ok"] else 1, ran.stderr)
    return {each["what"]: each for each in found["checks"]}

  def test_no_project(self) -> None:
    """The error says how one is named."""
    del self.environ["KERAS_REMOTE_PROJECT"]
    self.fails("ConfigError: .*KERAS_REMOTE_PROJECT.*gcloud config")

  def test_no_such_cluster(self) -> None:
    """The wrong zone and the wrong name: those that there are are named."""
    cures = "ConfigError: .*train in us-central1-a"
    self.fails(cures, KERAS_REMOTE_ZONE="europe-west4-b")
    self.fails(cures, KERAS_REMOTE_CLUSTER="trian")

  def test_a_project_without_access(self) -> None:
    """The error says who can allow it."""

    def fault(path: str) -> tuple[int, object]:
      return 403, refusal("Required container.clusters.get")

    self.cloud.fault = fault
    self.fails("ClusterAccessError: .*roles/container.developer")

  def test_nobody_is_logged_in(self) -> None:
    """The error says how to."""
    self.cloud.revoked = True
    self.fails("CredentialsError: .*gcloud auth application-default login")

  def test_several_things_at_once(self) -> None:
    """One error tells of the namespace and of the bucket."""
    self.fails(
      "CredentialsError: 2 things are missing",
      "- bucket: .*gcloud storage buckets create gs://no-such-bucket",
      # Who may not look at namespaces is told what the rights say.
      "- rights: you may not get jobs.*create rolebinding",
      KERAS_REMOTE_NAMESPACE="no-such-namespace",
      KERAS_REMOTE_STORE="gs://no-such-bucket",
    )

  def test_doctor(self) -> None:
    """Each link of the chain is well; a second cluster's is not there."""
    found = self.doctor()
    for what in (
      "Python",
      "home",
      "disk",
      "options",
      "Google log-in",
      "Container API",
      "cluster",
      "rights",
      "bucket",
    ):
      self.assertTrue(found[what]["ok"], found[what])
    # Calls need no right to look at these.
    for what in ("namespace", "service account", "quota"):
      self.assertIsNone(found[what]["ok"])
      self.assertIn("you may not look", found[what]["sentence"])
    found = self.doctor(KERAS_REMOTE_CLUSTER="other")
    self.assertFalse(found["Container API"]["ok"])
    self.assertIsNone(found["rights"]["ok"])
    self.assertTrue(found["bucket"]["ok"])

  def test_doctor_of_a_user_without_rights(self) -> None:
    """All that are missing are told."""
    rules: Any = client.RbacAuthorizationV1Api(self.api)
    rules.delete_namespaced_role_binding(
      "user", self.namespace, _request_timeout=REQUEST_SECONDS
    )
    rights = self.doctor()["rights"]
    self.assertFalse(rights["ok"])
    self.assertIn("create jobs", rights["sentence"])
    self.assertIn("create rolebinding", rights["cure"])


class FixTest(CallTest):
  def test_a_namespace(self) -> None:
    """`doctor --fix` makes the one that is missing."""
    missing = f"{self.namespace}-made"
    self.addCleanup(
      lambda: self.core.delete_namespace(
        missing, _request_timeout=REQUEST_SECONDS
      )
    )
    self.environ["KERAS_REMOTE_NAMESPACE"] = missing
    _, said = self.ran(_ADD, expected=1)
    self.assertRegex(said, "ClusterError: .*has no namespace.*doctor --fix")
    for arguments, code, words in (
      ((), 1, "broken: namespace"),
      (("--fix",), 0, "namespace: mended"),
      ((), 0, "all is well"),
    ):
      ran = subprocess.run(
        [_COMMAND, "doctor", *arguments],
        env=self.environ,
        cwd=self.folder,
        capture_output=True,
        text=True,
        timeout=POD_SECONDS,
        check=False,
      )
      self.assertEqual(ran.returncode, code, ran.stdout + ran.stderr)
      self.assertIn(words, ran.stdout)
    printed, _ = self.ran(_ADD)
    self.assertEqual(printed, "begun\n0.5\n")


if __name__ == "__main__":
  absltest.main()
