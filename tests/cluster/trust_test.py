"""Whom a job on a real cluster trusts, and who may know what of it."""

import io
import json
import pickle
import ssl
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from kubernetes import client

from keras_remote.backend.k8s import secrets
from keras_remote.job import layout
from keras_remote.storage.open import open_store
from tests.cluster.call_case import CallTest
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.environment import environment

_SUBMIT = """
import keras_remote

@keras_remote.run(name="slow", env={"TOKEN": "hunter2"})
def train():
  print("begun", flush=True)
  return b"7" * 100_000

# Waits until it is sent, and raises why it was not.
print(train.submit().spec.job_id)
"""
_RESULT = """
import keras_remote

job = keras_remote.attach()
try:
  print(len(job.result()))
except keras_remote.KerasRemoteError as error:
  print(type(error).__name__, error)
print("".join(job.logs()))
"""
_LOOK = """
import json, keras_remote

@keras_remote.run
def look():
  import os, pathlib, ssl, urllib.error, urllib.request

  tokens = list(pathlib.Path("/var/run/secrets").rglob("token"))
  paths = ("api/v1/namespaces/{namespace}/secrets/keras-remote-key",
           "api/v1/namespaces/{namespace}/secrets")
  refused = []
  for path in paths:
    url = f"https://kubernetes.default/{{path}}"
    try:
      urllib.request.urlopen(
        url, timeout=10, context=ssl._create_unverified_context())
    except urllib.error.HTTPError as error:
      refused.append(error.code)
  return {{
    "environ": dict(os.environ),
    "tokens": list(map(str, tokens)),
    "refused": refused,
  }}

print(json.dumps(look()))
"""


class _Bomb:
  """Says so where it is unpickled."""

  def __reduce__(self) -> Any:
    return print, ("exploded",)


class TrustTest(CallTest, parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.enter_context(environment(**self.cluster.environ))
    self.bucket = open_store(self.environ["KERAS_REMOTE_STORE"])

  def hold(self) -> None:
    """From now on no pod is let into the namespace."""
    self.core.create_namespaced_resource_quota(
      self.namespace,
      {"metadata": {"name": "held"}, "spec": {"hard": {"pods": "0"}}},
      _request_timeout=REQUEST_SECONDS,
    )
    # Until its controller has counted them it refuses all the same.

  def release(self) -> None:
    self.core.delete_namespaced_resource_quota(
      "held", self.namespace, _request_timeout=REQUEST_SECONDS
    )

  def key(self, job_id: str, name: str) -> str:
    return layout.job(job_id, name)

  def spec(self, job_id: str) -> dict[str, Any]:
    return json.loads(self.bucket.read(self.key(job_id, layout.SPEC)))

  @parameterized.parameters("spec", "payload", "context")
  def test_what_is_forged_before_it_runs(self, what: str) -> None:
    """It is refused by its digest, and nothing of it is run."""
    self.hold()
    job_id = self.ran(_SUBMIT)[0].strip()
    spec = self.spec(job_id)
    bomb = pickle.dumps(_Bomb())
    if what == "spec":
      forged = spec | {"payload": layout.digest(bomb)}
      data = json.dumps(forged, sort_keys=True).encode()
      self.bucket.write(self.key(job_id, layout.SPEC), data)
    if what != "context":
      self.bucket.write(self.key(job_id, layout.PAYLOAD), bomb)
    else:
      packed = io.BytesIO()
      with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.py", "print('exploded')")
      self.bucket.write(layout.context(spec["context"]), packed.getvalue())
    self.release()
    printed, _ = self.ran(_RESULT)
    self.assertIn("IntegrityError", printed)
    self.assertNotIn("exploded", printed)
    self.assertNotIn("begun", printed)

  def test_a_forged_result(self) -> None:
    """It is refused by its digest, which the ending names."""
    job_id = self.ran(_SUBMIT)[0].strip()
    self.assertIn("100000", self.ran(_RESULT)[0])
    for entry in list(self.bucket.list(self.key(job_id, "results/"))):
      self.bucket.write(entry.key, pickle.dumps(_Bomb()))
    printed, _ = self.ran(_RESULT)
    self.assertRegex(printed, "^IntegrityError")
    self.assertNotIn("exploded", printed)

  def test_a_forged_outcome(self) -> None:
    """It counts as none: the pod's own last words are asked, by their key."""
    job_id = self.ran(_SUBMIT)[0].strip()
    self.assertIn("100000", self.ran(_RESULT)[0])
    bomb = pickle.dumps(_Bomb())
    name = self.key(job_id, layout.OUTCOME)
    true = json.loads(self.bucket.read(name))
    forged = true | {"result": layout.digest(bomb)}
    self.bucket.write(name, json.dumps(forged).encode())
    self.bucket.write(self.key(job_id, layout.result(forged["result"])), bomb)
    printed, _ = self.ran(_RESULT)
    self.assertNotIn("exploded", printed)
    self.assertIn("100000", printed)

  def test_what_a_job_may_know(self) -> None:
    """Neither a token nor a key; the API tells nothing to who has none."""
    seen = json.loads(self.ran(_LOOK.format(namespace=self.namespace))[0])
    self.assertEqual(seen["tokens"], [])
    self.assertEqual(len(seen["refused"]), 2)
    self.assertContainsSubset(seen["refused"], [401, 403])
    keys = self.secret_values(secrets.KEY)
    self.assertLen(keys, 2)
    for value in seen["environ"].values():
      for key in keys:
        self.assertNotIn(key.hex(), value)
        self.assertNotIn(repr(key)[2:-1], value)

  def secret_values(self, item: str) -> list[bytes]:
    """What all Secrets of the namespace hold under this name."""
    import base64

    found = self.core.list_namespaced_secret(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    return [base64.b64decode(each.data[item]) for each in found if each.data]

  def test_what_its_service_account_may_know(self) -> None:
    """Nothing of other jobs; nor may it change what their pods start from."""
    job_id = self.ran(_SUBMIT)[0].strip()
    self.ran(_RESULT)
    (archive,) = (
      each.metadata.name
      for each in self.core.list_namespaced_config_map(
        self.namespace, _request_timeout=REQUEST_SECONDS
      ).items
      if each.metadata.name.startswith("keras-remote-runner")
    )
    (pod,) = self.core.list_namespaced_pod(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    token = self.token(pod.spec.service_account_name)
    place = f"/api/v1/namespaces/{self.namespace}"
    for method, path in (
      ("GET", f"{place}/secrets/{secrets.KEY_SECRET}"),
      ("GET", f"{place}/secrets/{job_id}"),
      ("GET", f"{place}/secrets"),
      ("DELETE", f"{place}/configmaps/{archive}"),
      ("DELETE", f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{job_id}"),
    ):
      self.assertEqual(self.asked(method, path, token), 403, path)
    # Even who may do all that cannot change what a name stands for.
    with self.assertRaises(client.ApiException) as raised:
      self.core.patch_namespaced_config_map(
        archive,
        self.namespace,
        {"binaryData": {"runner.pyz": "AAAA"}},
        _request_timeout=REQUEST_SECONDS,
      )
    self.assertEqual(raised.exception.status, 422)

  def asked(self, method: str, path: str, token: str) -> int:
    """The status of the API server's answer to who has the token."""
    settings = self.api.configuration
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    request = urllib.request.Request(
      settings.host + path,
      method=method,
      headers={"Authorization": f"Bearer {token}"},
    )
    try:
      with urllib.request.urlopen(
        request, timeout=REQUEST_SECONDS, context=context
      ) as answer:
        return answer.status
    except urllib.error.HTTPError as error:
      return error.code

  def test_who_may_not_read_the_key(self) -> None:
    """States and logs are shown; the result is not, and the cure is told."""
    self.ran(_SUBMIT)
    self.assertIn("100000", self.ran(_RESULT)[0])
    viewer = self.viewer()
    printed, _ = self.ran(
      """
      import keras_remote

      job = keras_remote.attach()
      print(job.status(), keras_remote.list_jobs(everyone=True)[0].state)
      print("".join(job.logs()).strip(), job.why().state)
      for ask in (job.result, job.cancel):
        try:
          ask()
        except keras_remote.CredentialsError as error:
          print(error)
      """,
      KUBECONFIG=str(viewer),
      KERAS_REMOTE_HOME=str(self.folder / "viewer"),
    )
    self.assertIn("SUCCEEDED SUCCEEDED\nbegun SUCCEEDED\n", printed)
    self.assertEqual(printed.count("create role "), 2)
    self.assertIn("create role keras-remote-key-reader", printed)

  def test_who_may_not_read_the_key_of_a_lost_job(self) -> None:
    """It is seen to be lost; ending it is left to others."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run
      def train():
        import time
        print("begun", flush=True)
        time.sleep(600)

      job = train.submit()
      for text in job.logs(follow=True):
        break
      print(job.id)
      """
    )
    batch: Any = client.BatchV1Api(self.api)
    batch.delete_namespaced_job(
      printed.strip(),
      self.namespace,
      propagation_policy="Foreground",
      _request_timeout=REQUEST_SECONDS,
    )
    printed, _ = self.ran(
      """
      import keras_remote

      job = keras_remote.attach()
      try:
        job.result(timeout=60)
      except keras_remote.CredentialsError as error:
        print(job.status(), error)
      """,
      KUBECONFIG=str(self.viewer()),
      KERAS_REMOTE_HOME=str(self.folder / "viewer"),
    )
    self.assertRegex(printed, "^LOST .*create role")

  def viewer(self) -> Path:
    """The kubeconfig of one who may look at Jobs, pods and their logs."""
    rbac: Any = client.RbacAuthorizationV1Api(self.api)
    look = ["get", "list", "watch"]
    rules = [
      {
        "apiGroups": ["", "batch"],
        "resources": ["jobs", "pods", "pods/log", "events"],
        "verbs": look,
      }
    ]
    rbac.create_namespaced_role(
      self.namespace,
      {"metadata": {"name": "viewer"}, "rules": rules},
      _request_timeout=REQUEST_SECONDS,
    )
    return self.user("viewer", "Role", "viewer")


if __name__ == "__main__":
  absltest.main()
