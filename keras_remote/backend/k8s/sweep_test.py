import datetime
from typing import Any

from absl.testing import absltest

from keras_remote.backend.k8s import pods, secrets
from keras_remote.backend.k8s.objects import (
  CONFIG_MAPS,
  JOBS,
  SECRETS,
  SETS,
  Kind,
)
from keras_remote.backend.k8s.sweep import sweep
from tests.fakes.kubernetes_case import KubernetesCase

_NOW = datetime.datetime(2026, 1, 20, tzinfo=datetime.UTC)


class SweepTest(KubernetesCase):
  def made(self, kind: Kind, body: dict[str, Any], **ago: float) -> None:
    """Puts an object there that is so old."""
    at = _NOW - datetime.timedelta(**ago)
    text = at.isoformat().replace("+00:00", "Z")
    body["metadata"]["creationTimestamp"] = text
    self.put(kind, body)

  def job(self, name: str, runner: str = "") -> dict[str, Any]:
    labels = {**pods.MANAGED, pods.JOB_LABEL: name}
    volumes = [{"name": "work"}, {"configMap": {"name": runner}}]
    spec = {"template": {"spec": {"volumes": volumes}}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}

  def secret(self, name: str, **ago: float) -> None:
    labels = {**pods.MANAGED, pods.JOB_LABEL: name}
    self.made(SECRETS, secrets.job_secret(name, labels, b"key", {}), **ago)

  def sweep(self) -> None:
    self.made(JOBS, self.job("latest", pods.archive_name(b"new")))
    sweep(self.cluster, self.found(JOBS, "latest"))

  def test_secrets_of_jobs_that_never_began(self) -> None:
    """They go after an hour; the key of the namespace never."""
    self.secret("old", hours=2)
    self.secret("new", minutes=59)
    key = secrets.job_secret(secrets.KEY_SECRET, pods.MANAGED, b"key", {})
    self.made(SECRETS, key, days=100)
    self.sweep()
    self.assertIsNone(self.found(SECRETS, "old"))
    self.assertIsNotNone(self.found(SECRETS, "new"))
    self.assertIsNotNone(self.found(SECRETS, secrets.KEY_SECRET))

  def test_a_secret_whose_job_is_there(self) -> None:
    """It is given to it, as its submitter meant to."""
    self.secret("job", days=2)
    self.made(JOBS, self.job("job"), days=2)
    self.sweep()
    (owner,) = self.found(SECRETS, "job")["metadata"]["ownerReferences"]
    expected = {
      "apiVersion": "batch/v1",
      "kind": "Job",
      "name": "job",
      "uid": "uid-job",
    }
    self.assertEqual(owner, expected)

  def test_a_secret_with_an_owner(self) -> None:
    """The cluster removes it when it is time."""
    self.secret("job", days=2)
    secret = self.found(SECRETS, "job")
    secret["metadata"]["ownerReferences"] = [{"uid": "1"}]
    self.sweep()
    self.assertIsNotNone(self.found(SECRETS, "job"))

  def test_groups_that_were_half_made(self) -> None:
    """Their Jobs, which nothing else would end, go after an hour."""
    for name, ago in (("half", 2.0), ("new", 0.5), ("whole", 2.0)):
      job = self.job(name)
      job["spec"]["parallelism"] = 0
      self.made(JOBS, job, hours=ago)
    self.made(JOBS, self.job("alone"), hours=2)
    labels = {**pods.MANAGED, pods.JOB_LABEL: "whole"}
    self.put(SETS, {"metadata": {"name": "whole", "labels": labels}})
    self.sweep()
    self.assertIsNone(self.found(JOBS, "half"))
    for name in ("new", "whole", "alone"):
      self.assertIsNotNone(self.found(JOBS, name))

  def test_runners(self) -> None:
    """Those go that are old and that no Job uses; others are not ours."""
    for content in (b"used", b"old"):
      self.made(CONFIG_MAPS, pods.archive_map(content), days=8)
    self.made(CONFIG_MAPS, pods.archive_map(b"young"), days=6)
    other = {"metadata": {"name": "other", "labels": pods.MANAGED}}
    self.made(CONFIG_MAPS, other, days=8)
    self.made(JOBS, self.job("job", pods.archive_name(b"used")), days=8)
    self.sweep()
    for content, there in ((b"used", True), (b"old", False), (b"young", True)):
      found = self.found(CONFIG_MAPS, pods.archive_name(content))
      self.assertEqual(found is not None, there, content)
    self.assertIsNotNone(self.found(CONFIG_MAPS, "other"))

  def test_nobody_elses_secrets_are_read(self) -> None:
    """What is asked for is their metadata."""
    self.sweep()
    (request,) = (r for r in self.server.requests if "secrets" in r.path)
    self.assertIn("PartialObjectMetadataList", request.headers["Accept"])


if __name__ == "__main__":
  absltest.main()
