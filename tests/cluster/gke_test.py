"""The gke backend, on a real cluster."""

import contextlib
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from kubernetes import client, config

from keras_remote import clock, errors
from keras_remote.backend.base import Observation, Wanted
from keras_remote.backend.gke import GKEBackend
from keras_remote.backend.k8s import pods
from keras_remote.home import Home
from keras_remote.job.outcome import Cause
from keras_remote.job.spec import Image, JobSpec
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests import backend_contract
from tests.cluster import harness
from tests.cluster.call_case import CallTest, empty
from tests.cluster.job_image import job_image
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, HttpProxy

_UNTOLD = (State.LOST, Cause.ATTEMPTS)


class GKEBackendTest(backend_contract.BackendContract):
  """A namespace serves all of a class: it is empty but for its jobs."""

  accelerator = "cpu"

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cls.cluster = harness.cluster()
    cls.image = Image(job_image())
    kubeconfig = cls.cluster.kubeconfig
    cls.api: Any = config.new_client_from_config(
      config_file=kubeconfig and str(kubeconfig), context=cls.cluster.context
    )
    cls.addClassCleanup(cls.api.close)
    core: Any = client.CoreV1Api(cls.api)
    cls.namespace = f"test-{uuid.uuid4().hex[:8]}"
    body: Any = {"metadata": {"name": cls.namespace}}
    core.create_namespace(body, _request_timeout=REQUEST_SECONDS)
    cls.addClassCleanup(
      core.delete_namespace, cls.namespace, _request_timeout=REQUEST_SECONDS
    )
    cls.enterClassContext(environment(**cls.cluster.environ))
    cls.uri = f"{cls.cluster.bucket}/{cls.namespace}"
    cls.addClassCleanup(empty, cls.uri, cls.cluster.environ)

  def backend(self) -> GKEBackend:
    folder = Path(self.create_tempdir("home").full_path)
    folder.chmod(0o700)
    self.home = Home(folder)
    wanted = Wanted(self.cluster.context, self.namespace)
    return GKEBackend(self.home, wanted, None)

  def store(self) -> Store:
    return open_store(self.uri)

  def environ(self) -> Mapping[str, str]:
    if self.cluster.gcs is None:
      return {}
    return {"STORAGE_EMULATOR_HOST": self.cluster.gcs}

  @contextlib.contextmanager
  def failing_store(self) -> Iterator[None]:
    if self.cluster.gcs is None:
      self.skipTest("nothing stands between this process and the bucket")
    with HttpProxy(self.cluster.gcs) as proxy:
      proxy.fault = lambda request: Fault(403)
      with environment(STORAGE_EMULATOR_HOST=proxy.url):
        yield

  def kill(self, spec: JobSpec) -> None:
    # Its time is up: the cluster ends its pod, and starts none in its place.
    batch: Any = client.BatchV1Api(self.api)
    batch.patch_namespaced_job(
      spec.job_id,
      self.namespace,
      {"spec": {"activeDeadlineSeconds": 1}},
      _request_timeout=REQUEST_SECONDS,
    )

  def pods(self, spec: JobSpec) -> list[Any]:
    core: Any = client.CoreV1Api(self.api)
    return core.list_namespaced_pod(
      self.namespace,
      label_selector=pods.selector(spec.job_id),
      _request_timeout=REQUEST_SECONDS,
    ).items

  def saying(self, spec: JobSpec, words: str) -> Observation:
    """The first observation whose sentence has the words."""
    seen = []
    for observation in self.used.watch_job(spec, timeout=POD_SECONDS):
      seen.append(observation)
      if words in observation.sentence:
        return observation
    self.fail(f"nobody said '{words}': {seen}")

  @parameterized.parameters(False, True)
  def test_a_pod_that_is_taken_away(self, evicted: bool) -> None:
    """The job is lost, and no start calls again; the last one says so."""
    spec = self.begin()
    (pod,) = self.pods(spec)
    name, core = pod.metadata.name, client.CoreV1Api(self.api)
    if evicted:
      eviction: Any = {"metadata": {"name": name}}
      core.create_namespaced_pod_eviction(
        name, self.namespace, eviction, _request_timeout=REQUEST_SECONDS
      )
    else:
      core.delete_namespaced_pod(
        name, self.namespace, _request_timeout=REQUEST_SECONDS
      )
    seen = self.watch(spec)[-1]
    self.assertEqual(seen.state, State.LOST)
    self.assertRegex(seen.sentence, "taken away|deleted")
    deadline = clock.monotonic() + POD_SECONDS
    while (outcome := self.directory(spec).outcome()) is None:
      self.assertLess(clock.monotonic(), deadline, "nobody told the ending")
      threading.Event().wait(0.1)
    self.assertEqual((outcome.state, outcome.cause), _UNTOLD)
    self.assertEqual(self.directory(spec).attempts(), [1])
    self.assert_log(spec, b"begun\n")

  def test_a_job_that_somebody_deletes(self) -> None:
    """It is lost, and says why."""
    spec = self.begin()
    batch: Any = client.BatchV1Api(self.api)
    batch.delete_namespaced_job(
      spec.job_id,
      self.namespace,
      propagation_policy="Background",
      _request_timeout=REQUEST_SECONDS,
    )
    seen = self.watch(spec)[-1]
    self.assertEqual(seen.state, State.LOST)
    self.assertIn("deleted", seen.sentence)

  def test_an_image_that_does_not_exist(self) -> None:
    """The job waits, and says for what; it can be cancelled."""
    image = f"{self.cluster.registry}/no-such-image:1"
    self.image = Image(image)
    spec = self.submit("")
    seen = self.saying(spec, f"its image {image} cannot be pulled")
    self.assertEqual(seen.state, State.PENDING)
    self.cancel(spec)
    self.assertEqual(self.watch(spec)[-1].state, State.CANCELLED)

  @parameterized.parameters(
    ("busybox_image", "cannot run the job: .*python3"),
    ("python_image", "Google's client library is not installed"),
  )
  def test_an_image_that_lacks_something(self, image: str, words: str) -> None:
    """The job is lost, and says what is missing."""
    self.image = Image(getattr(self.cluster, image))
    spec = self.submit("")
    seen = self.watch(spec)[-1]
    self.assertEqual(seen.state, State.LOST)
    self.assertRegex(seen.sentence, words)

  def test_no_node_that_fits(self) -> None:
    """The job waits, with the scheduler's words."""
    self.accelerator = "h100x8"
    spec = self.submit("")
    seen = self.saying(spec, "no node can take it yet (Unschedulable)")
    self.assertEqual(seen.state, State.PENDING)
    self.assertIn("node affinity/selector", seen.sentence)

  @parameterized.parameters("v5e-8", "l4x4")
  def test_accelerators(self, accelerator: str) -> None:
    """A job gets onto a node that has what it asks for."""
    if not self.cluster.here:
      self.skipTest("another cluster may lack them")
    self.accelerator = accelerator
    spec = self.submit("")
    self.assertEqual(self.watch(spec)[-1].state, State.SUCCEEDED)
    node = "tpu" if accelerator == "v5e-8" else "gpu"
    self.assertEqual([pod.spec.node_name for pod in self.pods(spec)], [node])

  def test_the_secret_goes_with_the_job(self) -> None:
    """It belongs to the Job, whoever removes that."""
    spec = self.submit("")
    core: Any = client.CoreV1Api(self.api)
    deadline = clock.monotonic() + REQUEST_SECONDS
    owners = None
    while not owners:  # Nobody waits for it but this test.
      self.assertLess(clock.monotonic(), deadline, "nobody owns it")
      secret = core.read_namespaced_secret(
        spec.job_id, self.namespace, _request_timeout=REQUEST_SECONDS
      )
      owners = secret.metadata.owner_references
    (owner,) = owners
    self.assertEqual((owner.kind, owner.name), ("Job", spec.job_id))

  def test_no_such_namespace(self) -> None:
    """The error says how to make it."""
    wanted = Wanted(self.cluster.context, "no-such")
    backend = GKEBackend(self.home, wanted, None)
    with self.assertRaisesRegex(errors.ClusterError, "create namespace"):
      backend.signing_key()


class GKECallTest(CallTest):
  """What users do."""

  def test_a_call(self) -> None:
    """It streams what the function prints, and returns its value."""
    printed, said = self.ran(
      """
      import os, time
      import keras_remote

      names = ("context", "namespace", "container_image", "store")
      options = {n: os.environ.pop("KERAS_REMOTE_" + n.upper()) for n in names}
      seen = []

      @keras_remote.run(backend="gke", **options)
      def train(lr):
        import socket
        print("from", socket.gethostname(), flush=True)
        return lr * 2

      print(train(0.25))
      """
    )
    self.assertRegex(printed, r"^from train-[a-z0-9-]+\n0.5\n$")
    self.assertIn("on gke, cpu", said)
    self.assertIn("SUCCEEDED", said)

  def test_the_time_that_nobody_said(self) -> None:
    """It is told, and held there with this machine off."""
    _, said = self.ran(
      """
      import keras_remote

      @keras_remote.run
      def train():
        pass

      train()
      """
    )
    self.assertRegex(said, r"\nkeras_remote: stops by \d\d:\d\d tomorrow, ")
    batch: Any = client.BatchV1Api(self.api)
    (job,) = batch.list_namespaced_job(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    day = 24 * 60 * 60
    # It may wait for a week for its node.
    self.assertBetween(
      job.spec.active_deadline_seconds, 8 * day, 8 * day + 3600
    )

  def test_an_exception(self) -> None:
    """It is raised as itself, with the traceback of there."""
    printed, said = self.ran(
      """
      import keras_remote

      class Odd(Exception):
        pass

      @keras_remote.run
      def train():
        raise Odd("it does not learn")

      try:
        train()
      except Odd as error:
        print(error)
        raise
      """,
      expected=1,
    )
    self.assertEqual(printed, "it does not learn\n")
    self.assertIn("FAILED", said)
    self.assertIn('raise Odd("it does not learn")', said)

  def test_from_elsewhere(self) -> None:
    """A colleague, with another home, attaches by the namespace's key."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run(name="slow")
      def train():
        import time
        print("begun", flush=True)
        time.sleep(2)
        return 7

      print(train.submit().id)
      """
    )
    elsewhere = {"KERAS_REMOTE_HOME": str(self.folder / "elsewhere")}
    # What is known of the place is in the job itself.
    del self.environ["KERAS_REMOTE_NAMESPACE"]
    del self.environ["KERAS_REMOTE_CONTEXT"]
    later, _ = self.ran(
      """
      import keras_remote

      job = keras_remote.attach()
      print(job.id, job.result(timeout=60), "".join(job.logs()).strip())
      print([str(row.state) for row in keras_remote.list_jobs()])
      """,
      **elsewhere,
    )
    self.assertEqual(later, f"{printed.strip()} 7 begun\n['SUCCEEDED']\n")

  def test_a_death_that_nobody_saw(self) -> None:
    """Who comes later hears it, and keeps it for those who come after."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run(name="slow")
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
    job_id = printed.strip()
    listed = self.core.list_namespaced_pod(
      self.namespace, _request_timeout=REQUEST_SECONDS
    )
    self.execute(
      listed.items[0].metadata.name,
      *("python3", "-c", "import os; os.kill(1, 15)"),
    )
    batch: Any = client.BatchV1Api(self.api)
    self.watched(
      batch.list_namespaced_job,
      lambda job: any(c.type == "Failed" for c in job.status.conditions or ()),
    )
    script = f"""
      import keras_remote

      try:
        keras_remote.attach("{job_id}").result()
      except keras_remote.JobLostError as error:
        print(error)
      """
    first, _ = self.ran(script)
    self.assertIn("no further one is allowed", first)
    self.assertIn("ended with signal SIGTERM", first)
    batch.delete_namespaced_job(
      job_id,
      self.namespace,
      propagation_policy="Foreground",
      _request_timeout=REQUEST_SECONDS,
    )
    self.assertEqual(self.ran(script)[0], first)

  def test_a_progress_bar(self) -> None:
    """A line without an end is seen while the function goes on."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run
      def train():
        import time
        for percent in (10, 20):
          print(f"\\r {percent}%", end="", flush=True)
          time.sleep(2)
        time.sleep(600)

      job = train.submit()
      seen = ""
      for text in job.logs(follow=True):
        seen += text
        if "20%" in seen:
          break
      print(repr(seen), job.status())
      job.cancel()
      """
    )
    self.assertEqual(printed, "'\\r 10%\\r 20%' RUNNING\n")

  def test_cancelling(self) -> None:
    """The function has time to save; the call says that it was cancelled."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run
      def train():
        import time
        print("begun", flush=True)
        try:
          time.sleep(600)
        finally:
          print("saved", flush=True)

      job = train.submit()
      for text in job.logs(follow=True):
        break
      print(job.cancel())
      try:
        job.result(timeout=60)
      except keras_remote.JobCancelledError:
        print("cancelled", job.status())
      """
    )
    self.assertEqual(printed, "True\ncancelled CANCELLED\n")


if __name__ == "__main__":
  absltest.main()
