"""Calls of functions on the cluster that tests disturb, and count."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl.testing import parameterized

import keras_remote
from keras_remote import errors
from keras_remote.backend.k8s import pods
from keras_remote.core.handle import JobHandle
from keras_remote.job.directory import JobDirectory
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.cluster import layout
from tests.cluster.api_proxy import ApiProxy
from tests.cluster.job_image import job_image
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS, NamespaceTest
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, Faults, HttpProxy, Request

_TOLD = "told"
# Where the emulator of Cloud Storage is, for clients of Google's.
GCS = "STORAGE_EMULATOR_HOST"
_LOOK = 0.05


class CallTest(NamespaceTest, parameterized.TestCase):
  """Calls from this process, to a namespace and a store of the test's own.

  Attributes:
    proxy: before the API server, for this process.
    store: the store's address.
    project: what is sent with each call.
    options: what the settings say, as variables.
  """

  def setUp(self) -> None:
    super().setUp()
    if self.cluster.gcs is None:
      self.skipTest("nothing can stand before Google's own bucket")
    self.gcs: str = self.cluster.gcs
    self.base = Path(self.create_tempdir().full_path)
    self.project = self.base / "project"
    self.project.mkdir()
    (self.project / "pyproject.toml").touch()
    self.proxy = self.enter_context(ApiProxy(self.base))
    self.store = f"{self.cluster.bucket}/{self.namespace}"
    self.options = {
      "KUBECONFIG": str(self.proxy.kubeconfig),
      GCS: self.gcs,
      "KERAS_REMOTE_HOME": str(self.base / "home"),
      "KERAS_REMOTE_CONTEXT": self.cluster.context,
      "KERAS_REMOTE_NAMESPACE": self.namespace,
      "KERAS_REMOTE_CONTAINER_IMAGE": job_image(),
      "KERAS_REMOTE_STORE": self.store,
      "KERAS_REMOTE_WORKING_DIR": str(self.project),
    }
    self.enter_context(environment(**self.options))
    self.addCleanup(self._empty)

  def _empty(self) -> None:
    store = open_store(self.store)
    for entry in list(store.list("")):
      store.delete(entry.key)

  def bucket(self, fault: Faults | None = None, host: str = layout.HOST) -> str:
    """The address of a proxy before the emulator, which pods reach too."""
    proxy = HttpProxy(self.gcs, host=host)
    if fault:
      proxy.fault = fault
    self.enter_context(proxy)
    return proxy.url

  def submit(
    self,
    function: Callable[..., Any],
    *args: object,
    gcs: str | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
  ) -> JobHandle[Any]:
    """Submits a call that is counted, see `calls`.

    Args:
      gcs: where the job finds the bucket: the address of a proxy.
      env: further variables of the job.
    """
    env = {GCS: gcs or self.gcs, **(env or {})}
    # Several of them run side by side on two cores.
    options = {"cpu": 0.1, **options}
    counted = _counted(function, self.store)
    return keras_remote.run(env=env, **options)(counted).submit(*args)

  @property
  def until_told(self) -> Callable[[], str]:
    """A function that prints "waits", and returns "told" after `tell`."""
    return _until(self.store, _TOLD)

  def tell(self) -> None:
    """Lets all `until_told` return."""
    open_store(self.store).write(_TOLD, b"")

  def directory(self, job: JobHandle[Any]) -> JobDirectory:
    return JobDirectory(open_store(self.store), job.id)

  def calls(self, job: JobHandle[Any]) -> int:
    """How often the job's function was called."""
    return len(list(open_store(self.store).list(_calls(job.id))))

  def wait_called(self, job: JobHandle[Any]) -> None:
    """Returns once the function runs."""
    wait_until(lambda: self.calls(job), f"{job.id} is not called")

  def pods(self, job: JobHandle[Any]) -> list[Any]:
    """The job's pods, oldest first."""
    found = self.core.list_namespaced_pod(
      self.namespace,
      label_selector=pods.selector(job.id),
      _request_timeout=REQUEST_SECONDS,
    ).items
    return sorted(found, key=lambda pod: pod.metadata.creation_timestamp)

  def wait_running(self, job: JobHandle[Any]) -> Any:
    """The job's first pod, once its container runs."""

    def running() -> Any:
      found = self.pods(job)
      status = found[0].status.container_statuses if found else None
      return found[0] if status and status[0].state.running else None

    return wait_until(running, f"{job.id} does not run")

  def delete_pod(self, job: JobHandle[Any]) -> None:
    """Deletes the job's first pod, which has time to end."""
    (pod, *_) = self.pods(job)
    self.core.delete_namespaced_pod(
      pod.metadata.name, self.namespace, _request_timeout=REQUEST_SECONDS
    )

  def assert_succeeds(self, job: JobHandle[Any], value: object) -> None:
    """It returns the value, of its only call."""
    self.assertEqual(job.result(timeout=POD_SECONDS), value)
    self.assertEqual(job.status(), State.SUCCEEDED)
    self.assertEqual((self.calls(job), job.outcome().attempt), (1, 1))

  def assert_lost(
    self, job: JobHandle[Any], words: str, *, calls: int = 1
  ) -> None:
    """It is lost, as everybody says, and was called so often."""
    with self.assertRaisesRegex(errors.JobLostError, words):
      job.result(timeout=POD_SECONDS)
    self.assertEqual(job.status(), State.LOST)
    (row,) = (r for r in keras_remote.list_jobs() if r.id == job.id)
    self.assertEqual(row.state, State.LOST)
    self.assertEqual(self.calls(job), calls)
    self.assertLessEqual(len(self.directory(job).attempts()), 1)


def wait_until(
  holds: Callable[[], Any],
  message: str,
  seconds: float = POD_SECONDS,
  look: float = _LOOK,
) -> Any:
  """What it gives, once that is something.

  Args:
    look: seconds between two looks.
  """
  deadline = time.monotonic() + seconds
  while not (found := holds()):
    if time.monotonic() > deadline:
      raise AssertionError(message)
    time.sleep(look)
  return found


@contextlib.contextmanager
def every(seconds: float, do: Callable[[], object]) -> Iterator[None]:
  """Does it so often during a block."""
  over = threading.Event()

  def work() -> None:
    while not over.wait(seconds):
      do()

  thread = threading.Thread(target=work, name="every")
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


class Hold:
  """Keeps the requests that are as wanted waiting, until it lets them go.

  Args:
    then: what becomes of them then.
  """

  def __init__(
    self,
    wanted: Callable[[Request], bool],
    then: Fault | None = None,
  ) -> None:
    self._wanted = wanted
    self._then = then
    self._came = threading.Event()
    self._going = threading.Event()

  def __call__(self, request: Request) -> Fault | None:
    if not self._wanted(request) or self._going.is_set():
      return None
    self._came.set()
    self._going.wait(POD_SECONDS)
    return self._then

  def wait(self) -> None:
    """Returns once one of them has come."""
    if not self._came.wait(POD_SECONDS):
      raise AssertionError("no such request has come")

  def release(self) -> None:
    """Lets them go, and those that come later."""
    self._going.set()


def _calls(job_id: str) -> str:
  return f"jobs/{job_id}/calls/"


def _counted(function: Callable[..., Any], store: str) -> Callable[..., Any]:
  def call(*args: object) -> object:
    import uuid

    import keras_remote
    from keras_remote.storage.open import open_store

    job = keras_remote.current_job()
    assert job is not None
    key = f"jobs/{job.id}/calls/{uuid.uuid4().hex}"
    open_store(store).write(key, b"called")
    return function(*args)

  return call


def _until(store: str, key: str) -> Callable[[], str]:
  def wait() -> str:
    import time

    from keras_remote.storage.open import open_store

    print("waits", flush=True)
    there = open_store(store)
    while not list(there.list(key, limit=1)):
      time.sleep(0.2)
    return key

  return wait
