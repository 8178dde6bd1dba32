from absl.testing import absltest

from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.known import Known
from keras_remote.backend.k8s.objects import EVENTS, JOBS, PODS, Object
from tests.fakes.specs import JOB_ID


def _object(uid: str, version: int = 1, job_id: str = JOB_ID) -> Object:
  return {
    "metadata": {
      "uid": uid,
      "resourceVersion": str(version),
      "labels": {pods.JOB_LABEL: job_id},
    }
  }


class KnownTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.known = Known()

  def uids(self, job_id: str = JOB_ID) -> list[str]:
    return [pod["metadata"]["uid"] for pod in self.known.seen(job_id).pods]

  def test_changes(self) -> None:
    """Each concerns its job."""
    self.assertEqual(self.known.apply(PODS, "ADDED", _object("a")), JOB_ID)
    self.known.apply(PODS, "ADDED", _object("b", job_id="other"))
    self.assertEqual(self.uids(), ["a"])
    self.assertEqual(self.uids("other"), ["b"])
    self.known.apply(PODS, "DELETED", _object("a", 2))
    self.assertEqual(self.uids(), [])
    self.assertFalse(self.known.knows(JOB_ID))

  def test_all_that_there_is(self) -> None:
    """What is not there any more is gone, of this kind alone."""
    self.known.apply(JOBS, "ADDED", _object("job"))
    self.known.apply(PODS, "ADDED", _object("a"))
    concerned = self.known.take(PODS, [_object("b", job_id="other")], "1")
    self.assertEqual(concerned, {JOB_ID, "other"})
    self.assertEqual(self.uids(), [])
    self.assertTrue(self.known.knows(JOB_ID))

  def test_what_came_while_all_was_asked_for(self) -> None:
    """An answer says nothing of what is newer than itself."""
    self.known.apply(PODS, "ADDED", _object("old", 4))
    self.known.apply(PODS, "ADDED", _object("changed", 4))
    self.known.learn(PODS, [_object("new", 7), _object("changed", 8)])
    self.known.take(PODS, [_object("changed", 4), _object("listed", 5)], "6")
    self.assertCountEqual(self.uids(), ["new", "changed", "listed"])
    found = {p["metadata"]["uid"]: p for p in self.known.seen(JOB_ID).pods}
    self.assertEqual(found["changed"]["metadata"]["resourceVersion"], "8")

  def test_a_look_that_is_late(self) -> None:
    """It adds what is not known, and brings nothing back."""
    self.known.apply(PODS, "ADDED", _object("a", 5))
    self.known.apply(PODS, "ADDED", _object("b", 5))
    self.known.apply(PODS, "DELETED", _object("b", 6))
    self.known.learn(PODS, [_object("a", 4), _object("b", 5), _object("c", 5)])
    self.assertEqual(self.uids(), ["a", "c"])
    (a, _) = self.known.seen(JOB_ID).pods
    self.assertEqual(a["metadata"]["resourceVersion"], "5")

  def test_a_watch_that_is_late(self) -> None:
    """What it tells of before the look changes nothing."""
    self.known.learn(PODS, [_object("a", 5)])
    self.known.apply(PODS, "ADDED", _object("a", 4))
    (a,) = self.known.seen(JOB_ID).pods
    self.assertEqual(a["metadata"]["resourceVersion"], "5")

  def test_what_is_kept(self) -> None:
    """No more than somebody reads: there may be thousands, for a day."""
    job, pod = _object("job"), _object("pod")
    for each in (job, pod):
      each["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    job["spec"] = {"suspend": True, "template": {"spec": 1}}
    pod["spec"] = {"containers": [1]}
    self.known.take(JOBS, [job], "9")
    self.known.apply(PODS, "ADDED", pod)
    seen = self.known.seen(JOB_ID)
    assert seen.job
    self.assertEqual(seen.job["spec"], {"suspend": True})
    self.assertEqual(seen.pods[0]["spec"], {"containers": [1]})
    for each in (seen.job, *seen.pods):
      self.assertNotIn("managedFields", each["metadata"])
    self.assertIn("template", job["spec"])  # It is its giver's.

  def test_pods_that_are_gone(self) -> None:
    """The last of each name is kept, for as long as anything of its job is."""

    def pod(uid: str, version: int) -> Object:
      found = _object(uid, version)
      found["metadata"]["name"] = "pod"
      return found

    def gone() -> list[str]:
      return [each["metadata"]["uid"] for each in self.known.seen(JOB_ID).gone]

    self.known.apply(JOBS, "ADDED", _object("job"))
    self.known.apply(PODS, "ADDED", pod("a", 2))
    self.assertEmpty(gone())
    self.known.apply(PODS, "DELETED", pod("a", 3))
    self.assertEqual(gone(), ["a"])
    self.known.apply(PODS, "ADDED", pod("b", 4))
    self.known.take(PODS, [pod("c", 5)], "6")
    self.assertEqual((self.uids(), gone()), (["c"], ["b"]))
    self.known.apply(PODS, "DELETED", pod("c", 7))
    self.known.apply(JOBS, "DELETED", _object("job", 8))
    self.assertEmpty(gone())

  def test_a_job_that_is_gone(self) -> None:
    """How it was at last is kept for as long as a pod of it is there."""
    self.known.apply(JOBS, "ADDED", _object("job", 1))
    self.known.apply(PODS, "ADDED", _object("pod", 2))
    self.assertIsNone(self.known.seen(JOB_ID).was)
    self.known.apply(JOBS, "DELETED", _object("job", 3))
    was = self.known.seen(JOB_ID).was
    assert was
    self.assertEqual(was["metadata"]["resourceVersion"], "3")
    self.known.apply(PODS, "DELETED", _object("pod", 4))
    self.assertIsNone(self.known.seen(JOB_ID).was)

  def test_events(self) -> None:
    """They are of the job whose objects they tell of."""
    told = (
      ("Job", JOB_ID),
      ("Pod", f"{JOB_ID}-x2v4q"),
      ("Pod", f"{JOB_ID}-3-x2v4q"),
      ("Pod", f"{JOB_ID}-0-11"),
      ("LeaderWorkerSet", JOB_ID),
      ("StatefulSet", f"{JOB_ID}-0"),
    )
    for number, (kind, name) in enumerate(told):
      event: Object = {
        "metadata": {"uid": str(number)},
        "involvedObject": {"kind": kind, "name": name},
      }
      self.assertEqual(self.known.apply(EVENTS, "ADDED", event), JOB_ID)
    self.assertLen(self.known.seen(JOB_ID).events, len(told))
    self.assertFalse(self.known.knows(JOB_ID))


if __name__ == "__main__":
  absltest.main()
