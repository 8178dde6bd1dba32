import dataclasses
import os
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for, backend_of
from keras_remote.home import Home, ensure
from keras_remote.job.spec import JobSpec, Target
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig
from tests.fakes.specs import job_spec


class PlacesTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    folder = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(folder / "home"))
    path = kubeconfig(str(folder), "here", "other")
    self.enter_context(
      environment(KUBECONFIG=path, KERAS_REMOTE_HOME=str(self.home.path))
    )

  def job(self, backend: str, place: str) -> JobSpec:
    target = Target(backend, "gs://bucket", place)
    return dataclasses.replace(job_spec(), target=target)

  def test_a_call(self) -> None:
    """Where its options say, and by default on this machine."""
    self.assertEqual(backend_for(Options(store="x"), self.home).name, "local")
    options = Options(store="x", context="other", namespace="mine")
    self.assertEqual(backend_for(options, self.home).place, "other/mine")

  def test_a_call_like_a_job(self) -> None:
    """At that job's place, unless it was another backend's."""
    options = Options(store="x", backend="gke", context="other")
    for job, place in (
      (self.job("gke", "here/mine"), "here/mine"),
      (self.job("local", "machine:/home:1"), "other/team"),
    ):
      found = backend_for(options, self.home, like=job)
      self.assertEqual(found.place, place)

  def test_a_job(self) -> None:
    """Where it says itself, by a name of here."""
    job = self.job("gke", "here/mine")
    self.assertEqual(backend_of(job, self.home).place, "here/mine")
    theirs = self.job("gke", "theirs/mine")
    with self.assertRaises(errors.ConfigError):
      backend_of(theirs, self.home)
    os.environ["KERAS_REMOTE_CONTEXT"] = "other"
    self.assertEqual(backend_of(theirs, self.home).place, "other/mine")


if __name__ == "__main__":
  absltest.main()
