from collections.abc import Sequence
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import rights
from keras_remote.cli.infra.engine import Change, Op, Resource
from keras_remote.cli.infra.kinds import POOL
from keras_remote.cli.infra.program import program
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud, refusal
from tests.fakes.pulumi_monitor import record

# All that there can be in one cluster.
_CONFIG = InfraConfig(
  "my-project",
  "us-central1-c",
  pools=(NodePool("tpu7x-16"),),
  private_nodes=True,
  members=("user:ada@example.com",),
)


class RightsTest(absltest.TestCase):
  plan: Sequence[Change]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    made = record(program(_CONFIG)).resources
    cls.plan = [Change(Op.CREATE, Resource(r.type, r.name)) for r in made]

  def setUp(self) -> None:
    super().setUp()
    self.cloud = self.enter_context(GoogleCloud())
    folder = Path(self.create_tempdir().full_path)
    self.enter_context(environment(**self.cloud.login(folder)))

  def test_every_kind_is_known(self) -> None:
    """What the program makes has its rights in the table, and only that."""
    kinds = {change.resource.kind for change in self.plan}
    self.assertEqual(kinds, rights.MAKING.keys())

  def test_who_may(self) -> None:
    """They are asked nothing; Google is, once."""
    rights.check(self.plan, _CONFIG)
    asked = [path for path in self.cloud.requests if "testIam" in path]
    self.assertEqual(asked, ["/v1/projects/my-project:testIamPermissions"])

  def test_who_may_not(self) -> None:
    """All that is missing is said, with roles and who can give them."""
    self.cloud.lacking = {
      "iam.serviceAccounts.create",
      "iam.serviceAccounts.setIamPolicy",
      "container.clusters.create",
    }
    with self.assertRaises(errors.CredentialsError) as caught:
      rights.check(self.plan, _CONFIG)
    self.assertEqual(
      str(caught.exception),
      "whoever is logged in may not make all this in project my-project, and "
      "nothing was made; what is missing:\n"
      "- container.clusters.create: roles/container.admin has it\n"
      "- iam.serviceAccounts.create, iam.serviceAccounts.setIamPolicy: "
      "roles/iam.serviceAccountAdmin has them\n"
      "Who owns the project can grant each role, or roles/owner, which has "
      "all: `gcloud projects add-iam-policy-binding my-project "
      "--member=user:YOU --role=roles/container.admin`",
    )

  def test_who_may_nothing(self) -> None:
    """Google's answer names none then, and each is missing."""
    every = {name for names in rights.MAKING.values() for name in names}
    self.cloud.lacking = every
    with self.assertRaises(errors.CredentialsError) as caught:
      rights.check(self.plan, _CONFIG)
    for name in every:
      self.assertIn(name, str(caught.exception))

  def test_only_what_is_made(self) -> None:
    """Nobody needs a right for what is there, or changes, or goes."""
    self.cloud.lacking = {"container.clusters.update"}
    pool = Resource(POOL, "pool")
    for op in (Op.SAME, Op.UPDATE, Op.DELETE):
      rights.check([Change(op, pool)], _CONFIG)
    self.assertEmpty(self.cloud.requests)
    with self.assertRaisesRegex(errors.CredentialsError, "clusters.update"):
      rights.check([Change(Op.CREATE, pool)], _CONFIG)

  def test_nobody_says(self) -> None:
    """Nothing is refused where the API is off, or cannot be reached."""
    self.cloud.lacking = {"container.clusters.create"}

    def off(path: str) -> tuple[int, object]:
      return 403, refusal("it is disabled", "SERVICE_DISABLED")

    self.cloud.fault = off
    rights.check(self.plan, _CONFIG)
    self.cloud.refuse()
    rights.check(self.plan, _CONFIG)


if __name__ == "__main__":
  absltest.main()
