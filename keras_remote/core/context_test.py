"""Where a call runs, and what is refused before anything is sent."""

import os
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.core.context import JobContext, job_context, resources
from keras_remote.packaging.ignore import Ignore
from keras_remote.progress import silent
from tests.fakes.cloud_build import CloudBuildServer, MemoryWorker
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig
from tests.fakes.memory_store import MemoryStore


class ContextTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path).resolve()
    self.project = self.base / "project"
    self.project.mkdir()
    (self.project / "pyproject.toml").touch()
    self.addCleanup(os.chdir, os.getcwd())
    os.chdir(self.project)
    home = environment(KERAS_REMOTE_HOME=str(self.base / "home"))
    self.enter_context(home)
    os.environ.pop("CI", None)

  def context(self, **options: object) -> JobContext:
    return job_context({"accelerator": "cpu", **options})

  def test_a_store_in_the_project(self) -> None:
    """It is kept back from what later jobs are sent, also where it is used."""
    for _ in range(2):
      context = self.context(store="runs")
      context.store.create("jobs/a/spec.json", b"")
      self.assertTrue(Ignore(self.project).ignored("runs/jobs", is_dir=True))

  @parameterized.parameters("runs", ".")
  def test_a_store_that_would_be_sent(self, store: str) -> None:
    """A folder of the user's own that is not kept back is refused."""
    (self.project / "runs").mkdir()
    (self.project / "runs" / "notes.txt").touch()
    with self.assertRaisesRegex(errors.PackagingError, "store .* in the proj"):
      self.context(store=store)
    (self.project / ".kerasremoteignore").write_text("/runs/\njobs/\n")
    self.context(store=store)

  def test_a_home_that_would_be_sent(self) -> None:
    """It holds the key: that it was there before is no reason to send it."""
    home = self.project / "home"
    home.mkdir()
    (home / "config.toml").touch()
    os.environ["KERAS_REMOTE_HOME"] = str(home)
    with self.assertRaisesRegex(errors.PackagingError, "home folder"):
      self.context()

  def test_dependencies_are_checked_where_nothing_is_installed(self) -> None:
    """Else the first call on a cluster would be the first to say so."""
    with self.assertRaisesRegex(errors.ConfigError, "'numpy=1' is no requirem"):
      self.context(dependencies=["numpy=1"])
    with self.assertRaisesRegex(
      errors.ConfigError, "nofile.txt cannot be read"
    ):
      self.context(dependencies="nofile.txt")
    (self.project / "requirements.txt").write_text("numpy=1")
    self.context()  # Nobody asked for it here.
    self.context(dependencies=["numpy>=1"])

  def test_the_current_directory_is_gone(self) -> None:
    """It is said, with what to do."""
    gone = self.project / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with self.assertRaisesRegex(errors.PackagingError, "`cd` to"):
      self.context()

  def test_ci(self) -> None:
    """Nobody emulates an accelerator there by accident; a CPU is none."""
    os.environ["CI"] = "true"
    os.environ["KUBECONFIG"] = kubeconfig(
      self.create_tempdir().full_path, "here"
    )
    self.context()
    self.context(accelerator="v5e-8", backend="local")
    with self.assertRaisesRegex(errors.ConfigError, "KERAS_REMOTE_BACKEND"):
      self.context(accelerator="v5e-8")
    # A cluster emulates nothing; this one is not there.
    with self.assertRaisesRegex(errors.ConfigError, "context 'nowhere'"):
      self.context(accelerator="v5e-8", context="nowhere")

  def test_images_are_made_in_a_project(self) -> None:
    """Near its zone, the log beside the jobs; elsewhere nobody makes any."""
    worker = MemoryWorker()
    wanted = {
      "context": "here",
      "zone": "europe-west4-a",
      "store": "gs://jobs/team",
      "dependencies": ["six"],
    }
    with (
      CloudBuildServer(worker, lambda address: MemoryStore()) as server,
      environment(
        KUBECONFIG=kubeconfig(self.create_tempdir().full_path, "here"),
        CLOUD_BUILD_EMULATOR_HOST=server.address,
        STORAGE_EMULATOR_HOST="http://127.0.0.1:9",
      ),
    ):
      without = self.context(**wanted).image(silent)
      self.assertEmpty(server.requests)
      context = self.context(project="my-project", **wanted)
      first = context.image(silent)
      server.wait()
      second = context.image(silent)
    self.assertEqual(first, without)
    self.assertContainsSubset({"six"}, first.requirements)
    (build,), (digest,) = server.builds, worker.images.values()
    self.assertEqual(build.logs_bucket, "gs://jobs/team/builds")
    self.assertEqual(
      second.reference,
      f"europe-docker.pkg.dev/my-project/keras-remote/job@{digest}",
    )
    self.assertEmpty(second.requirements)

  def test_a_group(self) -> None:
    """Its hosts are those of all slices, and may be lost as is said."""
    context = self.context(accelerator="v4-16:spot", slices=2, retries=1)
    found = resources(context.accelerator, context.backend, context.options)
    self.assertEqual((found.hosts, found.slices), (4, 2))
    self.assertEqual(found.accelerator, "v4-16:spot")
    self.assertEqual(context.limits.retries, 1)
    self.assertEqual(context.limits.max_preemptions, 10)

  @parameterized.parameters(
    ({"hosts": 17}, "17 hosts are too many"),
    ({"accelerator": "v4-16", "slices": 9}, "18 hosts are too many"),
    ({"accelerator": "v4-16", "slices": 5}, 'backend="local"'),
    ({"accelerator": "v5e-16", "hosts": 2}, "hosts=2 of v5e-16"),
    ({"hosts": 2, "env": {"KERAS_BACKEND": "torch"}}, "only jax runs on sever"),
    ({"distribution": "model_parallel"}, "distribution is data_parallel"),
  )
  def test_a_group_that_cannot_be(
    self, options: dict[str, object], words: str
  ) -> None:
    """It is refused before anything is sent."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      self.context(**options)

  @parameterized.parameters("", "0", "false", "False")
  def test_no_ci(self, value: str) -> None:
    """Some say by the same variable that they are no CI."""
    os.environ["CI"] = value
    self.context(accelerator="v5e-8")


if __name__ == "__main__":
  absltest.main()
