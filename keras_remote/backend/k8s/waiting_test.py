"""Sentences, as a golden file: one that is deleted is made anew here."""

from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import diagnosis, waiting
from keras_remote.backend.k8s.pools import pools
from keras_remote.job.state import State

_GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "k8s" / "waiting.txt"
_GKE = "cloud.google.com/gke-"
_TPU = {
  f"{_GKE}tpu-accelerator": "tpu-v5-lite-podslice",
  f"{_GKE}tpu-topology": "2x4",
}
_IMAGE = "europe-docker.pkg.dev/p/r/base:1"
_DIGEST = "us-docker.pkg.dev/p/keras-remote/job@sha256:0123"
_PULL = (
  f'failed to pull and unpack image "{_IMAGE}": failed to resolve reference'
)
_MISMATCH = (
  "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's "
  "node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption "
  "is not helpful for scheduling."
)


def _pod(
  reason: str = "",
  message: str = "",
  *,
  node: str = "node-1",
  condition: tuple[str, str] | None = None,
  selector: dict[str, str] | None = None,
  image: str = _IMAGE,
) -> dict[str, Any]:
  spec: dict[str, Any] = {"containers": [{"image": image}]}
  if node and not condition:
    spec["nodeName"] = node
  if selector:
    spec["nodeSelector"] = selector
  status: dict[str, Any] = {"phase": "Pending"}
  if condition:
    why, words = condition
    status["conditions"] = [
      {
        "type": "PodScheduled",
        "status": "False",
        "reason": why,
        "message": words,
      }
    ]
  if reason:
    state = {"waiting": {"reason": reason, "message": message}}
    status["containerStatuses"] = [{"state": state}]
  metadata = {"name": "pod", "creationTimestamp": "2026-01-02T03:04:01Z"}
  return {"metadata": metadata, "spec": spec, "status": status}


def _event(
  reason: str, message: str, *, kind: str = "Pod", at: int = 1
) -> dict[str, Any]:
  return {
    "metadata": {"name": reason},
    "involvedObject": {"kind": kind, "name": "pod"},
    "reason": reason,
    "message": message,
    "lastTimestamp": f"2026-01-02T03:04:0{at}Z",
  }


def _forbidden(words: str) -> dict[str, Any]:
  message = f'Error creating: pods "train-x" is forbidden: {words}'
  return _event("FailedCreate", message, kind="Job")


def _node(name: str, **labels: str) -> dict[str, Any]:
  every = {f"{_GKE}{each.replace('_', '-')}": v for each, v in labels.items()}
  return {"metadata": {"name": name, "labels": every}}


_NODES = (
  _node("a", nodepool="default-pool"),
  _node("b", nodepool="gpu-l4", accelerator="nvidia-l4", accelerator_count="4"),
  _node("c", nodepool="gpu-l4", accelerator="nvidia-l4", accelerator_count="4"),
  _node("d"),
)
_SEEKING = _pod(condition=("Unschedulable", _MISMATCH), selector=_TPU)
_FULL = _pod(
  condition=(
    "Unschedulable",
    "0/2 nodes are available: 2 Insufficient google.com/tpu, 1 node(s) didn't "
    "match Pod's node affinity/selector.",
  ),
  selector=_TPU,
)

# What waits, what is told of it, and the nodes that there are.
_Case = tuple[dict[str, Any] | None, tuple[dict[str, Any], ...], Any]
_CASES: dict[str, _Case] = {
  "no pod yet": (None, (), None),
  "quota": (
    None,
    (
      _forbidden(
        "exceeded quota: team, requested: requests.cpu=500m, used: "
        "requests.cpu=4, limited: requests.cpu=4"
      ),
    ),
    None,
  ),
  "more than a quota has": (
    None,
    (
      _forbidden(
        "exceeded quota: team, requested: requests.memory=8Gi, used: "
        "requests.memory=0, limited: requests.memory=4000Mi"
      ),
    ),
    None,
  ),
  "limit range": (
    None,
    (
      _forbidden(
        "maximum memory usage per Container is 512Mi, but limit is 1Gi"
      ),
    ),
    None,
  ),
  "a limit range's default": (
    None,
    (
      _event(
        "FailedCreate",
        'Error creating: Pod "train-x" is invalid: '
        'spec.containers[0].resources.requests: Invalid value: "200m": must be '
        "less than or equal to cpu limit of 100m",
        kind="Job",
      ),
    ),
    None,
  ),
  "an invalid pod": (
    None,
    (
      _event(
        "FailedCreate",
        'Error creating: Pod "train-x" is invalid: spec.priority: Forbidden',
        kind="Job",
      ),
    ),
    None,
  ),
  "pod security": (
    None,
    (
      _forbidden(
        'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or '
        'container "runner" must set securityContext.runAsNonRoot=true)'
      ),
    ),
    None,
  ),
  "no service account": (
    None,
    (
      _forbidden(
        "error looking up service account team/trainer: serviceaccount "
        '"trainer" not found'
      ),
    ),
    None,
  ),
  "no priority class": (
    None,
    (_forbidden("no PriorityClass with name urgent was found"),),
    None,
  ),
  "webhook": (
    None,
    (
      _event(
        "FailedCreate",
        'Error creating: admission webhook "policy.example.com" denied the '
        "request: images must be signed",
        kind="Job",
      ),
    ),
    None,
  ),
  "another refusal": (
    None,
    (
      _event(
        "FailedCreate", "Error creating: etcdserver: timed out", kind="Job"
      ),
    ),
    None,
  ),
  "waits for a node": (_pod(node=""), (), None),
  "no room": (
    _pod(
      condition=(
        "Unschedulable",
        "0/1 nodes are available: 1 Insufficient cpu.",
      )
    ),
    (),
    None,
  ),
  "no such pool": (_SEEKING, (), _NODES),
  "no such pool, and no autoscaler that says anything": (
    _SEEKING,
    (_event("FailedScheduling", "0/3 nodes are available"),),
    _NODES,
  ),
  "no such pool, nodes unknown": (_SEEKING, (), None),
  "no nodes at all": (_SEEKING, (), ()),
  "a full pool": (
    _FULL,
    (),
    (
      *_NODES,
      _node(
        "e",
        nodepool="tpu-v5e-8",
        tpu_accelerator="tpu-v5-lite-podslice",
        tpu_topology="2x4",
      ),
    ),
  ),
  "scaling up": (
    _SEEKING,
    (
      _event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 in backoff"),
      _event(
        "TriggeredScaleUp",
        "pod triggered scale-up: [{tpu-v5e-8 0->1 (max: 4)}]",
        at=2,
      ),
    ),
    None,
  ),
  "no pool grows": (
    _SEEKING,
    (
      _event(
        "NotTriggerScaleUp",
        "pod didn't trigger scale-up: 2 node(s) didn't match Pod's node "
        "affinity/selector",
      ),
    ),
    _NODES,
  ),
  "no pool grows now": (
    _SEEKING,
    (
      _event(
        "NotTriggerScaleUp",
        "pod didn't trigger scale-up: 1 max node group size reached",
      ),
    ),
    _NODES,
  ),
  "stock-out": (
    _SEEKING,
    (
      _event("TriggeredScaleUp", "pod triggered scale-up: [{tpu 0->1}]"),
      _event(
        "FailedScaleUp",
        "Node scale up in zones us-west4-a associated with this pod failed: "
        "GCE out of resources. Pod is at risk of not being scheduled.",
        at=2,
      ),
    ),
    None,
  ),
  "gated": (
    _pod(
      condition=(
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
      )
    ),
    (),
    None,
  ),
  "being made": (_pod("ContainerCreating"), (), None),
  "a missing volume": (
    _pod("ContainerCreating"),
    (
      _event(
        "FailedMount",
        'MountVolume.SetUp failed for volume "key" : secret "train-x" not found',
      ),
    ),
    None,
  ),
  "a slow volume": (
    _pod("ContainerCreating"),
    (
      _event(
        "FailedMount",
        "Unable to attach or mount volumes: timed out waiting for the condition",
      ),
    ),
    None,
  ),
  "no sandbox": (
    _pod("ContainerCreating"),
    (
      _event(
        "FailedCreatePodSandBox",
        'Failed to create pod sandbox: plugin type="bridge" failed (add): no '
        "IP addresses available in range set",
      ),
    ),
    None,
  ),
  "no such image": (
    _pod("ErrImagePull", f"{_PULL}: {_IMAGE}: not found"),
    (),
    None,
  ),
  "an image by its digest that is gone": (
    _pod("ErrImagePull", f"{_PULL}: {_DIGEST}: not found", image=_DIGEST),
    (),
    None,
  ),
  "no such image, tried again": (
    _pod("ImagePullBackOff", f'Back-off pulling image "{_IMAGE}"'),
    (_event("Failed", f"Failed to pull image: {_PULL}: not found"),),
    None,
  ),
  "no such image, of which the last event says no more": (
    _pod("ImagePullBackOff", f'Back-off pulling image "{_IMAGE}"'),
    (
      _event("Failed", f"Failed to pull image: {_PULL}: not found", at=1),
      _event("Failed", "Error: ErrImagePull", at=2),
      _event("Failed", "Error: ImagePullBackOff", at=3),
    ),
    None,
  ),
  "an image that may not be read": (
    _pod("ErrImagePull", f"{_PULL}: unexpected status: 403 Forbidden"),
    (),
    None,
  ),
  "a registry that is away": (
    _pod("ErrImagePull", f"{_PULL}: dial tcp: i/o timeout"),
    (),
    None,
  ),
  "no image's name": (
    _pod(
      "InvalidImageName",
      'Failed to apply default image tag "A B": couldn\'t parse image name',
    ),
    (),
    None,
  ),
  "an image that nobody pulls": (_pod("ErrImageNeverPull", ""), (), None),
  "a missing secret": (
    _pod("CreateContainerConfigError", 'secret "train-x" not found'),
    (),
    None,
  ),
  "a root image": (
    _pod(
      "CreateContainerConfigError",
      "container has runAsNonRoot and image will run as root",
    ),
    (),
    None,
  ),
  "no container": (
    _pod("CreateContainerError", "failed to reserve container name"),
    (),
    None,
  ),
  "again and again": (
    _pod("CrashLoopBackOff", "back-off 40s restarting failed container"),
    (),
    None,
  ),
}
_JOB: dict[str, Any] = {"metadata": {"name": "pod"}, "spec": {}}


def _view(case: _Case) -> diagnosis.View:
  pod, events, nodes = case
  known = None if nodes is None else pools(nodes)
  return diagnosis.view(_JOB, [pod] if pod else [], events, known)


class WaitingTest(parameterized.TestCase):
  def test_sentences(self) -> None:
    """They are as the golden file has them, with what is waited for in vain."""
    lines: list[str] = []
    for name, case in _CASES.items():
      view = _view(case)
      self.assertEqual(view.state, State.PENDING)
      vain = " (in vain)" if view.hopeless else ""
      lines += [f"{name}{vain}:", f"  {view.sentence}"]
    text = "\n".join([*lines, ""])
    if not _GOLDEN.exists():
      _GOLDEN.write_text(text)
      self.fail(f"{_GOLDEN} was missing: look at what it is now")
    self.assertEqual(text, _GOLDEN.read_text())

  @parameterized.parameters(
    "no pod yet",
    "quota",
    "waits for a node",
    "no room",
    "no such pool",
    "a full pool",
    "scaling up",
    "no pool grows now",
    "stock-out",
    "being made",
    "a slow volume",
    "no sandbox",
    "a registry that is away",
  )
  def test_what_may_heal(self, name: str) -> None:
    """Nobody gives up on it: pools scaled to zero have no node."""
    self.assertFalse(_view(_CASES[name]).hopeless)

  def test_the_last_event(self) -> None:
    """It counts, whatever came before it, and of whatever object it tells."""
    events = [
      _event("FailedMount", "a", at=3),
      _event("FailedMount", "b", at=2),
    ]
    found = waiting.latest(events, "Pod", "pod", "FailedMount")
    assert found
    self.assertEqual(found["message"], "a")
    self.assertIsNone(waiting.latest(events, "Pod", "other", "FailedMount"))
    self.assertIsNone(waiting.latest(events, "Job", None, "FailedMount"))

  def test_long_messages(self) -> None:
    """They end where nobody reads on."""
    pod = _pod("CreateContainerError", "x" * 5000)
    self.assertLess(len(waiting.for_start(pod).sentence), 700)


if __name__ == "__main__":
  absltest.main()
