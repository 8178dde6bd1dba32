"""The registry against the facts, which are written out again here."""

import itertools
import math
from collections import Counter

from absl.testing import absltest, parameterized

from keras_remote.accelerators.config import TpuConfig, topology_name
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import (
  GPU_ALIASES,
  GPUS,
  TPU_ALIASES,
  TPUS,
  accelerators,
  three_dimensional,
  ways,
)

# name, label, TensorCores a chip, HBM GiB, topology, chips, hosts, chips a
# host, machine type.
_V5E = "tpu-v5-lite-podslice"
_SLICES = (
  ("v3-8", "tpu-v3-device", 2, 32, "2x2", 4, 1, 4, "ct3-hightpu-4t"),
  ("v3-32", "tpu-v3-slice", 2, 32, "4x4", 16, 4, 4, "ct3p-hightpu-4t"),
  ("v3-64", "tpu-v3-slice", 2, 32, "4x8", 32, 8, 4, "ct3p-hightpu-4t"),
  ("v3-128", "tpu-v3-slice", 2, 32, "8x8", 64, 16, 4, "ct3p-hightpu-4t"),
  ("v3-256", "tpu-v3-slice", 2, 32, "8x16", 128, 32, 4, "ct3p-hightpu-4t"),
  ("v3-512", "tpu-v3-slice", 2, 32, "16x16", 256, 64, 4, "ct3p-hightpu-4t"),
  ("v3-1024", "tpu-v3-slice", 2, 32, "16x32", 512, 128, 4, "ct3p-hightpu-4t"),
  ("v3-2048", "tpu-v3-slice", 2, 32, "32x32", 1024, 256, 4, "ct3p-hightpu-4t"),
  ("v4-8", "tpu-v4-podslice", 2, 32, "2x2x1", 4, 1, 4, "ct4p-hightpu-4t"),
  ("v4-16", "tpu-v4-podslice", 2, 32, "2x2x2", 8, 2, 4, "ct4p-hightpu-4t"),
  ("v4-32", "tpu-v4-podslice", 2, 32, "2x2x4", 16, 4, 4, "ct4p-hightpu-4t"),
  ("v4-64", "tpu-v4-podslice", 2, 32, "2x4x4", 32, 8, 4, "ct4p-hightpu-4t"),
  ("v4-128", "tpu-v4-podslice", 2, 32, "4x4x4", 64, 16, 4, "ct4p-hightpu-4t"),
  ("v4-256", "tpu-v4-podslice", 2, 32, "4x4x8", 128, 32, 4, "ct4p-hightpu-4t"),
  (
    *("v4-8192", "tpu-v4-podslice", 2, 32, "16x16x16"),
    *(4096, 1024, 4, "ct4p-hightpu-4t"),
  ),
  ("v5e-1", _V5E, 1, 16, "1x1", 1, 1, 1, "ct5lp-hightpu-1t"),
  ("v5e-4", _V5E, 1, 16, "2x2", 4, 1, 4, "ct5lp-hightpu-4t"),
  ("v5e-8", _V5E, 1, 16, "2x4", 8, 1, 8, "ct5lp-hightpu-8t"),
  ("v5e-16", _V5E, 1, 16, "4x4", 16, 4, 4, "ct5lp-hightpu-4t"),
  ("v5e-32", _V5E, 1, 16, "4x8", 32, 8, 4, "ct5lp-hightpu-4t"),
  ("v5e-64", _V5E, 1, 16, "8x8", 64, 16, 4, "ct5lp-hightpu-4t"),
  ("v5e-128", _V5E, 1, 16, "8x16", 128, 32, 4, "ct5lp-hightpu-4t"),
  ("v5e-256", _V5E, 1, 16, "16x16", 256, 64, 4, "ct5lp-hightpu-4t"),
  ("v5p-8", "tpu-v5p-slice", 2, 95, "2x2x1", 4, 1, 4, "ct5p-hightpu-4t"),
  ("v5p-16", "tpu-v5p-slice", 2, 95, "2x2x2", 8, 2, 4, "ct5p-hightpu-4t"),
  ("v5p-256", "tpu-v5p-slice", 2, 95, "4x4x8", 128, 32, 4, "ct5p-hightpu-4t"),
  (
    *("v5p-12288", "tpu-v5p-slice", 2, 95, "16x16x24"),
    *(6144, 1536, 4, "ct5p-hightpu-4t"),
  ),
  ("v6e-1", "tpu-v6e-slice", 1, 32, "1x1", 1, 1, 1, "ct6e-standard-1t"),
  ("v6e-4", "tpu-v6e-slice", 1, 32, "2x2", 4, 1, 4, "ct6e-standard-4t"),
  ("v6e-8", "tpu-v6e-slice", 1, 32, "2x4", 8, 1, 8, "ct6e-standard-8t"),
  ("v6e-16", "tpu-v6e-slice", 1, 32, "4x4", 16, 4, 4, "ct6e-standard-4t"),
  ("v6e-32", "tpu-v6e-slice", 1, 32, "4x8", 32, 8, 4, "ct6e-standard-4t"),
  ("v6e-64", "tpu-v6e-slice", 1, 32, "8x8", 64, 16, 4, "ct6e-standard-4t"),
  ("v6e-128", "tpu-v6e-slice", 1, 32, "8x16", 128, 32, 4, "ct6e-standard-4t"),
  ("v6e-256", "tpu-v6e-slice", 1, 32, "16x16", 256, 64, 4, "ct6e-standard-4t"),
  ("tpu7x-2", "tpu7x", 2, 192, "1x1x1", 1, 1, 1, "tpu7x-standard-1t"),
  ("tpu7x-8", "tpu7x", 2, 192, "2x2x1", 4, 1, 4, "tpu7x-standard-4t"),
  ("tpu7x-16", "tpu7x", 2, 192, "2x2x2", 8, 2, 4, "tpu7x-standard-4t"),
  ("tpu7x-128", "tpu7x", 2, 192, "4x4x4", 64, 16, 4, "tpu7x-standard-4t"),
)

# name, label, GiB, {count: machine type}.
_GPUS = (
  (
    *("t4", "nvidia-tesla-t4", 16),
    {1: "n1-standard-4", 2: "n1-standard-8", 4: "n1-standard-16"},
  ),
  (
    *("p4", "nvidia-tesla-p4", 8),
    {1: "n1-standard-4", 2: "n1-standard-8", 4: "n1-standard-16"},
  ),
  (
    *("p100", "nvidia-tesla-p100", 16),
    {1: "n1-standard-4", 2: "n1-standard-8", 4: "n1-standard-16"},
  ),
  (
    *("v100", "nvidia-tesla-v100", 16),
    {
      1: "n1-standard-8",
      2: "n1-standard-16",
      4: "n1-standard-32",
      8: "n1-standard-64",
    },
  ),
  (
    *("l4", "nvidia-l4", 24),
    {
      1: "g2-standard-4",
      2: "g2-standard-24",
      4: "g2-standard-48",
      8: "g2-standard-96",
    },
  ),
  (
    *("a100", "nvidia-tesla-a100", 40),
    {
      1: "a2-highgpu-1g",
      2: "a2-highgpu-2g",
      4: "a2-highgpu-4g",
      8: "a2-highgpu-8g",
      16: "a2-megagpu-16g",
    },
  ),
  (
    *("a100-80gb", "nvidia-a100-80gb", 80),
    {
      1: "a2-ultragpu-1g",
      2: "a2-ultragpu-2g",
      4: "a2-ultragpu-4g",
      8: "a2-ultragpu-8g",
    },
  ),
  (
    *("h100", "nvidia-h100-80gb", 80),
    {
      1: "a3-highgpu-1g",
      2: "a3-highgpu-2g",
      4: "a3-highgpu-4g",
      8: "a3-highgpu-8g",
    },
  ),
  ("h100-mega", "nvidia-h100-mega-80gb", 80, {8: "a3-megagpu-8g"}),
  ("h200", "nvidia-h200-141gb", 141, {8: "a3-ultragpu-8g"}),
  ("b200", "nvidia-b200", 180, {8: "a4-highgpu-8g"}),
  ("gb200", "nvidia-gb200", 186, {4: "a4x-highgpu-4g"}),
  (
    *("rtx-pro-6000", "nvidia-rtx-pro-6000", 96),
    {
      1: "g4-standard-48",
      2: "g4-standard-96",
      4: "g4-standard-192",
      8: "g4-standard-384",
    },
  ),
)


class TpusTest(parameterized.TestCase):
  @parameterized.parameters(*_SLICES)
  def test_slice_is_as_gke_builds_it(
    self,
    name: str,
    label: str,
    cores: int,
    hbm: int,
    topology: str,
    chips: int,
    hosts: int,
    chips_per_host: int,
    machine_type: str,
  ):
    """Each field of each slice is the fact, not read from the name."""
    tpu = parse_accelerator(name)
    assert isinstance(tpu, TpuConfig)
    self.assertEqual(
      tpu,
      TpuConfig(
        name=name,
        generation=name.split("-")[0],
        chips=chips,
        hosts=hosts,
        chips_per_host=chips_per_host,
        topology=tuple(int(n) for n in topology.split("x")),
        label=label,
        machine_type=machine_type,
        hbm_gib=hbm,
        cores_per_chip=cores,
      ),
    )
    generation = TPUS[tpu.generation]
    self.assertIn(tpu, generation.sizes.values())

  def test_generations_are_those_of_gke(self):
    """There is no v2, and nothing that the facts do not name."""
    self.assertSameElements(TPUS, ["v3", "v4", "v5e", "v5p", "v6e", "tpu7x"])
    self.assertEqual(
      TPU_ALIASES,
      {"v5litepod": "v5e", "trillium": "v6e", "ironwood": "tpu7x"},
    )

  @parameterized.parameters("v3", "v5e", "v6e")
  def test_two_dimensional_generations_have_the_listed_slices_only(
    self, generation: str
  ):
    """Nothing is generated where the facts list every topology."""
    listed = [row[0] for row in _SLICES if row[0].startswith(generation)]
    self.assertEqual([str(t) for t in TPUS[generation].sizes.values()], listed)
    self.assertLen(TPUS[generation].topologies, len(listed))

  @parameterized.parameters(("v4", 4096), ("v5p", 6144), ("tpu7x", 9216))
  def test_large_slices_follow_the_rule(self, generation: str, most: int):
    """Above 64 chips: multiples of 4, in rising order, of any shape."""
    large = {t for t in TPUS[generation].topologies if math.prod(t) > 64}
    expected: set[tuple[int, ...]] = set()
    edges = range(4, most // 16 + 1, 4)
    for a, b in itertools.combinations_with_replacement(edges, 2):
      if a * b * b > most:
        continue
      for c in range(b, most // (a * b) + 1, 4):
        if a * b * c > 64:
          expected.add((a, b, c))
    self.assertEqual(large, expected)

  @parameterized.parameters("v4", "v5p", "tpu7x")
  def test_small_slices_follow_the_rule(self, generation: str):
    """Up to 64 chips on several hosts each dimension is 2 or 4."""
    small = [
      topology_name(t)
      for t, tpu in TPUS[generation].topologies.items()
      if tpu.hosts > 1 and tpu.chips <= 64
    ]
    self.assertEqual(small, ["2x2x2", "2x2x4", "2x4x4", "4x4x4"])

  @parameterized.parameters("v4", "v5p", "tpu7x")
  def test_a_size_is_the_most_cubic_slice(self, generation: str):
    """Of one size the least sum of dimensions wins, and wins alone."""
    kind = TPUS[generation]
    for size, tpu in kind.sizes.items():
      rivals = [
        sum(topology)
        for topology, other in kind.topologies.items()
        if other.chips == tpu.chips
      ]
      self.assertEqual(sum(tpu.topology), min(rivals))
      self.assertEqual(Counter(rivals)[min(rivals)], 1)
      self.assertEqual(size, tpu.chips * kind.cores_per_chip)

  @parameterized.parameters(
    ("v4-2048", (8, 8, 16)),
    ("v5p-1024", (8, 8, 8)),
    ("v5p-2048", (8, 8, 16)),
    ("tpu7x-1024", (8, 8, 8)),
    ("v5p-4608", (12, 12, 16)),
  )
  def test_known_most_cubic_slices(self, name: str, topology: tuple[int, ...]):
    """1024 chips are 8x8x16, not 4x16x16 or 4x4x64."""
    tpu = parse_accelerator(name)
    assert isinstance(tpu, TpuConfig)
    self.assertEqual(tpu.topology, topology)

  def test_hosts_hold_exactly_the_chips(self):
    """For every slice hosts times chips a host are the topology's chips."""
    for kind in TPUS.values():
      for topology, tpu in kind.topologies.items():
        self.assertEqual(tpu.topology, topology)
        self.assertEqual(tpu.chips, math.prod(topology))
        self.assertEqual(tpu.hosts * tpu.chips_per_host, tpu.chips)

  def test_rule_yields_each_topology_once(self):
    """Up to 128 chips the rule makes five topologies, none twice."""
    self.assertEqual(
      list(three_dimensional(128)),
      [(2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8)],
    )


class GpusTest(parameterized.TestCase):
  @parameterized.parameters(*_GPUS)
  def test_gpu_is_as_gke_offers_it(
    self, name: str, label: str, gib: int, machine_types: dict[int, str]
  ):
    """Label, memory, counts and machine types are the facts."""
    gpu = GPUS[name]
    self.assertEqual(
      {n: config.machine_type for n, config in gpu.counts.items()},
      machine_types,
    )
    for count, config in gpu.counts.items():
      self.assertEqual(config.name, name)
      self.assertEqual(config.label, label)
      self.assertEqual(config.memory_gib, gib)
      self.assertEqual(config.count, count)
      self.assertEqual(config.hosts, 1)

  def test_gpus_are_those_of_gke(self):
    """There is nothing that the facts do not name."""
    self.assertSameElements(GPUS, [row[0] for row in _GPUS])

  def test_only_gb200_has_arm_hosts(self):
    """An image for gb200 is built for arm64, every other for amd64."""
    arm = [n for n, gpu in GPUS.items() if gpu.architecture == "arm64"]
    self.assertEqual(arm, ["gb200"])
    self.assertEqual(GPUS["gb200"].counts[4].architecture, "arm64")

  def test_no_alias_hides_another_gpu(self):
    """A spelling that is a GPU's own name means that GPU."""
    for alias, name in GPU_ALIASES.items():
      self.assertIn(name, GPUS)
      if alias in GPUS:
        self.assertEqual(alias, name)


class AcceleratorsTest(absltest.TestCase):
  def test_every_accelerator_round_trips(self):
    """Parsing any canonical name gives the very accelerator back."""
    for accelerator in accelerators():
      self.assertEqual(parse_accelerator(str(accelerator)), accelerator)
      self.assertEqual(
        str(parse_accelerator(f"{accelerator}:spot")), f"{accelerator}:spot"
      )

  def test_no_name_is_given_twice(self):
    """Each canonical name means one accelerator."""
    names = Counter(map(str, accelerators()))
    self.assertEqual([name for name, n in names.items() if n > 1], [])

  def test_what_is_not_to_be_had_in_every_way(self):
    """Machines of these alone, which are none but the newest GPUs'."""
    some = [str(a) for a in accelerators() if len(ways(a)) < 3]
    newest = ["h100", "h100x2", "h100x4", "h200x8", "b200x8", "gb200x4"]
    self.assertEqual(some, newest)

  def test_all_categories_are_listed(self):
    """The list has TPUs, GPUs and the CPU, small sizes first."""
    names = [str(accelerator) for accelerator in accelerators()]
    self.assertLess(names.index("v5e-8"), names.index("v5e-16"))
    self.assertContainsSubset(["v3-8", "tpu7x-8", "l4", "gb200x4"], names)
    self.assertEqual(names[-1], "cpu")


if __name__ == "__main__":
  absltest.main()
