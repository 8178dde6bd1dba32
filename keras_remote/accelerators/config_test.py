"""What an accelerator says of itself."""

import dataclasses

from absl.testing import absltest, parameterized

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  topology_name,
)
from keras_remote.accelerators.parse import parse_accelerator


class ConfigTest(parameterized.TestCase):
  @parameterized.parameters(
    ("v5e-8", "TPU v5e, 8 chips (2x4) on 1 host"),
    ("v5e-1", "TPU v5e, 1 chip (1x1) on 1 host"),
    ("v5e-16:spot", "TPU v5e, 16 chips (4x4) on 4 hosts, spot"),
    ("v4-8", "TPU v4, 4 chips (2x2x1) on 1 host"),
    ("tpu7x-2", "TPU 7x, 1 chip (1x1x1) on 1 host"),
    ("l4", "1 NVIDIA L4 GPU"),
    ("l4x2", "2 NVIDIA L4 GPUs"),
    ("a100-80gbx4:spot", "4 NVIDIA A100 80GB GPUs, spot"),
    ("cpu", "CPU, 1 device"),
    ("cpu:8", "CPU, 8 devices"),
    ("cpu:spot", "CPU, 1 device, spot"),
  )
  def test_describe_is_a_phrase_for_people(self, name: str, phrase: str):
    """`describe` counts chips, GPUs or devices, and says spot."""
    self.assertEqual(parse_accelerator(name).describe(), phrase)

  @parameterized.parameters(
    ("v4-8", "tpu", 1, 4),
    ("v3-8", "tpu", 1, 4),
    ("v5e-8", "tpu", 1, 8),
    ("v5e-16", "tpu", 4, 4),
    ("v5p-16", "tpu", 2, 4),
    ("tpu7x-2", "tpu", 1, 1),
    ("a100x16", "gpu", 1, 16),
    ("l4", "gpu", 1, 1),
    ("cpu", "cpu", 1, 1),
    ("cpu:8", "cpu", 1, 8),
  )
  def test_every_kind_says_what_a_backend_asks(
    self, name: str, category: str, hosts: int, devices: int
  ):
    """Category, hosts and devices a host are there whatever the kind."""
    accelerator = parse_accelerator(name)
    self.assertEqual(accelerator.category, category)
    self.assertEqual(accelerator.hosts, hosts)
    self.assertEqual(accelerator.devices_per_host, devices)
    self.assertFalse(accelerator.spot)

  @parameterized.parameters("v5e-8", "l4", "cpu")
  def test_is_a_value(self, name: str):
    """Equal accelerators are one dictionary key, and none can be changed."""
    accelerator = parse_accelerator(name)
    again = dataclasses.replace(accelerator)
    self.assertLen({accelerator, again}, 1)
    with self.assertRaises(dataclasses.FrozenInstanceError):
      accelerator.spot = True  # pyrefly: ignore[read-only]

  def test_the_union_is_every_kind(self):
    """`isinstance` with Accelerator tells an accelerator from a name."""
    self.assertIsInstance(CpuConfig(), Accelerator)
    self.assertNotIsInstance("cpu", Accelerator)

  @parameterized.parameters(((2, 4), "2x4"), ((2, 2, 1), "2x2x1"))
  def test_topology_is_written_as_gke_does(
    self, topology: tuple[int, ...], name: str
  ):
    """A topology's name is what the node label holds."""
    self.assertEqual(topology_name(topology), name)


if __name__ == "__main__":
  absltest.main()
