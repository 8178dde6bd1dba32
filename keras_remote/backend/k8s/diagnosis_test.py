from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import diagnosis
from keras_remote.job.launch import ENDED_EXIT
from keras_remote.job.state import State

_JOB: dict[str, Any] = {"metadata": {"name": "job"}, "spec": {}}


def _pod(
  state: dict[str, Any] | None = None,
  *,
  phase: str = "Pending",
  made: int = 1,
  deleted: bool = False,
  node: str = "node-1",
  conditions: tuple[dict[str, str], ...] = (),
  **status: str,
) -> dict[str, Any]:
  metadata = {"name": "pod", "creationTimestamp": f"2026-01-02T03:04:0{made}Z"}
  if deleted:
    metadata["deletionTimestamp"] = "2026-01-02T03:04:06Z"
  spec = {"containers": [{"image": "registry/image:1"}]}
  return {
    "metadata": metadata,
    "spec": {**spec, "nodeName": node} if node else spec,
    "status": {
      "phase": phase,
      "conditions": list(conditions),
      **({"containerStatuses": [{"state": state}]} if state else {}),
      **status,
    },
  }


def _ended(code: int, **more: str) -> dict[str, Any]:
  return {"terminated": {"exitCode": code, **more}}


def _finished(kind: str, **more: str) -> dict[str, Any]:
  condition = {"type": kind, "status": "True", **more}
  return {**_JOB, "status": {"conditions": [condition]}}


_TAKEN = {
  "type": "DisruptionTarget",
  "status": "True",
  "reason": "EvictionByEvictionAPI",
  "message": "Eviction API: evicting",
}
_RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}


class DeathTest(parameterized.TestCase):
  @parameterized.parameters(
    (
      _pod(_ended(137, reason="OOMKilled")),
      "its container ran out of memory: it took more than its node had "
      "(OOMKilled); memory= asks for more",
    ),
    (
      _pod(phase="Failed", reason="Evicted", message="The node was low on x."),
      "its pod was taken away (Evicted): The node was low on x; its node was "
      "short of that: memory= keeps some for a job",
    ),
    (
      _pod(_ended(143), conditions=(_TAKEN,)),
      "its pod was taken away (EvictionByEvictionAPI): Eviction API: evicting",
    ),
    (
      _pod(_ended(128, reason="StartError", message="exec: python3: no")),
      "its image registry/image:1 cannot run the job: exec: python3: no",
    ),
    (
      _pod(_ended(137, reason="ContainerStatusUnknown", message="not located")),
      "its container is gone: node node-1 died or began anew "
      "(ContainerStatusUnknown); call again",
    ),
    (_pod(_ended(1, message="the store fails")), "the store fails"),
    (_pod(_ended(143), deleted=True), "its pod was deleted"),
    (_pod(_ended(1, message="keras-remote-ending:eJw=")), "said nothing"),
    (_pod(_ended(137)), "ended with signal SIGKILL and said nothing"),
    (_pod(_ended(1)), "ended with exit code 1 and said nothing"),
    (_pod(phase="Failed"), "its pod ended (Failed) before it could start"),
  )
  def test_reasons(self, pod: dict[str, Any], words: str) -> None:
    """Why a container has ended; the first process's own words count most."""
    self.assertTrue(diagnosis.has_ended(pod))
    self.assertIn(words, diagnosis.death(pod))

  def test_a_limit(self) -> None:
    """Who ran out of memory is told how much it was."""
    pod = _pod(_ended(137, reason="OOMKilled"))
    resources = {"limits": {"memory": "2Gi"}}
    pod["spec"]["containers"][0]["resources"] = resources
    self.assertIn("more than its 2Gi (OOMKilled)", diagnosis.death(pod))

  def test_of_one_pod(self) -> None:
    """The one that is asked for, as long as something tells of it."""
    dead, spare = _pod(_ended(137)), _pod(_ended(ENDED_EXIT), made=2)
    dead["metadata"]["uid"], spare["metadata"]["uid"] = "1", "2"
    self.assertIn("SIGKILL", diagnosis.told_of([spare, dead], [], "1"))
    self.assertIn("somebody deleted it", diagnosis.told_of([spare], [], "1"))
    self.assertEqual(diagnosis.told_of([], [], "1"), "")
    events: list[dict[str, Any]] = [
      {
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-01-02T03:04:0{at}Z",
        "involvedObject": {"kind": "Pod", "name": "pod", "uid": "1"},
        "metadata": {},
      }
      for at, (reason, message) in enumerate(
        (("Preempted", "by pod x on node y"), ("Killing", "Stopping container"))
      )
    ]
    self.assertEqual(
      diagnosis.told_of([spare], events, "1"),
      "its pod was taken away (Preempted): by pod x on node y; what is more "
      "urgent took its place: see priority_class=",
    )
    living = _pod(_RUNNING)
    living["metadata"]["uid"] = "1"
    self.assertEqual(diagnosis.told_of([living], [], "1"), "")


class ViewTest(parameterized.TestCase):
  def test_running(self) -> None:
    """Whatever became of earlier starts."""
    pods = [_pod(_RUNNING, made=2), _pod(_ended(1))]
    self.assertEqual(
      diagnosis.view(_JOB, pods),
      diagnosis.View(State.RUNNING, "it runs on node node-1"),
    )

  @parameterized.parameters(
    (_JOB, _pod(_RUNNING, deleted=True)), (None, _pod(_RUNNING))
  )
  def test_being_stopped(self, job: Any, pod: dict[str, Any]) -> None:
    """It may have something to save."""
    view = diagnosis.view(job, [pod])
    self.assertEqual(
      view, diagnosis.View(State.RUNNING, "its pod is being stopped")
    )

  @parameterized.parameters(0, ENDED_EXIT)
  def test_told(self, code: int) -> None:
    """These exit codes say that the outcome is stored."""
    self.assertTrue(diagnosis.view(_JOB, [_pod(_ended(code))]).told)
    self.assertFalse(diagnosis.view(_JOB, [_pod(_ended(1))]).told)

  def test_dead(self) -> None:
    """Another start may come; it may be on its way."""
    dead = _pod(_ended(1, message="why"))
    for pods in ([dead], [_pod(node="", made=2), dead]):
      view = diagnosis.view(_JOB, pods)
      self.assertEqual(view.state, State.PENDING)
      self.assertTrue(view.dead)
      self.assertFalse(view.over)
      self.assertIn("why", view.sentence)

  @parameterized.parameters(
    (None, [], "somebody deleted it"),
    (None, [_pod(_ended(1, message="why"))], "why"),
    (_finished("Failed", message="too late"), [], "no pod: too late"),
    (_finished("Failed"), [_pod(_ended(1, message="why"))], "why"),
    (_finished("Complete"), [_pod(_ended(0))], "exit code 0"),
  )
  def test_over(self, job: Any, pods: list[dict[str, Any]], words: str) -> None:
    """No process lives, and none will be started."""
    view = diagnosis.view(job, pods)
    self.assertTrue(view.over)
    self.assertIn(words, view.sentence)

  def test_no_pod_yet(self) -> None:
    """The cluster makes it, or somebody admits the Job first."""
    view = diagnosis.view(_JOB, [])
    self.assertEqual(
      view, diagnosis.View(State.PENDING, "its pod is being made")
    )
    held = {**_JOB, "spec": {"suspend": True}}
    view = diagnosis.view(held, [])
    self.assertEqual(view.state, State.QUEUED)
    self.assertIn("suspended, by somebody", view.sentence)
    labels = {"kueue.x-k8s.io/queue-name": "gpus"}
    held["metadata"] = {"name": "job", "labels": labels}
    self.assertIn("queue 'gpus'", diagnosis.view(held, []).sentence)

  @parameterized.parameters(
    (None, [_pod(_ended(1))], False),
    (_JOB, [_pod(_RUNNING)], False),
    (_JOB, [_pod(_ended(1))], True),
    (_JOB, [_pod(_ended(1)), _pod(_ended(ENDED_EXIT), made=2)], False),
    (_finished("Failed", reason="DeadlineExceeded"), [], True),
    (_finished("Failed", reason="PodFailurePolicy"), [], False),
    (_finished("Complete"), [], False),
  )
  def test_untold(
    self, job: Any, pods: list[dict[str, Any]], expected: bool
  ) -> None:
    """Only what is there, and of which no start has told the ending."""
    self.assertEqual(diagnosis.untold(job, pods), expected)


if __name__ == "__main__":
  absltest.main()
