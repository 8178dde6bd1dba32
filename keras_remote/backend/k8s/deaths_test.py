from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s.deaths import Deaths
from tests.fakes.specs import JOB_ID

_RUNS: dict[str, Any] = {"running": {}}
_TAKEN = {
  "type": "DisruptionTarget",
  "status": "True",
  "reason": "EvictionByEvictionAPI",
  "message": "Eviction API: evicting",
}


def _pod(
  host: int,
  state: dict[str, Any] = _RUNS,
  *,
  start: int = 1,
  leaving: bool = False,
  taken: bool = False,
  before: dict[str, Any] | None = None,
) -> dict[str, Any]:
  index = {"leaderworkerset.sigs.k8s.io/worker-index": str(host)}
  metadata = {"name": f"pod-{host}", "uid": f"{host}.{start}", "labels": index}
  if leaving:
    metadata["deletionTimestamp"] = "2026-01-02T03:05:06Z"
  container = {"state": state, "restartCount": 1 if before else 0}
  if before:
    container["lastState"] = before
  status = {
    "phase": "Running",
    "conditions": [_TAKEN] if taken else [],
    "containerStatuses": [container],
  }
  return {"metadata": metadata, "spec": {"containers": [{}]}, "status": status}


def _ended(code: int, at: int = 1) -> dict[str, Any]:
  finished = f"2026-01-02T03:04:{at:02}Z"
  return {"terminated": {"exitCode": code, "finishedAt": finished}}


def _recreates(pod: str) -> dict[str, Any]:
  return {
    "reason": "RecreateGroupOnPodRestart",
    "message": f"Worker pod {pod} failed, deleted leader pod {JOB_ID}-0 to "
    "recreate group 0",
    "involvedObject": {"kind": "LeaderWorkerSet", "name": JOB_ID},
    "metadata": {},
  }


class DeathsTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.deaths = Deaths()

  def test_nobody(self) -> None:
    """Of hosts that live there is nothing to tell."""
    self.deaths.heed([_pod(0), _pod(1)])
    self.assertIsNone(self.deaths.cause)

  @parameterized.parameters(
    (
      # As the controller deletes the others once a container began anew.
      [_pod(0, leaving=True), _pod(1, before=_ended(139))],
      "host 1's first process ended with signal SIGSEGV and said nothing",
    ),
    (
      [_pod(0, _ended(143), leaving=True), _pod(1, _ended(143), taken=True)],
      "host 1's pod was taken away (EvictionByEvictionAPI): Eviction API: "
      "evicting",
    ),
    (
      [_pod(0, _ended(143, 3)), _pod(1, _ended(137, 4)), _pod(2, _ended(143))],
      "host 1's first process ended with signal SIGKILL and said nothing",
    ),
  )
  def test_the_cause(self, pods: list[dict[str, Any]], why: str) -> None:
    """Who ended of itself, or was taken away, before who was told to end."""
    self.deaths.heed(pods)
    self.assertEqual(str(self.deaths.cause), why)

  def test_the_first(self) -> None:
    """Of several that were deleted the one that was seen first counts."""
    self.deaths.heed([_pod(0), _pod(1, leaving=True)])
    self.deaths.heed([_pod(0, leaving=True), _pod(1, leaving=True)])
    self.assertEqual(str(self.deaths.cause), "host 1's pod was deleted")

  @parameterized.parameters((f"{JOB_ID}-0-1", 1), (f"{JOB_ID}-0", 0))
  def test_who_is_blamed(self, pod: str, host: int) -> None:
    """Where they were seen at once the controller's word tells them apart."""
    pods = [_pod(0, leaving=True), _pod(1, leaving=True)]
    self.deaths.heed(pods, [_recreates(pod)])
    self.assertEqual(str(self.deaths.cause), f"host {host}'s pod was deleted")

  def test_who_has_its_group_deleted(self) -> None:
    """Where it could not begin that is why, and not that it was deleted."""
    self.deaths.heed([_pod(0, leaving=True), _pod(1, leaving=True)])
    ended = {"terminated": {**_ended(1)["terminated"], "message": "no bucket"}}
    self.deaths.heed([_pod(0, leaving=True), _pod(1, ended, leaving=True)])
    self.assertEqual(str(self.deaths.cause), "host 1: no bucket")

  def test_pods_that_are_gone(self) -> None:
    """What they died of is kept, until hosts of a later start die."""
    self.deaths.heed([_pod(0), _pod(1, _ended(139))])
    self.deaths.heed([])
    self.deaths.heed([_pod(0, start=2), _pod(1, start=2)])
    self.assertIn("SIGSEGV", str(self.deaths.cause))
    self.deaths.heed([_pod(0, start=2), _pod(1, start=2, leaving=True)])
    self.assertEqual(str(self.deaths.cause), "host 1's pod was deleted")

  def test_pods_that_went_between_two_looks(self) -> None:
    """They count as they were at last."""
    self.deaths.mourn([_pod(0, leaving=True), _pod(1, _ended(139))])
    self.deaths.heed([_pod(0, start=2), _pod(1, start=2)])
    self.assertIn("SIGSEGV", str(self.deaths.cause))

  def test_a_pod_that_is_gone(self) -> None:
    """Whoever removed it, it was deleted."""
    self.deaths.mourn([_pod(1)])
    self.assertEqual(str(self.deaths.cause), "host 1's pod was deleted")

  def test_what_was_said_first(self) -> None:
    """A death is told once, however often its pod changes."""
    self.deaths.heed([_pod(0), _pod(1, _ended(1))])
    self.deaths.heed([_pod(0), _pod(1, _ended(1), leaving=True)])
    self.assertIn("exit code 1", str(self.deaths.cause))

  def test_ends_in_vain(self) -> None:
    """Those of a host's own are counted, in its pod and in later ones."""
    self.assertEqual(self.deaths.in_vain, 0)
    self.deaths.heed([_pod(0), _pod(1, _ended(1))])
    self.deaths.heed([_pod(0), _pod(1, before=_ended(1))])
    self.assertEqual(self.deaths.in_vain, 1)
    self.deaths.heed([_pod(0, _ended(143)), _pod(1, _ended(1), start=2)])
    self.assertEqual(self.deaths.in_vain, 2)


if __name__ == "__main__":
  absltest.main()
