"""Values that are one of a list, against the lists themselves.

Pulumi's mocks take any text, and so does the provider until GKE refuses it in
the middle of an update. The lists are those of Google's own client libraries
where there is one, else what pulumi_gcp documents of the argument.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any

from absl.testing import absltest
from google.cloud import artifactregistry_v1, container_v1
from pulumi_gcp import compute, container, storage

from keras_remote.accelerators.registry import accelerators
from keras_remote.cli import config
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.program import program
from tests.fakes.pulumi_monitor import record


def _names(kind: type[enum.Enum]) -> set[str]:
  """What a client library has, but for what stands for nothing."""
  return {each.name for each in kind if not each.name.endswith("UNSPECIFIED")}


def _documented(cls: type, argument: str) -> set[str]:
  """The words that pulumi_gcp's documentation of an argument marks as values.

  In backticks, in quotes, or in capitals.
  """
  text = getattr(cls, argument).fget.__doc__ or ""
  marked = re.findall(r"`\"?(\w+)\"?`|\"(\w+)\"|\b([A-Z][A-Z_]+)\b", text)
  return {word for words in marked for word in words if word}


_Pool = container_v1.NodePool
_GPUS = "nodeConfig.guestAccelerators.gpuDriverInstallationConfig"
_POLICY = "cleanupPolicies"
# By a resource's kind and the path of the argument.
_LISTS: Mapping[tuple[str, str], set[str]] = {
  ("Cluster", "releaseChannel.channel"): _names(
    container_v1.ReleaseChannel.Channel
  ),
  ("Cluster", "networkingMode"): _documented(
    container.Cluster, "networking_mode"
  ),
  ("NodePool", "autoscaling.locationPolicy"): _names(
    container_v1.NodePoolAutoscaling.LocationPolicy
  ),
  # A slice whose policy is named has no type.
  ("NodePool", "placementPolicy.type"): {
    "",
    *_names(_Pool.PlacementPolicy.Type),
  },
  ("NodePool", "nodeConfig.taints.effect"): _names(
    container_v1.NodeTaint.Effect
  ),
  ("NodePool", "nodeConfig.workloadMetadataConfig.mode"): _names(
    container_v1.WorkloadMetadataConfig.Mode
  ),
  ("NodePool", f"{_GPUS}.gpuDriverVersion"): _names(
    container_v1.GPUDriverInstallationConfig.GPUDriverVersion
  ),
  ("NodePool", "nodeConfig.reservationAffinity.consumeReservationType"): (
    _names(container_v1.ReservationAffinity.Type)
  ),
  # Of Linux: GKE's page on node images.
  ("NodePool", "nodeConfig.imageType"): {"COS_CONTAINERD", "UBUNTU_CONTAINERD"},
  ("ResourcePolicy", "workloadPolicy.type"): _documented(
    compute.ResourcePolicyWorkloadPolicyArgs, "type"
  ),
  ("Firewall", "direction"): _documented(compute.Firewall, "direction"),
  ("RouterNat", "natIpAllocateOption"): _documented(
    compute.RouterNat, "nat_ip_allocate_option"
  ),
  ("RouterNat", "sourceSubnetworkIpRangesToNat"): _documented(
    compute.RouterNat, "source_subnetwork_ip_ranges_to_nat"
  ),
  ("Repository", "format"): _names(artifactregistry_v1.Repository.Format),
  ("Repository", f"{_POLICY}.action"): _names(
    artifactregistry_v1.CleanupPolicy.Action
  ),
  ("Repository", f"{_POLICY}.condition.tagState"): _names(
    artifactregistry_v1.CleanupPolicyCondition.TagState
  ),
  ("Bucket", "publicAccessPrevention"): _documented(
    storage.Bucket, "public_access_prevention"
  ),
  ("Bucket", "lifecycleRules.action.type"): _documented(
    storage.BucketLifecycleRuleActionArgs, "type"
  ),
}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  """Every value with its path, in which places of a list are not counted."""
  if isinstance(value, Mapping):
    for name, item in value.items():
      yield from _leaves(item, f"{path}.{name}" if path else name)
  elif isinstance(value, list):
    for item in value:
      yield from _leaves(item, path)
  else:
    yield path, value


class ValuesTest(absltest.TestCase):
  found: set[tuple[str, str, str]]

  @classmethod
  def setUpClass(cls) -> None:
    """Records programs in which every argument is there."""
    super().setUpClass()
    pools = (
      *(NodePool(n) for n in ("l4:spot", "p100", "v5e-16", "tpu7x-16")),
      NodePool("h100x8", reservation="ours"),
    )
    recorded = record(
      program(
        InfraConfig(
          "my-project", "us-central1-a", pools=pools, private_nodes=True
        )
      )
    )
    cls.found = {
      (each.type.rpartition(":")[2], path, value)
      for each in recorded.resources
      for path, value in _leaves(each.inputs)
      if isinstance(value, str)
    }

  def test_values_are_of_their_list(self) -> None:
    """No value is misspelt, and each list is used."""
    used = set()
    for kind, path, value in self.found:
      if (kind, path) in _LISTS:
        used.add((kind, path))
        self.assertIn(value, _LISTS[kind, path], (kind, path))
    self.assertEqual(used, _LISTS.keys())

  def test_every_list_is_known(self) -> None:
    """What looks like such a value is looked up in a list."""
    for kind, path, value in self.found:
      if re.fullmatch("[A-Z][A-Z_]+", value):
        self.assertIn((kind, path), _LISTS, value)

  def test_the_lists_are_lists(self) -> None:
    """A wrong value would be found in none of them."""
    for values in _LISTS.values():
      self.assertNoCommonElements(values, ["COMPAKT", "NOSCHEDULE", "Delet"])
      self.assertNotEmpty(values - {""})

  def test_release_channels(self) -> None:
    """Those that a config takes are those that GKE has."""
    known = _names(container_v1.ReleaseChannel.Channel)
    self.assertSameElements(config.RELEASE_CHANNELS, known)

  def test_labels_are_as_google_takes_them(self) -> None:
    """Lowercase letters, digits and dashes, up to 63 of them."""
    longest = InfraConfig("my-project", "us-central1-a", cluster="a" * 40)
    for key, value in longest.labels.items():
      self.assertRegex(key, "^[a-z][a-z0-9_-]{0,62}$")
      self.assertRegex(value, "^[a-z0-9_-]{0,63}$")

  def test_names_are_as_google_takes_them(self) -> None:
    """Whatever a cluster and its pools are called, of up to 63 characters."""
    made = InfraConfig(
      "my-project", "us-central1-a", cluster="a" * 40, private_nodes=True
    )
    for accelerator in accelerators():
      pool = NodePool(f"{accelerator}".replace("cpu", "l4"), number=999)
      self.assertLessEqual(len(made.policy_name(pool)), 63)
    for each in record(program(made)).resources:
      name = each.inputs.get("name", "a")
      self.assertRegex(name, "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", each.name)


if __name__ == "__main__":
  absltest.main()
