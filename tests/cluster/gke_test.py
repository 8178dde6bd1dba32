"""The gke backend, on a real cluster."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest
from kubernetes import client, config

from keras_remote.backend.base import Wanted
from keras_remote.backend.gke import GKEBackend
from keras_remote.home import Home
from keras_remote.job.spec import JobSpec
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests import backend_contract
from tests.cluster import harness
from tests.cluster.job_image import job_image
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, HttpProxy


class GKEBackendTest(backend_contract.BackendContract):
  """A namespace serves all of a class: it is empty but for its jobs."""

  accelerator = "cpu"

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cls.cluster = harness.cluster()
    cls.image = job_image()
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

  def backend(self) -> GKEBackend:
    folder = Path(self.create_tempdir("home").full_path)
    folder.chmod(0o700)
    wanted = Wanted(self.cluster.context, self.namespace, self.image)
    return GKEBackend(Home(folder), wanted, None)

  def store(self) -> Store:
    return open_store(f"{self.cluster.bucket}/{self.namespace}")

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


if __name__ == "__main__":
  absltest.main()
