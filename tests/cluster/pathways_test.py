"""What a group on a real cluster is made of, and who may make and end it."""

import base64
import dataclasses
import shlex
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Submission, Wanted
from keras_remote.backend.k8s import needs, pods
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  ROLES,
  SECRETS,
  SETS,
)
from keras_remote.backend.k8s.sets import release_name
from keras_remote.backend.pathways import PathwaysBackend
from keras_remote.home import Home, ensure
from keras_remote.job.spec import Image, JobSpec, Target
from keras_remote.packaging.runner_archive import runner_archive
from tests.cluster.calls import wait_until
from tests.cluster.job_image import job_image
from tests.cluster.namespace import REQUEST_SECONDS, NamespaceTest
from tests.fakes.environment import environment
from tests.fakes.specs import JOB_ID, job_spec

# A pod may need minutes to start, and then waits for one before it gives up.
_SECONDS = 400.0
_KINDS = (JOBS, SETS, ACCOUNTS, ROLES, BINDINGS, SECRETS)
_OTHER = JOB_ID.replace("train", "other")


class PathwaysTest(NamespaceTest):
  def setUp(self) -> None:
    super().setUp()
    self.enter_context(environment(**self.cluster.environ))
    self.folder = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(self.folder / "home"))
    self.objects = open_cluster(self.cluster.context, self.namespace)

  def backend(self) -> PathwaysBackend:
    wanted = Wanted(self.cluster.context, self.namespace)
    return PathwaysBackend(self.home, wanted, None)

  def submit(
    self,
    job_id: str = JOB_ID,
    hosts: int = 2,
    image: str = "nowhere.invalid/image:1",
    store: str | None = None,
  ) -> JobSpec:
    """Has there be a group; its image is none, unless one is named."""
    used = self.backend()
    used.check_call(self.cluster.bucket, {})
    spec = dataclasses.replace(
      job_spec(job_id, accelerator="cpu", hosts=hosts),
      target=Target("pathways", store or self.cluster.bucket, used.place),
      image=Image(image),
    )
    spec = dataclasses.replace(
      spec, resources=dataclasses.replace(spec.resources, cpu="0.1")
    )
    runner = runner_archive(self.folder).path
    used.submit_job(Submission(spec, "2" * 64, runner, {}, b"key"))
    return spec

  def left(self, job_id: str = JOB_ID) -> set[str]:
    """The kinds of which something of the job is there."""
    selector = pods.selector(job_id)
    return {
      kind.plural for kind in _KINDS if self.objects.list(kind, selector).items
    }

  def pods(self) -> set[str]:
    """The names of the pods that there are."""
    found = self.core.list_namespaced_pod(
      self.namespace,
      label_selector=pods.selector(JOB_ID),
      _request_timeout=REQUEST_SECONDS,
    ).items
    return {pod.metadata.name for pod in found}

  def test_what_is_made(self) -> None:
    """The set has its pods, and the Job has none; it goes, and all is gone."""
    spec = self.submit()
    self.submit()
    self.assertLen(self.left(), len(_KINDS))
    hosts = {f"{JOB_ID}-0", f"{JOB_ID}-0-1"}
    wait_until(lambda: self.pods() == hosts, "the set has other pods")
    self.backend().cancel_job(spec)
    wait_until(lambda: not self.left(), "something is left")

  @pytest.mark.timeout(600)
  def test_hosts_that_cannot_begin(self) -> None:
    """They free their machines, with no client, and are not started again."""
    self.submit(image=job_image(), store="s3://bucket")
    seen = set[str]()

    def is_over() -> bool:
      found = self.core.list_namespaced_pod(
        self.namespace,
        label_selector=pods.selector(JOB_ID),
        _request_timeout=REQUEST_SECONDS,
      ).items
      for pod in found:
        for status in pod.status.container_statuses or ():
          self.assertEqual(status.restart_count, 0)
          if status.started:
            seen.add(pod.metadata.uid)
      return not found and not self.left()

    wait_until(is_over, "something is left", _SECONDS)
    self.assertNotEmpty(seen)
    self.assertLessEqual(len(seen), 2)

  def test_where_nobody_may_be_root(self) -> None:
    """All hosts of a group are let in there, too."""
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    self.core.patch_namespace(
      self.namespace,
      {"metadata": {"labels": enforce}},
      _request_timeout=REQUEST_SECONDS,
    )
    self.submit(hosts=3)
    wait_until(lambda: len(self.pods()) == 3, "not all pods are let in")

  def test_who_may_end_it(self) -> None:
    """Whoever has the leader's Secret: this one, and nothing else."""
    self.submit()
    self.submit(_OTHER)
    token = self.proof()
    self.assertEqual(self.asked("GET", SECRETS, JOB_ID, token), 403)
    for kind in (SETS, JOBS):
      self.assertEqual(self.asked("GET", kind, JOB_ID, token), 403)
      self.assertEqual(self.asked("DELETE", kind, _OTHER, token), 403)
    for kind in (SETS, JOBS):
      self.assertEqual(self.asked("DELETE", kind, JOB_ID, token), 200)
    wait_until(lambda: not self.left(), "something is left")
    self.assertLen(self.left(_OTHER), len(_KINDS))

  def test_who_may_make_it(self) -> None:
    """Not who may edit a namespace, but who was given what the error says."""
    user = self.user("maker", "ClusterRole", "edit")
    with (
      environment(KUBECONFIG=str(user)),
      self.assertRaises(errors.ClusterAccessError) as raised,
    ):
      self.submit()
    commands = needs.grants(self.objects)
    self.assertIn(commands, str(raised.exception))
    wait_until(lambda: not self.left(), "something is left")
    for command in commands.strip("`").split("` and `"):
      self.typed(command.replace("YOU", self.maker))
    with environment(KUBECONFIG=str(user)):
      self.submit()
    self.assertLen(self.left(), len(_KINDS))

  def typed(self, command: str) -> None:
    """Runs a command of kubectl's as the owner of the cluster."""
    try:
      subprocess.run(
        shlex.split(command), check=True, capture_output=True, timeout=60
      )
    except FileNotFoundError:
      self.skipTest("kubectl is not installed")

  def proof(self) -> str:
    """What the leader's Secret proves, once the cluster has filled it in."""

    def found() -> Any:
      secret = self.objects.get(SECRETS, release_name(JOB_ID)) or {}
      return secret.get("data", {}).get("token")

    return base64.b64decode(wait_until(found, "it has no token")).decode()

  def asked(self, method: str, kind: Any, name: str, token: str) -> int:
    """The status of the API server's answer to who has the token."""
    settings = self.api.configuration
    path = f"/{kind.group}/namespaces/{self.namespace}/{kind.plural}/{name}"
    request = urllib.request.Request(
      f"{settings.host}{path}?propagationPolicy=Background",
      method=method,
      headers={"Authorization": f"Bearer {token}"},
    )
    try:
      with urllib.request.urlopen(
        request,
        timeout=REQUEST_SECONDS,
        context=ssl.create_default_context(cafile=settings.ssl_ca_cert),
      ) as answer:
        return answer.status
    except urllib.error.HTTPError as error:
      return error.code

  @property
  def maker(self) -> str:
    return f"system:serviceaccount:{self.namespace}:maker"


if __name__ == "__main__":
  absltest.main()
