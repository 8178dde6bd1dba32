from absl.testing import absltest, parameterized

from keras_remote.accelerators.gke import (
  POOL_LABEL,
  Placement,
  apart,
  placement,
)
from keras_remote.accelerators.parse import parse_accelerator

_LABEL = "cloud.google.com/gke-"


def _tolerated(key: str) -> dict[str, str]:
  return {"key": key, "operator": "Exists", "effect": "NoSchedule"}


class PlacementTest(parameterized.TestCase):
  def test_cpu(self) -> None:
    """Any node will do."""
    self.assertEqual(placement(parse_accelerator("cpu:8")), Placement())

  def test_gpu(self) -> None:
    """By kind and count, on tainted nodes."""
    self.assertEqual(
      placement(parse_accelerator("a100-80gbx4")),
      Placement(
        {"nvidia.com/gpu": "4"},
        {
          f"{_LABEL}accelerator": "nvidia-a100-80gb",
          f"{_LABEL}accelerator-count": "4",
        },
        (_tolerated("nvidia.com/gpu"),),
      ),
    )

  def test_another_processor(self) -> None:
    """Nodes with an Arm processor have a taint of their own."""
    found = placement(parse_accelerator("gb200x4"))
    self.assertEqual(found.selector["kubernetes.io/arch"], "arm64")
    arm = {
      "key": "kubernetes.io/arch",
      "operator": "Equal",
      "value": "arm64",
      "effect": "NoSchedule",
    }
    self.assertIn(arm, found.tolerations)

  @parameterized.parameters(
    ("v5e-8", "8", "tpu-v5-lite-podslice", "2x4", ""),
    ("v5p-8", "4", "tpu-v5p-slice", "2x2x1", ""),
    ("v5e-16", "4", "tpu-v5-lite-podslice", "4x4", POOL_LABEL),
  )
  def test_tpu(
    self, name: str, chips: str, label: str, topology: str, domain: str
  ) -> None:
    """By the chips of one host and the topology of the slice.

    One of several hosts is a pool of its own.
    """
    self.assertEqual(
      placement(parse_accelerator(name)),
      Placement(
        {"google.com/tpu": chips},
        {f"{_LABEL}tpu-accelerator": label, f"{_LABEL}tpu-topology": topology},
        (_tolerated("google.com/tpu"),),
        domain,
      ),
    )

  @parameterized.parameters(
    ("v5e-8", True), ("v5e-16", False), ("l4", False), ("cpu", False)
  )
  def test_a_slice_of_its_own(self, name: str, told: bool) -> None:
    """A host that is one says so, as its group is none."""
    self.assertEqual(bool(apart(parse_accelerator(name))), told)

  def test_spot(self) -> None:
    """With the value: without it the toleration does not match the taint."""
    found = placement(parse_accelerator("cpu:spot"))
    self.assertEqual(found.selector, {f"{_LABEL}spot": "true"})
    self.assertEqual(
      found.tolerations,
      (
        {
          "key": f"{_LABEL}spot",
          "operator": "Equal",
          "value": "true",
          "effect": "NoSchedule",
        },
      ),
    )


if __name__ == "__main__":
  absltest.main()
