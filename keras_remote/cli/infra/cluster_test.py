from typing import Any

from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.program import import_ids, program
from tests.fakes.pulumi_monitor import Registered, record


def _cluster(adopt: bool = False, **fields: Any) -> Registered:
  config = InfraConfig("my-project", "us-central1-a", **fields)
  ids = {"cluster": import_ids(config)["cluster"]} if adopt else {}
  return record(program(config, adopted=ids))["cluster"]


class ClusterTest(absltest.TestCase):
  def test_jobs_are_somebody(self) -> None:
    """Pods are service accounts by Workload Identity of the project."""
    pool = _cluster().inputs["workloadIdentityConfig"]["workloadPool"]
    self.assertEqual(pool, "my-project.svc.id.goog")

  def test_it_has_a_name_of_anywhere(self) -> None:
    """The DNS endpoint is there for all; addresses unless it is private."""
    for private in (False, True):
      ways = _cluster(private_nodes=private).inputs[
        "controlPlaneEndpointsConfig"
      ]
      self.assertTrue(ways["dnsEndpointConfig"]["allowExternalTraffic"])
      self.assertEqual(ways["ipEndpointsConfig"]["enabled"], not private)

  def test_groups_are_asked_for(self) -> None:
    """Where a member is one; a cluster knows people alone otherwise."""
    people = ("user:ada@example.com",)
    option = "authenticatorGroupsConfig"
    self.assertNotIn(option, _cluster(members=people).inputs)
    asked = _cluster(members=(*people, "group:ml@example.com")).inputs[option]
    group = "gke-security-groups@example.com"
    self.assertEqual(asked, {"securityGroup": group})

  def test_what_is_on(self) -> None:
    """Buckets as folders, images that stream, costs by namespace."""
    inputs = _cluster().inputs
    addons = inputs["addonsConfig"]
    self.assertTrue(addons["gcsFuseCsiDriverConfig"]["enabled"])
    defaults = inputs["nodePoolDefaults"]["nodeConfigDefaults"]
    self.assertTrue(defaults["gcfsConfig"]["enabled"])
    self.assertTrue(inputs["costManagementConfig"]["enabled"])

  def test_what_is_off(self) -> None:
    """No pool comes of itself, nor keeps the cluster from being removed."""
    inputs = _cluster().inputs
    self.assertFalse(inputs["clusterAutoscaling"]["enabled"])
    self.assertFalse(inputs["deletionProtection"])
    self.assertNotIn("fleet", inputs)

  def test_the_first_machine_counts_once(self) -> None:
    """It goes when the cluster is there, and is no change later."""
    ignored = _cluster().options["ignoreChanges"]
    self.assertContainsSubset(["initialNodeCount", "nodeConfig"], ignored)

  def test_the_first_pool_goes_also_of_one_that_was_interrupted(self) -> None:
    """Taken over, ours is told to have it removed; of others' none is."""
    self.assertTrue(_cluster().inputs["removeDefaultNodePool"])
    for adopt in (False, True):
      ignored = _cluster(adopt=adopt).options["ignoreChanges"]
      self.assertEqual("removeDefaultNodePool" in ignored, adopt)

  def test_one_of_somebody_else_stays_where_it_is(self) -> None:
    """Only what jobs need is asked of it; what it has beside that it keeps."""
    members = ("group:ml@example.com",)
    found = _cluster(adopt=True, members=members)
    ignored = found.options["ignoreChanges"]
    self.assertEqual(
      set(found.inputs).difference(ignored),
      {
        "addonsConfig",
        "authenticatorGroupsConfig",
        "costManagementConfig",
        "workloadIdentityConfig",
      },
    )
    # Of these the provider takes away what a program does not say.
    for name in (
      "binaryAuthorization",
      "dnsConfig",
      "fleet",
      "maintenancePolicy",
      "networkPolicy",
    ):
      self.assertIn(name, ignored)


if __name__ == "__main__":
  absltest.main()
