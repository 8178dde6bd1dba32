"""What needs no cluster; tests/cluster/group_test.py has what does."""

import dataclasses
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Submission, Wanted
from keras_remote.backend.k8s import needs
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
from keras_remote.job.spec import Image, Target
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import CONTEXT, KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec

_BUCKET = "gs://bucket"
_API = "leaderworkerset.x-k8s.io/v1"


class PathwaysTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    self.server.groups.add(_API)
    base = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(base / "home"))
    self.backend = self.open()

  def open(self) -> PathwaysBackend:
    return PathwaysBackend(self.home, Wanted(CONTEXT, None), None)

  def submission(self) -> Submission:
    runner = Path(self.create_tempfile(content="zip").full_path)
    spec = dataclasses.replace(
      job_spec(accelerator="cpu", hosts=2),
      target=Target("pathways", _BUCKET, self.backend.place),
      image=Image("image:1"),
    )
    return Submission(spec, "2" * 64, runner, {"TOKEN": "hunter2"}, b"key")

  def refuse(self, status: int, plural: str) -> None:
    """Answers so to who would make one of these."""

    def fault(request: Request) -> int | None:
      making = request.method == "POST" and request.path.endswith(plural)
      return status if making else None

    self.server.fault = fault

  def test_what_there_is_then(self) -> None:
    """A set of all hosts, and what may end it, as long as its Job is there."""
    for _ in range(2):
      self.backend.submit_job(self.submission())
    job = self.found(JOBS, JOB_ID)
    self.assertEqual(job["spec"]["parallelism"], 0)
    for kind, name in (
      (ACCOUNTS, JOB_ID),
      (ROLES, JOB_ID),
      (BINDINGS, JOB_ID),
      (SECRETS, release_name(JOB_ID)),
      (SETS, JOB_ID),
    ):
      metadata = self.found(kind, name)["metadata"]
      (owner,) = metadata["ownerReferences"]
      self.assertEqual(owner["uid"], job["metadata"]["uid"])
    group = self.found(SETS, JOB_ID)["spec"]["leaderWorkerTemplate"]
    self.assertEqual(group["size"], 2)
    self.assertNotIn("hunter2", str(group))

  def test_a_namespace_that_restricts_pods(self) -> None:
    """Its Job tells, though it has none; the set heeds it."""
    self.server.warning = 'would violate PodSecurity "restricted:latest": it'
    self.backend.submit_job(self.submission())
    group = self.found(SETS, JOB_ID)["spec"]["leaderWorkerTemplate"]
    for template in ("leaderTemplate", "workerTemplate"):
      context = group[template]["spec"]["securityContext"]
      self.assertTrue(context["runAsNonRoot"])

  def test_who_may_not_make_roles(self) -> None:
    """The right is named, who can give it, and what needs none of it."""
    for plural in ("roles", "rolebindings", "leaderworkersets"):
      self.refuse(403, plural)
      with self.assertRaises(errors.ClusterAccessError) as raised:
        self.backend.submit_job(self.submission())
      for words in (
        "create role keras-remote-groups",
        "rolebindings.rbac.authorization.k8s.io",
        "leaderworkersets.leaderworkerset.x-k8s.io",
        'backend="gke"',
      ):
        self.assertIn(words, str(raised.exception))
      self.assertIsNone(self.found(JOBS, JOB_ID))

  def test_who_may_not_make_jobs(self) -> None:
    """That has nothing to do with what groups take beside them."""
    said = 'jobs.batch is forbidden: User "me" cannot create resource "jobs"'
    error = errors.ClusterAccessError(said, status=403)
    cluster = open_cluster(CONTEXT, None)
    self.assertIs(needs.refused(cluster, error), error)

  def test_a_set_that_is_refused(self) -> None:
    """The job is not taken, and nothing of it left to run."""
    self.refuse(422, "leaderworkersets")
    with self.assertRaises(errors.SubmitError):
      self.backend.submit_job(self.submission())
    for kind in (JOBS, SECRETS):
      self.assertIsNone(self.found(kind, JOB_ID))

  def test_a_controller_that_is_away(self) -> None:
    """What the API server says of that is told with what helps."""
    said = 'failed calling webhook "mleaderworkerset.kb.io": refused'
    error = errors.ClusterError(f"it refuses (500): {said}", status=500)
    cluster = open_cluster(CONTEXT, None)
    told = needs.unanswered(cluster, error)
    for words in (said, "--namespace=lws-system get pods", 'backend="gke"'):
      self.assertIn(words, str(told))
    other = errors.ClusterError("it refuses (500)", status=500)
    self.assertEqual(needs.unanswered(cluster, other), other)

  def test_a_cluster_without_sets(self) -> None:
    """It is said before anything is sent, with what there is instead."""
    self.server.groups.clear()
    for _ in range(2):
      with self.assertRaisesRegex(
        errors.ConfigError, 'keras-remote up.*backend="gke"'
      ):
        self.backend.check_call(_BUCKET, {})

  def test_a_cluster_with_sets(self) -> None:
    """It is asked once a day."""
    for _ in range(2):
      self.open().check_call(_BUCKET, {})
    self.assertLen(self.server.requests, 1)

  def test_who_may_not_look(self) -> None:
    """They may be there all the same."""
    self.server.fault = lambda request: 403
    self.backend.check_call(_BUCKET, {})

  def test_sets_that_are_gone(self) -> None:
    """Who has seen them today is told, and whoever calls next."""
    self.backend.check_call(_BUCKET, {})
    self.server.groups.clear()
    self.refuse(404, "leaderworkersets")
    with self.assertRaisesRegex(errors.ConfigError, "keras-remote up"):
      self.backend.submit_job(self.submission())
    self.assertIsNone(self.found(JOBS, JOB_ID))
    with self.assertRaisesRegex(errors.ConfigError, "keras-remote up"):
      self.backend.check_call(_BUCKET, {})

  def test_any_number_of_hosts(self) -> None:
    """One is a group too, for who asks for it."""
    for hosts in (1, 64):
      self.backend.check_hosts(hosts, named=True)


if __name__ == "__main__":
  absltest.main()
