from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import clock
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.diagnosis import View
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import NODES, SETS, Object
from keras_remote.backend.k8s.viewing import Viewer
from keras_remote.home import Home, ensure, holding
from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import Hang
from keras_remote.job.outcome import Started
from keras_remote.job.state import State
from tests.fakes.kubernetes_case import KubernetesCase
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec

_SPEC = job_spec(hosts=2)
_RUNS: dict[str, Any] = {"running": {}}
_FAILED: dict[str, Any] = {"terminated": {"exitCode": 1, "message": "why"}}


def _job(made: str | None = None) -> Object:
  made = made or clock.now().isoformat()
  metadata = {"name": JOB_ID, "creationTimestamp": made}
  return {"metadata": metadata, "spec": {"parallelism": 0}}


def _pod(host: int, state: dict[str, Any] = _RUNS, start: int = 1) -> Object:
  index = {"leaderworkerset.sigs.k8s.io/worker-index": str(host)}
  metadata = {
    "name": f"{JOB_ID}-0-{host}",
    "uid": f"{host}.{start}",
    "labels": {**pods.labels(_SPEC), **index},
    "creationTimestamp": f"2026-01-02T03:04:0{start}Z",
  }
  spec = {"containers": [{"image": "image:1"}], "nodeName": "node"}
  status = {"phase": "Running", "containerStatuses": [{"state": state}]}
  return {"metadata": metadata, "spec": spec, "status": status}


def _seeking(said: str) -> Seen:
  """A job of one pod, of which the scheduler says this."""
  pod = _pod(0, {})
  pod["spec"] = {"containers": [{"image": "i"}], "nodeSelector": {"a": "b"}}
  scheduled = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": f"{said}: 1 node(s) didn't match Pod's node selector",
  }
  pod["status"] = {"phase": "Pending", "conditions": [scheduled]}
  heard: Object = {
    "metadata": {},
    "reason": "FailedScheduling",
    "involvedObject": {"kind": "Pod", "name": pod["metadata"]["name"]},
  }
  return Seen({"metadata": {}, "spec": {}}, (pod,), (heard,))


class ViewerTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(base / "home"))
    self.directory = JobDirectory(MemoryStore(), JOB_ID)
    self.viewer = Viewer(self.cluster, self.home, _SPEC, self.directory)

  def view(self, *found: Object, made: str | None = None) -> View:
    return self.viewer.view(Seen(_job(made), found))

  def put_set(self) -> None:
    self.put(SETS, {"metadata": {"name": JOB_ID}})

  def asked(self) -> list[str]:
    """The sets that were asked for."""
    paths = [request.path for request in self.server.requests]
    return [path for path in paths if SETS.plural in path]

  def test_a_group_that_runs(self) -> None:
    """Nobody asks for its set; what it is held up by is looked at by and by."""
    view = self.view(_pod(0), _pod(1))
    self.assertEqual((view.state, view.over), (State.RUNNING, False))
    self.assertEqual((self.viewer.due, view.held_up), (5.0, False))
    self.assertEmpty(self.asked())

  def test_a_group_that_is_held_up(self) -> None:
    """The sentence says by which host."""
    self.directory.create_started(Started(1, "uid", "", "now"))
    said = "host 1 is at train.py:3"
    self.directory.write_hang(1, Hang(said, (1,)))
    view = self.view(_pod(0), _pod(1))
    self.assertTrue(view.held_up)
    self.assertEndsWith(view.sentence, f"on node node, but {said}")

  def test_a_set_without_pods(self) -> None:
    """It makes them; it is looked at again, as nothing tells of its end."""
    self.put_set()
    view = self.view()
    self.assertEqual((view.state, view.over), (State.PENDING, False))
    self.assertLess(self.viewer.due, 60)
    self.remove(SETS, JOB_ID)
    view = self.view()
    self.assertTrue(view.over)
    self.assertIn("its LeaderWorkerSet is gone", view.sentence)

  def test_a_set_that_went_with_its_pods(self) -> None:
    """Nothing will start the job any more, though its Job is there."""
    self.view(_pod(0), _pod(1))
    self.assertTrue(self.view().over)
    self.assertLen(self.asked(), 1)

  def test_a_time_that_was_up(self) -> None:
    """It is told though its Job went at once, whoever saw it before that."""
    reason = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    job = _job()
    job["status"] = {"conditions": [reason]}
    view = self.viewer.view(Seen(None, (_pod(0),), was=job))
    self.assertIn("being removed", view.sentence)
    view = self.viewer.view(Seen(None))
    self.assertTrue(view.over)
    self.assertIn("its Job's time was up", view.sentence)

  def test_a_set_that_is_to_come(self) -> None:
    """It is made after its Job."""
    self.assertFalse(self.view().over)

  def test_a_set_that_is_not_to_come(self) -> None:
    """Its submitter died long ago, or it was there once."""
    self.assertTrue(self.view(made="2026-01-02T03:04:05Z").over)
    self.directory.create_started(Started(1, "uid", "", "now"))
    self.assertTrue(self.view().over)

  def test_a_set_that_is_being_sent(self) -> None:
    """Its submitter lives."""
    with holding(ensure(self.home.preparing) / JOB_ID):
      self.assertFalse(self.view(made="2026-01-02T03:04:05Z").over)

  def test_who_may_not_look_at_sets(self) -> None:
    """They wait for what the pods tell."""
    self.server.fault = lambda request: 403
    self.view(_pod(0), _pod(1))
    self.assertFalse(self.view().over)

  def test_a_group_that_is_started_again(self) -> None:
    """Why is told when nothing of the old one is there any more."""
    self.put_set()
    self.view(_pod(0), _pod(1, {"terminated": {"exitCode": 139}}))
    view = self.view(_pod(0, start=2))
    self.assertEqual(view.state, State.PENDING)
    self.assertIn("it is started again, as host 1's", view.sentence)
    self.assertIn("SIGSEGV", view.sentence)

  @parameterized.parameters(True, False)
  def test_a_group_that_never_gets_anywhere(self, claimed: bool) -> None:
    """A set would start it for ever; after an attempt that is no matter."""
    if claimed:
      self.directory.create_started(Started(1, "uid", "", "now"))
    self.view(_pod(0), _pod(1, _FAILED))
    self.assertFalse(self.view(_pod(0), _pod(1, _FAILED)).hopeless)
    again = _pod(0, start=2), _pod(1, _FAILED, start=2)
    for found in (again, (_pod(0, start=3), _pod(1, start=3))):
      view = self.view(*found)
      self.assertEqual(view.hopeless, not claimed)
      # The next start may be at the function when somebody ends it.
      self.assertFalse(view.over)
      if not claimed:
        self.assertEqual(view.state, State.PENDING)
        self.assertIn("host 1: why", view.sentence)

  def test_a_pool_that_gets_nodes(self) -> None:
    """It is seen: nobody gives up on a job that waits for room there."""
    viewer = Viewer(self.cluster, self.home, job_spec(), self.directory)
    for _ in range(2):
      view = viewer.view(_seeking("0/0 nodes are available"))
      self.assertTrue(view.hopeless)
      self.assertIn("no pool has nodes now", view.sentence)
    self.assertLen(self.server.requests, 1)
    path = f"/{NODES.group}/{NODES.plural}"
    self.server.put(path, {"metadata": {"name": "n", "labels": {"a": "b"}}})
    view = viewer.view(_seeking("0/1 nodes are available"))
    self.assertFalse(view.hopeless)
    self.assertIn("and are full", view.sentence)


if __name__ == "__main__":
  absltest.main()
