import ipaddress

from absl.testing import absltest

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.program import program
from tests.fakes.pulumi_monitor import Recorded, record


def _made(private: bool) -> Recorded:
  config = InfraConfig("my-project", "us-central1-a", private_nodes=private)
  return record(program(config))


class NetworkTest(absltest.TestCase):
  def test_ranges_do_not_meet(self) -> None:
    """Machines, pods and services have addresses of their own, and enough."""
    inputs = _made(False)["subnet"].inputs
    ranges = [
      ipaddress.ip_network(text)
      for text in (
        inputs["ipCidrRange"],
        *(each["ipCidrRange"] for each in inputs["secondaryIpRanges"]),
      )
    ]
    nodes, pods, _ = ranges
    for i, one in enumerate(ranges):
      self.assertTrue(one.is_private)
      for other in ranges[i + 1 :]:
        self.assertFalse(one.overlaps(other))
    # A machine takes 256 addresses for its pods.
    self.assertLessEqual(nodes.num_addresses, pods.num_addresses // 256)
    # The largest slice has 2304 hosts.
    self.assertGreater(nodes.num_addresses, 2304)

  def test_the_cluster_uses_its_ranges(self) -> None:
    """By the names that the subnet gives them."""
    made = _made(False)
    names = {
      each["rangeName"] for each in made["subnet"].inputs["secondaryIpRanges"]
    }
    policy = made["cluster"].inputs["ipAllocationPolicy"]
    self.assertEqual(set(policy.values()), names)

  def test_webhooks_are_reached(self) -> None:
    """From the subnet, where the control plane is too, and nowhere else."""
    made = _made(False)
    rule = made["webhooks"].inputs
    self.assertEqual(
      rule["sourceRanges"], [made["subnet"].inputs["ipCidrRange"]]
    )
    self.assertEqual(rule["allows"], [{"protocol": "tcp", "ports": ["9443"]}])

  def test_private_machines_have_a_way_out(self) -> None:
    """It is there before they are; others need none."""
    made = _made(True)
    self.assertIn("nat", made["cluster"].after)
    self.assertEmpty(_made(False).of("RouterNat"))


if __name__ == "__main__":
  absltest.main()
