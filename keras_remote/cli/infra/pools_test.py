"""Pools and the pods that are to run on them, seen from GKE's side."""

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from absl.testing import absltest, parameterized
from google.protobuf import json_format
from pulumi.runtime import rpc

from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import accelerators
from keras_remote.backend.k8s.template import Contents, pod_template
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import pools
from keras_remote.cli.infra.program import program
from tests.fakes.gke_nodes import Nodes, nodes
from tests.fakes.pulumi_monitor import record
from tests.fakes.specs import job_spec

_NAMES = tuple(
  f"{each}{end}" for each in accelerators() for end in ("", ":spot")
)
# One of each kind, which all are in one cluster.
_MIXED = (
  *(
    "l4",
    "l4:spot",
    "l4x2",
    "t4",
    "a100",
    "a100-80gb",
    "h100x8",
    "h100-megax8",
  ),
  *("v3-8", "v3-32", "v4-8", "v4-16", "v5e-1", "v5e-4", "v5e-8", "v5e-8:spot"),
  *("v5e-16", "v5e-16:spot", "v5e-32", "v5p-8", "v5p-16", "v6e-8", "v6e-16"),
  *("tpu7x-2", "tpu7x-8", "tpu7x-16", "tpu7x-16:spot", "cpu:spot"),
)
_CONTENTS = Contents("2" * 64, "registry/image:1", "runner", ())


def _config(names: Iterable[str] = ()) -> InfraConfig:
  """A cluster that has a pool for each of these."""
  asked = tuple(NodePool(name) for name in names if name != "cpu")
  return InfraConfig("my-project", "us-central1-a", pools=asked)


def _pod(name: str) -> Mapping[str, Any]:
  """The spec of the pod of a job that asks for the accelerator."""
  spec = job_spec(accelerator=name)
  resources = dataclasses.replace(
    spec.resources, emulated=False, hosts=parse_accelerator(name).hosts
  )
  spec = dataclasses.replace(spec, resources=resources)
  return pod_template(spec, _CONTENTS)["spec"]


async def _told(config: InfraConfig) -> dict[str, Nodes]:
  """The nodes of each pool, without a program, which takes long for many."""
  found = {}
  for pool in config.every_pool:
    told: dict[str, Any] = {
      "name": pool.name,
      "nodeConfig": pools.machines(config, pool, "account"),
      "placementPolicy": pools.placement(pool.kind, None),
    }
    struct = await rpc.serialize_properties(told, {})
    found[pool.name] = nodes(json_format.MessageToDict(struct))
  return found


class PodsTest(parameterized.TestCase):
  """The pods of a job fit the nodes of exactly one pool: the right one."""

  registered: Mapping[str, Nodes]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    made = record(program(_config(_MIXED))).of("NodePool")
    cls.registered = {
      each.inputs["name"]: nodes(each.inputs) for each in made.values()
    }

  @parameterized.parameters("cpu", "cpu:8", *_MIXED)
  def test_in_a_mixed_cluster(self, name: str) -> None:
    """Of all pools that the program makes, one takes it."""
    right = "cpu" if name == "cpu:8" else NodePool(name).name
    pod = _pod(name)
    found = [pool for pool, each in self.registered.items() if each.takes(pod)]
    self.assertEqual(found, [right])

  def test_every_accelerator(self) -> None:
    """Of pools for all that the registry has, spot or not, one takes it."""
    every = asyncio.run(_told(_config(_NAMES)))
    self.assertLen(every, len(_NAMES))
    # Only these could take a pod with such a selector.
    by_label: dict[tuple[str, str], list[str]] = defaultdict(list)
    for pool, each in every.items():
      for label in each.labels.items():
        by_label[label].append(pool)
    for name in _NAMES:
      pod = _pod(name)
      selector = pod.get("nodeSelector") or {}
      candidates = min(
        (by_label[label] for label in selector.items()), key=len, default=every
      )
      found = [pool for pool in candidates if every[pool].takes(pod)]
      self.assertEqual(found, [NodePool(name).name], name)

  def test_what_is_told_is_what_is_made(self) -> None:
    """The nodes of the last test are those of the program's pools."""
    self.assertEqual(asyncio.run(_told(_config(_MIXED))), self.registered)

  def test_none_without_its_pool(self) -> None:
    """A job that asks for what no pool has is taken by no other."""
    for name in _MIXED:
      pod, own = _pod(name), NodePool(name).name
      found = [p for p, each in self.registered.items() if each.takes(pod)]
      self.assertEqual([p for p in found if p != own], [])

  def test_slices_are_whole(self) -> None:
    """A pool of a slice of several hosts has all of them, or none."""
    for name in ("v5e-16", "v5p-16", "tpu7x-16"):
      pool = record(program(_config([name])))[f"pool-{NodePool(name).name}"]
      hosts = parse_accelerator(name).hosts
      self.assertEqual(pool.inputs["autoscaling"]["maxNodeCount"], hosts)
      self.assertEqual(pool.inputs["autoscaling"]["minNodeCount"], 0)

  def test_sizes_change_in_place(self) -> None:
    """A pool begins with its least; later only the autoscaler is told."""
    pools = (NodePool("l4", min_nodes=2, max_nodes=3),)
    config = InfraConfig("my-project", "us-central1-a", pools=pools)
    pool = record(program(config))["pool-gpu-l4"]
    self.assertEqual(pool.inputs["initialNodeCount"], 2)
    self.assertEqual(pool.inputs["autoscaling"]["minNodeCount"], 2)
    self.assertIn("initialNodeCount", pool.options["ignoreChanges"])

  def test_what_machines_come_with_is_no_change(self) -> None:
    """GKE says of a pool what its program does not, and not all that it does.

    With that the second `up` would make pools anew.
    """
    ignored = record(program(_config()))["pool-cpu"].options["ignoreChanges"]
    # As the provider's schema has them.
    for name in (
      "nodeConfig.ephemeralStorageLocalSsdConfig",
      "nodeConfig.localNvmeSsdBlockConfig",
      "nodeConfig.taints",
      "placementPolicy",
    ):
      self.assertIn(name, ignored)

  def test_pools_become_private_with_their_cluster(self) -> None:
    """Of those that are there GKE would leave the machines as they are."""
    for private in (False, True):
      config = InfraConfig("my-project", "us-central1-a", private_nodes=private)
      inputs = record(program(config))["pool-cpu"].inputs
      asked = inputs.get("networkConfig", {}).get("enablePrivateNodes", False)
      self.assertEqual(asked, private)

  def test_one_of_somebody_else_keeps_its_machines(self) -> None:
    """Only between how many there are of them is asked."""
    config = _config(["l4"])
    name = "pool-gpu-l4"
    adopted = {name: pools.import_ids(config)[name]}
    pool = record(program(config, adopted=adopted))[name]
    asked = set(pool.inputs) - set(pool.options["ignoreChanges"])
    self.assertEqual(asked, {"autoscaling"})


if __name__ == "__main__":
  absltest.main()
