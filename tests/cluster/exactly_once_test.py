"""A call is made exactly once, or never and said so, whatever is killed.

What happens                    | the test that shows it
--------------------------------|----------------------------------------------
SIGTERM while it fetches        | test_told_to_stop: spec, claim, project, call
  … while it imports            | test_told_to_stop: imports
  … while the function runs     | test_told_to_stop: runs
  … while the result is stored  | test_told_to_stop: result
  … while the ending is stored  | test_told_to_stop: outcome, list
eviction                        | test_evicted
sandbox loss                    | test_a_sandbox_that_is_lost
a store that answers 412 to its |
  own retried success           | test_a_store_that_denies_its_own_success
Job controller restart          | restarts_test: test_the_job_controller
kubelet restart                 | restarts_test: test_a_kubelet
pod deleted, Job deleted, and   |
  what happens to clients       | faults_test

Calls are counted in the job's directory, where each leaves an object.
"""

import importlib
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from absl.testing import absltest

from keras_remote import errors
from keras_remote.core.handle import JobHandle
from keras_remote.job.state import State
from tests.cluster import containers
from tests.cluster.calls import GCS, CallTest, Hold, wait_until
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, Request

# Seconds in which a first process heeds a SIGTERM, if it does.
_HEED = 2.0
_NAME = re.compile(rb'"name": *"([^"]*)"')
# Says to the bucket's proxy that it is being imported, in a job.
_MODULE = """
import os, sys, urllib.request

if "keras_remote.runner.worker" in sys.modules:
  url = os.environ["STORAGE_EMULATOR_HOST"] + "/imports"
  try:
    urllib.request.urlopen(url, timeout=60)
  except OSError:
    pass

def work():
  return "done"
"""


def _running() -> str:
  """Says to the bucket's proxy that it runs."""
  import contextlib
  import os
  import urllib.request

  url = os.environ["STORAGE_EMULATOR_HOST"] + "/runs"
  with contextlib.suppress(OSError):
    urllib.request.urlopen(url, timeout=60)
  return "done"


def _done() -> str:
  return "done"


def _reads(name: str) -> Callable[[Request], bool]:
  return lambda request: request.method == "GET" and name in request.path


def _stores(name: str) -> Callable[[Request], bool]:
  return lambda request: (
    request.method == "POST" and name.encode() in _uploaded(request)
  )


def _uploaded(request: Request) -> bytes:
  """The name of the object that an upload makes."""
  found = _NAME.search(request.begin)
  return found[1] if found else b""


class ExactlyOnceTest(CallTest):
  def setUp(self) -> None:
    super().setUp()
    (self.project / "slow_import.py").write_text(_MODULE)
    sys.path.insert(0, str(self.project))
    self.addCleanup(sys.path.remove, str(self.project))
    self.work = importlib.import_module("slow_import").work
    self.addCleanup(sys.modules.pop, "slow_import")

  def stopped(
    self, function: Callable[[], object], wanted: Callable[[Request], bool]
  ) -> JobHandle[Any]:
    """A job whose pod was deleted while it waited for the bucket."""
    hold = Hold(wanted)
    job = self.submit(function, gcs=self.bucket(hold))
    hold.wait()
    self.delete_pod(job)
    time.sleep(_HEED)
    hold.release()
    return job

  def test_told_to_stop(self) -> None:
    """Before its claim a pod is replaced; then the job is lost; at its end
    it is what it came to be. It is never called twice."""
    begun = "told to stop|deleted|no further one"
    stages: dict[str, tuple[Callable[..., Any], Any, str, int]] = {
      "spec": (_done, _reads("spec.json"), "", 1),
      "claim": (_done, _stores("started.json"), begun, 0),
      "project": (_done, _reads("contexts"), begun, 0),
      "call": (_done, _reads("payload.pkl"), begun, 0),
      "imports": (self.work, _reads("/imports"), begun, 0),
      "runs": (_running, _reads("/runs"), begun, 1),
      "result": (_done, _stores("results/"), "", 1),
      "outcome": (_done, _stores("outcome.json"), "", 1),
      "list": (_done, _stores(".SUCCEEDED"), "", 1),
    }
    with ThreadPoolExecutor(len(stages)) as pool:
      jobs = {
        stage: pool.submit(self.stopped, function, wanted)
        for stage, (function, wanted, _, _) in stages.items()
      }
    for stage, (_, _, lost, calls) in stages.items():
      with self.subTest(stage):
        job = jobs[stage].result()
        if lost:
          self.assert_lost(job, lost, calls=calls)
        else:
          self.assert_succeeds(job, "done")

  def test_evicted(self) -> None:
    """The pod is taken away for others: the job is lost, and says so."""
    job = self.submit(self.until_told)
    self.wait_called(job)
    (pod,) = self.pods(job)
    name = pod.metadata.name
    self.core.create_namespaced_pod_eviction(
      name,
      self.namespace,
      {"metadata": {"name": name}},
      _request_timeout=REQUEST_SECONDS,
    )
    self.assert_lost(job, "Evict")

  def test_a_sandbox_that_is_lost(self) -> None:
    """Its container may be started twice in one pod; the function is not."""
    if not self.cluster.here:
      self.skipTest("its processes are on other machines")

    def lose(job: JobHandle[Any], when: Callable[[], Any]) -> None:
      (pod,) = wait_until(lambda: self.pods(job), "it has no pod")
      wait_until(when, "it does not begin")
      containers.sandbox(pod.metadata.uid).kill()

    early, late = self.submit(_done), self.submit(self.until_told)
    with ThreadPoolExecutor(2) as pool:
      for lost in (
        # Before anybody knows that it runs.
        pool.submit(lose, early, lambda: self.runs(early)),
        pool.submit(lose, late, lambda: self.calls(late)),
      ):
        lost.result()
    self.assert_lost(late, "")
    # The first start may have come to its claim, or even to its end.
    try:
      value = early.result(timeout=POD_SECONDS)
    except errors.JobLostError:
      value = None
    succeeded = early.status() is State.SUCCEEDED
    self.assertEqual(value, "done" if succeeded else None)
    self.assertLessEqual(self.calls(early), 1)
    self.assertLen(self.directory(early).attempts(), 1)

  def runs(self, job: JobHandle[Any]) -> bool:
    """Whether the container of its pod has a process."""
    (pod, *_) = self.pods(job)
    return len(containers.processes(pod.metadata.uid)) > 1

  def test_a_store_that_denies_its_own_success(self) -> None:
    """It has stored what it was asked to, says that it failed, and then that
    it is there: the job is called once, and its ending its own."""
    seen: set[bytes] = set()
    lock = threading.Lock()

    def lose(request: Request) -> Fault | None:
      name = _uploaded(request)
      with lock:
        new = request.method == "POST" and name and name not in seen
        seen.add(name)
      if not new:
        return None
      cut = len(seen) % 2 == 0
      return Fault(None if cut else 503, arrives=True)

    url = self.bucket(lose)
    with environment(**{GCS: url}):
      jobs = [self.submit(_done, gcs=url) for _ in range(3)]
      for job in jobs:
        self.assert_succeeds(job, "done")
        self.assertLen(self.pods(job), 1)
    stored = b"\n".join(seen)
    for name in (b"spec.json", b"started.json", b"outcome.json", b"results/"):
      self.assertIn(name, stored)


if __name__ == "__main__":
  absltest.main()
