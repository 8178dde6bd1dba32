from collections.abc import Iterable

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import making
from keras_remote.backend.k8s.objects import (
  JOBS,
  ROLES,
  SECRETS,
  SERVICES,
  SETS,
  Kind,
  Object,
)
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import KubernetesCase

_JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
_KINDS = (ROLES, SERVICES, SECRETS, SETS)


def _body() -> Object:
  return {"metadata": {"name": "job", "labels": {"a": "b"}}}


_STAGES = [
  [(ROLES, _body()), (SERVICES, _body())],
  [(SECRETS, _body())],
  [(SETS, _body())],
]


class MakingTest(KubernetesCase, parameterized.TestCase):
  def make(self) -> Object | None:
    return making.make(self.cluster, _JOB, _STAGES)

  def owners(self, kinds: Iterable[Kind] = _KINDS) -> set[str]:
    """The uids of the owners of what there is."""
    found = [self.found(kind, "job")["metadata"] for kind in kinds]
    return {owner["uid"] for each in found for owner in each["ownerReferences"]}

  def test_what_there_is_then(self) -> None:
    """The Job, and all else in its stages, owned by it."""
    job = self.make()
    assert job
    self.assertEqual(self.owners(), {job["metadata"]["uid"]})
    self.assertEqual(self.found(SETS, "job")["metadata"]["labels"], {"a": "b"})
    made = [r.path.rpartition("/")[2] for r in self.server.requests]
    self.assertEqual(made[0], "jobs")
    self.assertCountEqual(made[1:3], ["roles", "services"])
    self.assertEqual(made[3:], ["secrets", "leaderworkersets"])

  def test_twice(self) -> None:
    """Nothing is made anew."""
    self.make()
    versions = [self.found(kind, "job")["metadata"] for kind in _KINDS]
    self.assertIsNone(self.make())
    self.assertEqual(
      versions, [self.found(kind, "job")["metadata"] for kind in _KINDS]
    )

  def test_one_that_was_half_made(self) -> None:
    """It is made whole."""
    self.make()
    for kind in (SECRETS, SETS):
      self.remove(kind, "job")
    self.assertIsNone(self.make())
    self.assertLen(self.owners(), 1)

  def test_what_an_earlier_one_left(self) -> None:
    """It goes with that one, so this one has another."""
    old = {"uid": "old", "kind": "Job", "name": "job"}
    body: Object = {"metadata": {"name": "job", "ownerReferences": [old]}}
    self.put(ROLES, body)
    job = self.make()
    assert job
    self.assertEqual(self.owners(), {job["metadata"]["uid"]})

  def test_what_does_not_go(self) -> None:
    """It is named, and not asked for without end."""
    old = {"uid": "old", "kind": "Job", "name": "job"}
    body: Object = {"metadata": {"name": "job", "ownerReferences": [old]}}
    self.put(ROLES, body)
    # A finalizer's effect: it is there, whoever removes it.
    self.server.fault = lambda request: (
      409 if request.method == "DELETE" and "/roles/" in request.path else None
    )
    before = len(self.server.requests)
    with self.assertRaisesRegex(errors.ClusterError, "get roles job -o yaml"):
      making.make(self.cluster, _JOB, _STAGES, patience=0.3)
    self.assertLess(len(self.server.requests) - before, 20)
    self.assertIsNone(self.found(JOBS, "job"))

  @parameterized.parameters("roles", "secrets", "leaderworkersets")
  def test_what_cannot_be_made(self, plural: str) -> None:
    """The Job goes, and so all that it owns."""
    self.refuse(plural)
    with self.assertRaises(errors.ClusterError):
      self.make()
    self.assertIsNone(self.found(JOBS, "job"))
    (removal,) = (r for r in self.server.requests if r.method == "DELETE")
    self.assertEqual(removal.body["propagationPolicy"], "Background")

  def test_what_cannot_be_finished(self) -> None:
    """A Job that was there before stays: it may run."""
    self.make()
    self.remove(SETS, "job")
    self.refuse("leaderworkersets")
    with self.assertRaises(errors.ClusterError):
      self.make()
    self.assertIsNotNone(self.found(JOBS, "job"))

  def refuse(self, plural: str) -> None:
    """Lets none of these be made."""

    def fault(request: Request) -> int | None:
      refused = request.method == "POST" and request.path.endswith(plural)
      return 422 if refused else None

    self.server.fault = fault


if __name__ == "__main__":
  absltest.main()
