"""What calls ask of a cluster and its bucket, counted by proxies before both.

with traffic() as seen:
  lines = seen.run("import keras_remote; …")
  print(rounds(seen.between(begin, end), seen.delay))
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from tests.cluster import harness
from tests.cluster.api_proxy import ApiProxy
from tests.cluster.job_image import job_image
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.http_proxy import HttpProxy, Request

_RUN_SECONDS, _WATCH_SECONDS = 400, 3


@dataclass
class Traffic:
  """A namespace, a project and a home, and all that is asked from there.

  Attributes:
    delay: seconds that each answer is late.
    ends: when the API server told of the end of each pod's container, in
      seconds of `time.monotonic()`, by the name of its Job.
  """

  environ: Mapping[str, str]
  project: Path
  api: ApiProxy
  bucket: HttpProxy
  delay: float = 0.0
  ends: dict[str, float] = field(default_factory=dict)

  def run(self, script: str) -> list[str]:
    """The lines that the script prints."""
    path = self.project / "train.py"
    path.write_text(textwrap.dedent(script))
    ran = subprocess.run(
      [sys.executable, str(path)],
      cwd=self.project,
      env=self.environ,
      capture_output=True,
      text=True,
      timeout=_RUN_SECONDS,
      check=False,
    )
    if ran.returncode:
      raise AssertionError(ran.stderr)
    return ran.stdout.splitlines()

  def between(self, begin: float, end: float) -> list[Request]:
    """What was asked meanwhile, but for watches that went on."""
    every = [*self.api.requests, *self.bucket.requests]
    found = [r for r in every if begin <= r.at <= end and not r.watches]
    return sorted(found, key=lambda request: request.at)


def rounds(requests: Iterable[Request], delay: float) -> int:
  """How many of the requests came one after the other.

  Args:
    delay: seconds that each answer took at least.
  """
  count, answered = 0, 0.0
  for request in requests:
    if request.at >= answered:
      count += 1
      answered = request.at + delay
  return count


@contextlib.contextmanager
def traffic() -> Iterator[Traffic]:
  """What is asked in the block, in a namespace of its own."""
  cluster = harness.cluster()
  assert cluster.gcs
  api: Any = config.new_client_from_config(
    config_file=str(cluster.kubeconfig), context=cluster.context
  )
  core: Any = client.CoreV1Api(api)
  namespace = f"test-{uuid.uuid4().hex[:8]}"
  body: Any = {"metadata": {"name": namespace}}
  with contextlib.ExitStack() as stack:
    stack.callback(api.close)
    core.create_namespace(body, _request_timeout=REQUEST_SECONDS)
    stack.callback(
      core.delete_namespace, namespace, _request_timeout=REQUEST_SECONDS
    )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    proxy = stack.enter_context(ApiProxy(folder))
    bucket = stack.enter_context(HttpProxy(cluster.gcs))
    project = folder / "project"
    project.mkdir()
    environ = {
      **os.environ,
      **cluster.environ,
      "KUBECONFIG": str(proxy.kubeconfig),
      "STORAGE_EMULATOR_HOST": bucket.url,
      "POD_STORAGE": cluster.gcs,
      "KERAS_REMOTE_HOME": str(folder / "home"),
      "KERAS_REMOTE_CONTEXT": cluster.context,
      "KERAS_REMOTE_NAMESPACE": namespace,
      "KERAS_REMOTE_CONTAINER_IMAGE": job_image(),
      "KERAS_REMOTE_STORE": f"{cluster.bucket}/{namespace}",
      "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    seen = Traffic(environ, project, proxy, bucket)
    for each in (proxy, bucket):
      each.fault = lambda request: time.sleep(seen.delay)
    stack.enter_context(_noting(core, namespace, seen.ends))
    yield seen


@contextlib.contextmanager
def _noting(
  core: Any, namespace: str, ends: dict[str, float]
) -> Iterator[None]:
  """Notes when the API server tells that a container has ended."""
  watching: Any = watch.Watch()
  over = threading.Event()

  def work() -> None:
    while not over.is_set():
      for event in watching.stream(
        core.list_namespaced_pod,
        namespace,
        timeout_seconds=_WATCH_SECONDS,
        _request_timeout=_WATCH_SECONDS + REQUEST_SECONDS,
      ):
        pod = event["object"]
        for status in pod.status.container_statuses or ():
          # Those of a LeaderWorkerSet have no Job.
          name = pod.metadata.labels.get("job-name")
          if name and status.state.terminated:
            ends.setdefault(name, time.monotonic())

  thread = threading.Thread(target=work, name="note ends")
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
