import dataclasses
import os
from pathlib import Path
from typing import Any

from absl.testing import absltest

from keras_remote import errors
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for, backend_of
from keras_remote.home import Home, ensure
from keras_remote.job.spec import JobSpec, Target
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud
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

  def test_a_call_of_several_hosts(self) -> None:
    """On a cluster it is a group, unless a backend is named."""
    cases: list[tuple[dict[str, Any], str]] = [
      ({"context": "here", "hosts": 2}, "pathways"),
      ({"context": "here", "accelerator": "v5e-16"}, "pathways"),
      ({"context": "here", "accelerator": "v5e-16", "backend": "gke"}, "gke"),
      ({"context": "here", "accelerator": "l4x8"}, "gke"),
      ({"accelerator": "v5e-16"}, "local"),
    ]
    for fields, name in cases:
      found = backend_for(Options(store="x", **fields), self.home)
      self.assertEqual(found.name, name)

  def test_a_call_like_a_job(self) -> None:
    """At that job's place, unless it was another backend's."""
    options = Options(store="x", backend="gke", context="other")
    for job, place in (
      (self.job("gke", "here/mine"), "here/mine"),
      (self.job("pathways", "here/mine"), "here/mine"),
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


class GkePlacesTest(absltest.TestCase):
  """A project with one cluster of GKE, and no kubeconfig."""

  def setUp(self) -> None:
    super().setUp()
    cloud = self.enter_context(GoogleCloud())
    self.folder = self.create_tempdir().full_path
    cloud.add("p", "us-central1-a", "train", "https://192.0.2.7", "")
    variables = cloud.login(self.folder)
    variables["KUBECONFIG"] = os.path.join(self.folder, "none")
    self.enter_context(environment(**variables))

  def home(self, name: str) -> Home:
    return Home(ensure(Path(self.folder, name)))

  def options(self, **fields: Any) -> Options:
    return Options(store="x", **fields)

  def test_a_call_and_its_job(self) -> None:
    """A project and a cluster suffice; from elsewhere the job itself does."""
    options = self.options(project="p", cluster="train", namespace="team")
    backend = backend_for(options, self.home("here"))
    self.assertEqual(backend.name, "gke")
    self.assertEqual(backend.place, "gke://p/us-central1-a/train/team")
    target = Target("gke", "gs://bucket", backend.place)
    job = dataclasses.replace(job_spec(), target=target)
    with environment(KERAS_REMOTE_HOME=os.path.join(self.folder, "there")):
      found = backend_of(job, self.home("there"))
    self.assertEqual(found.place, backend.place)

  def test_a_context_of_gcloud(self) -> None:
    """Whom no kubeconfig leads to a job's context a log-in may."""
    target = Target("gke", "gs://bucket", "gke_p_us-central1-a_train/team")
    job = dataclasses.replace(job_spec(), target=target)
    with environment(KERAS_REMOTE_HOME=os.path.join(self.folder, "there")):
      found = backend_of(job, self.home("there"))
      self.assertEqual(found.place, "gke://p/us-central1-a/train/team")
      path = kubeconfig(self.folder, "gke_p_us-central1-a_train")
      with environment(KUBECONFIG=path):
        found = backend_of(job, self.home("there"))
    self.assertEqual(found.place, target.place)

  def test_a_place_that_is_none(self) -> None:
    """It leads nowhere, and no request is made of it."""
    for place in ("gke://p/team", "gke_p_train/team", "gke:///a/b/c/team"):
      target = Target("gke", "gs://bucket", place)
      job = dataclasses.replace(job_spec(), target=target)
      with self.assertRaises(errors.ConfigError):
        backend_of(job, self.home("here"))

  def test_the_namespace(self) -> None:
    """By default the cluster's own one of that name."""
    options = self.options(project="p", cluster="train", zone="us-central1-a")
    place = backend_for(options, self.home("here")).place
    self.assertEqual(place, "gke://p/us-central1-a/train/default")

  def test_the_project(self) -> None:
    """Google's own variable says it too, but alone chooses no backend."""
    self.enter_context(environment(GOOGLE_CLOUD_PROJECT="p"))
    home = self.home("here")
    self.assertEqual(backend_for(self.options(), home).name, "local")
    found = backend_for(self.options(cluster="train"), home)
    self.assertEqual(found.place, "gke://p/us-central1-a/train/default")

  def test_what_is_missing(self) -> None:
    """Each error says what to set."""
    home = self.home("here")
    for fields, words in (
      ({"cluster": "train"}, "KERAS_REMOTE_PROJECT"),
      ({"project": "p"}, "KERAS_REMOTE_CLUSTER"),
      ({"cluster": "train", "context": "here"}, "both context 'here'"),
      ({"backend": "gke"}, "KERAS_REMOTE_CONTEXT"),
    ):
      with self.assertRaisesRegex(errors.ConfigError, words):
        backend_for(self.options(**fields), home)


if __name__ == "__main__":
  absltest.main()
