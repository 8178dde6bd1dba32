"""Sentences, as a golden file: one that is deleted is made anew here."""

from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import groups
from keras_remote.backend.k8s.deaths import Death, Deaths
from keras_remote.job.launch import ENDED_EXIT
from keras_remote.job.state import State
from tests.fakes.specs import JOB_ID

_GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "k8s" / "groups.txt"
_HOSTS = 4
_SET, _INDEXED = (
  "leaderworkerset.sigs.k8s.io/worker-index",
  "batch.kubernetes.io/job-completion-index",
)
_JOB: dict[str, Any] = {
  "metadata": {"name": JOB_ID},
  "spec": {"parallelism": 0},
}
_PARALLEL = {**_JOB, "spec": {"parallelism": _HOSTS}}
_RUNS: dict[str, Any] = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
_Pod = dict[str, Any]


def _pod(
  host: int,
  state: dict[str, Any] | None = None,
  *,
  label: str = _SET,
  uid: str = "",
  made: int = 1,
  leaving: bool = False,
  conditions: tuple[dict[str, str], ...] = (),
  before: dict[str, Any] | None = None,
  gates: tuple[str, ...] = (),
  node: str | None = None,
) -> _Pod:
  """A host's pod, as its controller makes it; without a state it waits."""
  name = f"{JOB_ID}-0-{host}" if host else f"{JOB_ID}-0"
  metadata: dict[str, Any] = {
    "name": name,
    "uid": uid or f"{name}.{made}",
    "creationTimestamp": f"2026-01-02T03:04:0{made}Z",
    "labels": {label: str(host)},
  }
  if leaving:
    metadata["deletionTimestamp"] = "2026-01-02T03:05:06Z"
  spec: dict[str, Any] = {
    "containers": [{"image": "image:1"}],
    **(
      {"schedulingGates": [{"name": gate} for gate in gates]} if gates else {}
    ),
  }
  if state or node:
    spec["nodeName"] = node or f"node-{host % 2}"
  container: dict[str, Any] = {"state": state or {}}
  if before:
    container |= {"lastState": before, "restartCount": 1}
  return {
    "metadata": metadata,
    "spec": spec,
    "status": {
      "phase": "Running" if state else "Pending",
      "conditions": list(conditions),
      **({"containerStatuses": [container]} if state else {}),
    },
  }


def _ended(code: int, at: int = 9, **more: str) -> dict[str, Any]:
  ended = {"exitCode": code, "finishedAt": f"2026-01-02T03:04:{at:02}Z"}
  return {"terminated": {**ended, **more}}


def _all(
  *others: _Pod, state: dict[str, Any] = _RUNS, **how: Any
) -> list[_Pod]:
  """The pods of all hosts: these, and the rest in this state."""
  given = {pod["metadata"]["name"]: pod for pod in others}
  rest = (_pod(host, state, **how) for host in range(_HOSTS))
  return list({**{p["metadata"]["name"]: p for p in rest}, **given}.values())


def _event(
  reason: str, message: str, kind: str, name: str = JOB_ID
) -> dict[str, Any]:
  return {
    "reason": reason,
    "message": message,
    "lastTimestamp": "2026-01-02T03:04:05Z",
    "involvedObject": {"kind": kind, "name": name},
    "metadata": {},
  }


_UNSCHEDULABLE = {
  "type": "PodScheduled",
  "status": "False",
  "reason": "Unschedulable",
  "message": "0/2 nodes are available: 2 Insufficient google.com/tpu. "
  "preemption: 0/2 nodes are available: 2 No preemption victims found.",
}
_TAKEN = {
  "type": "DisruptionTarget",
  "status": "True",
  "reason": "DeletionByTaintManager",
  "message": "Taint manager: deleting due to NoExecute taint",
}
_UNPULLED = {
  "waiting": {"reason": "InvalidImageName", "message": "couldn't parse it"}
}
_QUOTA = _event(
  "FailedCreate",
  f"create Pod {JOB_ID}-0-1 in StatefulSet {JOB_ID}-0 failed error: pods "
  f'"{JOB_ID}-0-1" is forbidden: exceeded quota: team, requested: pods=1, '
  "used: pods=1, limited: pods=1",
  "StatefulSet",
  f"{JOB_ID}-0",
)
_KILLED = _ended(137, message="")
_FAILED = {"conditions": [{"type": "Failed", "status": "True"}]}


def _view(
  pods: list[_Pod], events: list[Any] | None = None, **more: Any
) -> groups.View:
  job = more.pop("job", _JOB)
  return groups.view(job, pods, _HOSTS, events or [], **more)


def _after(*looks: list[_Pod], events: tuple[Any, ...] = ()) -> Death | None:
  """Of what a host died of a group that was seen so, look by look."""
  deaths = Deaths()
  for pods in looks:
    deaths.heed(pods, events)
  return deaths.cause


_LOST_NODE = _after(_all(), _all(_pod(1, _RUNS, conditions=(_TAKEN,))), [])
_CASES = {
  "nothing yet": _view([]),
  "quota": _view([], [_QUOTA]),
  "a quota that others use": _view(
    [],
    [
      {
        **_QUOTA,
        "message": _QUOTA["message"].replace(
          "limited: pods=1", "limited: pods=8"
        ),
      }
    ],
  ),
  "no set": _view(
    [],
    [
      _event(
        "FailedCreate",
        f"Failed to create leader statefulset {JOB_ID}",
        "LeaderWorkerSet",
      )
    ],
  ),
  "suspended": _view([], job={**_JOB, "spec": {"suspend": True}}),
  "gated": _view(
    _all(*(_pod(n, gates=("kueue.x-k8s.io/admission",)) for n in range(4)))
  ),
  "waits for nodes": _view(
    _all(*(_pod(n, conditions=(_UNSCHEDULABLE,)) for n in range(4)))
  ),
  "one waits": _view(_all(_pod(2, conditions=(_UNSCHEDULABLE,)))),
  "one waits in vain": _view(
    _all(_pod(1, conditions=(_UNSCHEDULABLE,)), _pod(2, _UNPULLED))
  ),
  "many reasons": _view(
    [
      _pod(0, node="node-1"),
      _pod(1, conditions=(_UNSCHEDULABLE,)),
      _pod(2, _UNPULLED),
    ]
  ),  # fmt: skip
  "the leader alone": _view([_pod(0, _RUNS)], [_QUOTA]),
  "all run": _view(_all()),
  "all run, with a host's index by a Job": _view(_all(label=_INDEXED)),
  "one has told": _view(_all(_pod(3, _ended(0)))),
  "one has died": _view(_all(_pod(3, _KILLED))),
  "one died of memory": _view(_all(_pod(3, _ended(137, reason="OOMKilled")))),
  "an Indexed Job's have all died": _view(
    _all(_pod(2, _ended(139, at=3)), state=_ended(143, at=4)), job=_PARALLEL
  ),
  "all have died": _view(
    _all(_pod(2, _ended(139, at=3)), state=_ended(143, at=4)),
    died=_after(_all(_pod(2, _ended(139, at=3)), state=_ended(143, at=4))),
  ),
  "the set is being deleted": _view(_all(leaving=True)),
  "one is being deleted": _view(
    _all(_pod(1, _RUNS, leaving=True)),
    died=_after(_all(_pod(1, _RUNS, leaving=True))),
  ),
  "a container that began anew": _view(
    _all(_pod(1, _RUNS, before=_ended(139))),
    died=_after(_all(_pod(1, _RUNS, before=_ended(139)))),
  ),  # fmt: skip
  "a container that is to begin anew": _view(
    _all(
      _pod(
        1,
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        before=_ended(1, message="the store fails"),
      )
    )
  ),
  "made anew, all gone": _view([], died=_LOST_NODE),
  "an Indexed Job's, all gone": _view([], job=_PARALLEL, died=_LOST_NODE),
  "made anew, two there": _view(
    [_pod(0, _RUNS, made=5), _pod(1, made=5)], died=_LOST_NODE
  ),
  "made anew, all run": _view(_all(made=5), died=_LOST_NODE),
  "the Job is gone": _view([], job=None),
  "the Job is gone, and hosts live": _view(_all(leaving=True), job=None),
  "the Job is gone after a death": _view([], job=None, died=_LOST_NODE),
  "the set is gone": _view([], gone=True),
  "the Indexed Job failed": _view(
    _all(_pod(2, _KILLED), state=_ended(143), label=_INDEXED),
    job={**_JOB, "status": _FAILED},
  ),
}


class ViewTest(parameterized.TestCase):
  def test_sentences(self) -> None:
    """They are as the golden file has them, with all that else is known."""
    lines: list[str] = []
    for name, view in _CASES.items():
      marks = ("told", "dead", "over", "hopeless")
      said = [mark for mark in marks if getattr(view, mark)]
      lines += [f"{name}: {', '.join([view.state, *said])}"]
      lines += [f"  {view.sentence}"]
    text = "\n".join([*lines, ""])
    if not _GOLDEN.exists():
      _GOLDEN.write_text(text)
      self.fail(f"{_GOLDEN} was missing: look at what it is now")
    self.assertEqual(text, _GOLDEN.read_text())

  def test_each_host(self) -> None:
    """What it does, by its number; one that has no pod too."""
    pods = [_pod(0, _RUNS), _pod(1, _KILLED), _pod(2, _RUNS, leaving=True)]
    self.assertEqual(
      groups.view(_JOB, pods, 4).hosts,
      (
        "it runs on node node-0",
        "its first process ended with signal SIGKILL and said nothing",
        "it is being stopped",
        "its pod is being made",
      ),
    )

  def test_old_pods(self) -> None:
    """Those of a host that has a newer one count no more."""
    old = _pod(1, _KILLED, label=_INDEXED, uid="old")
    pods = [*_all(label=_INDEXED, made=2), old]
    self.assertEqual(groups.view(_JOB, pods, 4).state, State.RUNNING)

  @parameterized.parameters(0, ENDED_EXIT)
  def test_told(self, code: int) -> None:
    """A host that ends so knows that the outcome is stored."""
    self.assertTrue(_view(_all(_pod(0, _ended(code)))).told)
    self.assertFalse(_view(_all(_pod(0, _ended(143)))).told)

  def test_a_leader_that_is_deleted(self) -> None:
    """It has its set deleted once the outcome is stored: that is looked for."""
    self.assertTrue(_view(_all(_pod(0, _RUNS, leaving=True))).told)
    self.assertFalse(_view(_all(_pod(1, _RUNS, leaving=True))).told)


if __name__ == "__main__":
  absltest.main()
