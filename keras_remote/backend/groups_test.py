"""How a group is seen, and seen off, by who watches it."""

import dataclasses
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.base import Observation, Wanted
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.objects import (
  EVENTS,
  JOBS,
  PODS,
  SECRETS,
  SETS,
)
from keras_remote.backend.pathways import PathwaysBackend
from keras_remote.home import Home, ensure
from keras_remote.job import last_words, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import Target
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import CONTEXT, KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec

_HOSTS = 2
_RUNS: dict[str, Any] = {"running": {}}


class Hasty(PathwaysBackend):
  """Gives a leader no time."""

  going = 0.05


class GroupTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(base / "home"))
    # A bucket's part is played by a folder, for whoever only watches.
    self.store = open_store(str(ensure(base / "store")))
    self.backend = PathwaysBackend(self.home, Wanted(CONTEXT, None), None)
    self.spec = dataclasses.replace(
      job_spec(accelerator="cpu", hosts=_HOSTS),
      target=Target("pathways", self.store.uri, self.backend.place),
    )
    self.key = signing.job_key(self.backend.signing_key(), JOB_ID)
    self.directory = JobDirectory(self.store, JOB_ID, self.key)
    self.labels = pods.labels(self.spec)
    self.put(SETS, {"metadata": {"name": JOB_ID}})
    metadata = {"name": JOB_ID, "labels": self.labels}
    self.put(JOBS, {"metadata": metadata, "spec": {"parallelism": 0}})

  def name(self, host: int) -> str:
    return f"{JOB_ID}-0-{host}" if host else f"{JOB_ID}-0"

  def put_pod(
    self, host: int, state: dict[str, Any] = _RUNS, **metadata: str
  ) -> None:
    index = {"leaderworkerset.sigs.k8s.io/worker-index": str(host)}
    body = {
      "metadata": {
        "name": self.name(host),
        "labels": {**self.labels, **index},
        "creationTimestamp": "2026-01-02T03:04:05Z",
        **metadata,
      },
      "spec": {"containers": [{"image": "image:1"}], "nodeName": f"n{host}"},
      "status": {"phase": "Running", "containerStatuses": [{"state": state}]},
    }
    self.put(PODS, body)

  def put_pods(self) -> None:
    for host in range(_HOSTS):
      self.put_pod(host)

  def watch(self) -> Iterator[Observation]:
    return iter(self.backend.watch_job(self.spec, timeout=20))

  def runs(self, watch: Iterator[Observation]) -> Observation:
    """What is seen once all hosts run."""
    return next(seen for seen in watch if seen.state is State.RUNNING)

  def outcome(self, result: bytes = b"value") -> Outcome:
    outcome = Outcome(
      1, State.SUCCEEDED, Cause.RETURNED, "", "now", "host 0",
      result=layout.digest(result),
    )  # fmt: skip
    return signing.sign(outcome, JOB_ID, self.key)

  def deleted(self, wanted: str) -> "queue.SimpleQueue[str]":
    """The objects of a kind that are deleted from now on."""
    found: queue.SimpleQueue[str] = queue.SimpleQueue()

    def look(request: Request) -> None:
      if request.method == "DELETE" and f"/{wanted}/" in request.path:
        found.put(request.path)

    self.server.fault = look
    return found

  def test_host_by_host(self) -> None:
    """Who runs and why the others do not, as that changes."""
    self.put_pod(0)
    watch = self.watch()
    seen = next(watch)
    self.assertEqual(seen.state, State.PENDING)
    self.assertEqual(
      seen.sentence, "1 of 2 hosts run; host 1: its pod is being made"
    )
    self.put_pod(1)
    seen = self.runs(watch)
    self.assertEqual(seen.sentence, "its 2 hosts run on nodes n0, n1")
    expected = ("it runs on node n0", "it runs on node n1")
    self.assertEqual(seen.hosts, expected)

  def test_waiting_in_vain(self) -> None:
    """It is for one host as for all."""
    self.put_pod(0)
    self.put_pod(1, {"waiting": {"reason": "InvalidImageName"}})
    limits = dataclasses.replace(self.spec.limits, pending_timeout=0.1)
    spec = dataclasses.replace(self.spec, limits=limits)
    seen = list(self.backend.watch_job(spec, timeout=1))
    self.assertTrue(seen[-1].overdue)

  def test_an_outcome_that_the_leader_stored(self) -> None:
    """It is read when the leader's group goes, before its pods have."""
    self.put_pods()
    watch = self.watch()
    self.runs(watch)
    self.directory.create_outcome(self.outcome())
    self.put_pod(0, deletionTimestamp="2026-01-02T03:05:06Z")
    seen = list(watch)[-1]
    self.assertEqual(seen.state, State.SUCCEEDED)

  def test_last_words(self) -> None:
    """Those of the leader tell the ending with its result."""
    self.put_pods()
    watch = self.watch()
    self.runs(watch)
    words = last_words.record(self.outcome(), b"value")
    self.put_pod(0, {"terminated": {"exitCode": 0, "message": words}})
    self.assertEqual(list(watch)[-1].result, b"value")

  def test_a_group_that_is_made_anew(self) -> None:
    """It waits again, and says what for."""
    self.put_pods()
    watch = self.watch()
    self.runs(watch)
    self.put_pod(1, {"terminated": {"exitCode": 139}})
    for host in range(_HOSTS):
      self.remove(PODS, self.name(host))
    seen = next(s for s in watch if s.state is State.PENDING)
    while "being made" not in seen.sentence:
      seen = next(watch)
    self.assertIn("it is started again, as host 1's", seen.sentence)

  def test_a_set_that_somebody_deleted(self) -> None:
    """The job is lost though its Job is there."""
    self.put_pods()
    watch = self.watch()
    self.runs(watch)
    self.remove(SETS, JOB_ID)
    for host in range(_HOSTS):
      self.remove(PODS, self.name(host))
    seen = list(watch)[-1]
    self.assertEqual(seen.state, State.LOST)
    self.assertIn("LeaderWorkerSet is gone", seen.sentence)

  def test_a_group_that_stays(self) -> None:
    """Who watches sees its end though no pod shows it, and has it go."""
    self.backend = Hasty(self.home, Wanted(CONTEXT, None), None)
    self.put_pods()
    watch = self.watch()
    self.runs(watch)
    deleted = self.deleted("jobs")
    self.directory.create_outcome(self.outcome())
    self.assertEqual(list(watch)[-1].state, State.SUCCEEDED)
    self.assertTrue(deleted.get(timeout=20).endswith(JOB_ID))

  def test_a_group_that_stayed(self) -> None:
    """Who comes after its end has it go, once."""
    self.directory.create_outcome(self.outcome())
    deleted = self.deleted("jobs")
    self.assertEqual([s.state for s in self.watch()], [State.SUCCEEDED])
    self.assertTrue(deleted.get(timeout=20).endswith(JOB_ID))
    while not self.home.remembered("gone", JOB_ID):
      time.sleep(0.01)
    self.assertEqual([s.state for s in self.watch()], [State.SUCCEEDED])
    with self.assertRaises(queue.Empty):
      deleted.get(timeout=0.5)

  def test_cancelling(self) -> None:
    """The Job goes, and all is its; and all hosts are told so at once."""
    self.backend.cancel_job(self.spec)
    self.assertIsNone(self.found(JOBS, JOB_ID))
    removed = [r for r in self.server.requests if r.method == "DELETE"]
    policies = [request.body["propagationPolicy"] for request in removed]
    self.assertEqual(policies, ["Foreground", "Background"])

  def test_a_set_that_cannot_be_deleted(self) -> None:
    """Its Job is all the same: the set goes with it."""
    self.server.fault = lambda r: (
      403 if r.method == "DELETE" and "leaderworkersets" in r.path else None
    )
    self.backend.cancel_job(self.spec)
    self.assertIsNone(self.found(JOBS, JOB_ID))

  def test_why_a_host_died(self) -> None:
    """That it was told to end, with the others, is no reason."""
    self.put_pods()
    self.assertEqual(self.backend.death(self.spec, "gone"), "")
    asked = len(self.server.requests)
    self.assertEqual(
      self.backend.death(self.spec, "a,involvedObject.uid!=b"), ""
    )
    self.assertLen(self.server.requests, asked)
    event = {
      "metadata": {"name": "event"},
      "involvedObject": {"kind": "Pod", "uid": "gone"},
      "reason": "TaintManagerEviction",
      "message": "Marking for deletion Pod",
    }
    self.put(EVENTS, event)
    self.assertIn(
      "taken away (TaintManagerEviction)", self.backend.death(self.spec, "gone")
    )

  def test_cleaning_up(self) -> None:
    """What would make pods anew goes before them."""
    self.put_pods()
    self.put(SECRETS, {"metadata": {"name": JOB_ID}})
    before = len(self.server.requests)
    self.backend.cleanup_job(self.spec)
    for kind in (JOBS, SETS, SECRETS):
      self.assertIsNone(self.found(kind, JOB_ID))
    for host in range(_HOSTS):
      self.assertIsNone(self.found(PODS, self.name(host)))
    kinds = [r.path.split("/")[-2:] for r in self.server.requests[before:]]
    plurals = [kind for each in kinds for kind in each if kind != JOB_ID]
    self.assertLess(
      plurals.index("leaderworkersets"), plurals.index("pods"), plurals
    )
    self.backend.cleanup_job(self.spec)

  def test_what_was_abandoned(self) -> None:
    """A Job whose group is gone; nobody is asked, so somebody must watch."""
    self.put_pods()
    self.assertFalse(self.backend.abandoned(self.spec))
    watch = self.watch()
    self.runs(watch)
    self.assertFalse(self.backend.abandoned(self.spec))
    for host in range(_HOSTS):
      self.remove(PODS, self.name(host))
    for seen in watch:
      if seen.state is State.PENDING and "pods are" in seen.sentence:
        break
    self.assertTrue(self.backend.abandoned(self.spec))

  def test_who_may_not_look(self) -> None:
    """They are told so."""
    self.server.fault = lambda request: 403
    with self.assertRaises(errors.ClusterAccessError):
      list(self.watch())


if __name__ == "__main__":
  absltest.main()
