"""Who may do what. A right more, or a wider one, fails here."""

from typing import Any

from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import grants
from keras_remote.cli.infra.grants import Grant, On
from keras_remote.cli.infra.program import program
from tests.fakes.pulumi_monitor import Registered, record

_ADDRESS = "my-project.iam.gserviceaccount.com"
_NODES = f"serviceAccount:keras-remote-nodes@{_ADDRESS}"
_JOBS = f"serviceAccount:keras-remote-jobs@{_ADDRESS}"
_BUILDS = f"serviceAccount:keras-remote-builds@{_ADDRESS}"
_POD = "serviceAccount:my-project.svc.id.goog[default/keras-remote]"
_ADA = "user:ada@example.com"

# What it is a right to, the role, and whose it is.
_OURS = {
  ("my-project", "roles/container.defaultNodeServiceAccount", _NODES),
  ("repository us/keras-remote", "roles/artifactregistry.reader", _NODES),
  ("bucket my-project-keras-remote-jobs", "roles/storage.objectUser", _JOBS),
  ("account keras-remote-jobs", "roles/iam.workloadIdentityUser", _POD),
  ("repository us/keras-remote", "roles/artifactregistry.writer", _BUILDS),
  ("bucket my-project-keras-remote-jobs", "roles/storage.objectUser", _BUILDS),
  (
    "bucket my-project-keras-remote-jobs",
    "roles/storage.legacyBucketReader",
    _BUILDS,
  ),
  ("my-project", "roles/logging.logWriter", _BUILDS),
}
_OF_A_MEMBER = {
  ("my-project", "roles/container.clusterViewer", _ADA),
  ("my-project", "roles/cloudbuild.builds.editor", _ADA),
  ("my-project", "roles/serviceusage.serviceUsageConsumer", _ADA),
  ("my-project", "roles/storage.bucketViewer", _ADA),
  ("bucket my-project-keras-remote-jobs", "roles/storage.objectUser", _ADA),
  ("bucket my-project-keras-remote-state", "roles/storage.objectViewer", _ADA),
  ("repository us/keras-remote", "roles/artifactregistry.reader", _ADA),
  ("account keras-remote-builds", "roles/iam.serviceAccountUser", _ADA),
}


def _config(**fields: Any) -> InfraConfig:
  return InfraConfig("my-project", "us-central1-a", **fields)


def _rights(config: InfraConfig) -> set[tuple[str, str, str]]:
  """Every right that the program gives, whatever gives it."""
  found = set()
  for each in record(program(config)).resources:
    inputs = each.inputs
    if not {"role", "member", "members", "policyData"} & inputs.keys():
      continue
    # Anything else than one member's takes rights away from others.
    assert each.type.lower().endswith("iammember"), each.type
    found.add((_what(each), inputs["role"], inputs["member"]))
  return found


def _what(each: Registered) -> str:
  inputs = each.inputs
  if "serviceAccountId" in inputs:
    email = inputs["serviceAccountId"].rpartition("/")[2]
    return f"account {email.partition('@')[0]}"
  if "repository" in inputs:
    return f"repository {inputs['location']}/{inputs['repository']}"
  if "bucket" in inputs:
    return f"bucket {inputs['bucket']}"
  return inputs["project"]


class GrantsTest(absltest.TestCase):
  def test_every_right(self) -> None:
    """These are all: for machines, jobs and builds."""
    self.assertEqual(_rights(_config()), _OURS)

  def test_every_right_of_a_member(self) -> None:
    """And these for each who may run jobs, named once or twice."""
    found = _rights(_config(members=(_ADA, _ADA)))
    self.assertEqual(found, _OURS | _OF_A_MEMBER)

  def test_a_private_cluster(self) -> None:
    """Who runs jobs there gets no right more, and nobody a role of ours."""
    config = _config(members=(_ADA,), private_nodes=True)
    self.assertEqual(_rights(config), _OURS | _OF_A_MEMBER)
    self.assertEmpty(record(program(config)).of("IAMCustomRole"))

  def test_jobs_of_the_namespace_only(self) -> None:
    """A pod of another namespace is nobody towards Google Cloud."""
    found = _rights(_config(namespace="team"))
    pods = {
      who for _, role, who in found if role.endswith("workloadIdentityUser")
    }
    self.assertEqual(pods, {_POD.replace("default", "team")})

  def test_no_basic_role(self) -> None:
    """No role is one that grows with each new service."""
    for grant in grants.table(_config(members=(_ADA,))):
      self.assertRegex(grant.role, r"^roles/[a-z]+\.[A-Za-z.]+$")
      self.assertNotRegex(grant.role, "(?i)admin|owner")

  def test_shared(self) -> None:
    """Of a member, what is of the project, and images only where they are."""
    one = _config(members=(_ADA,))
    names = {each.rpartition("-user:")[0] for each in grants.shared(one, one)}
    self.assertContainsSubset(
      {
        "grant-project-container.clusterViewer",
        "grant-state-storage.objectViewer",
        "grant-repository-artifactregistry.reader",
      },
      names,
    )
    self.assertNotIn("grant-bucket-storage.objectUser", names)
    far = InfraConfig("my-project", "europe-west4-a")
    left = grants.shared(one, one) - grants.shared(one, far)
    self.assertSetEqual({each.split("-")[1] for each in left}, {"repository"})

  def test_names_are_apart(self) -> None:
    """Each is a resource of its own, also for similar members."""
    members = ("user:a.b@c.de", "group:a.b@c.de", "user:a-b@c.de")
    table = list(grants.table(_config(members=members)))
    self.assertLen({grant.name for grant in table}, len(table))
    self.assertIn(Grant(On.PROJECT, "roles/logging.logWriter", _BUILDS), table)


if __name__ == "__main__":
  absltest.main()
