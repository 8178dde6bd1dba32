"""What is in a cluster, as data. A golden file that is deleted is made anew."""

import dataclasses
from pathlib import Path

import yaml
from absl.testing import absltest, parameterized

from keras_remote.backend.k8s.rights import EVERY
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import manifests

_GOLDEN = Path(__file__).parents[3] / "tests/golden/infra/kubernetes.yaml"
_CONFIG = InfraConfig(
  project="my-project",
  zone="us-central1-a",
  cluster="train",
  namespace="team",
  members=(
    "user:ada@example.com",
    "group:ml@example.com",
    "serviceAccount:ci@my-project.iam.gserviceaccount.com",
  ),
  quota=(("requests.google.com/tpu", "16"), ("count/jobs.batch", "50")),
)


class ObjectsTest(parameterized.TestCase):
  def test_all(self) -> None:
    """Each object and each right in it is on a page that somebody looks at."""
    made = yaml.safe_dump_all(manifests.objects(_CONFIG), sort_keys=False)
    if not _GOLDEN.exists():
      _GOLDEN.parent.mkdir(parents=True, exist_ok=True)
      _GOLDEN.write_text(made)
      self.fail(f"{_GOLDEN} is made anew: look at it")
    self.assertEqual(made, _GOLDEN.read_text())

  def test_the_least(self) -> None:
    """With no namespace of its own and no quota there is none of these."""
    config = dataclasses.replace(_CONFIG, namespace="default", quota=())
    kinds = {each["kind"] for each in manifests.objects(config)}
    self.assertNoCommonElements(kinds, {"Namespace", "ResourceQuota"})

  def test_members_have_what_calls_take(self) -> None:
    """No right more, and none that is everybody's."""
    (role,) = (
      each for each in manifests.objects(_CONFIG) if each["kind"] == "Role"
    )
    given = {
      (group, resource, verb)
      for rule in role["rules"]
      for group in rule["apiGroups"]
      for resource in rule["resources"]
      for verb in rule["verbs"]
    }
    taken = {(r.kind.api_group, r.resource, r.verb) for r in EVERY}
    self.assertEqual(given, taken)
    self.assertNotIn("*", {word for right in given for word in right})

  @parameterized.parameters(
    ("user:ada@example.com", "User", "ada@example.com"),
    ("group:ml@example.com", "Group", "ml@example.com"),
    ("serviceAccount:ci@p.iam.gserviceaccount.com", "User", "ci@p.iam"),
  )
  def test_whom_a_member_is(self, member: str, kind: str, name: str) -> None:
    """Google tells the cluster an address, of people and programs alike."""
    found = manifests.subject(member)
    self.assertEqual(found["kind"], kind)
    self.assertStartsWith(found["name"], name)


if __name__ == "__main__":
  absltest.main()
