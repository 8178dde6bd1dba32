import re
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import accelerators
from keras_remote.cli.node_pool import NodePool

_NAMES = [f"{each}{end}" for each in accelerators() for end in ("", ":spot")]
_LABEL = "[a-z]([a-z0-9-]*[a-z0-9])?"


class NodePoolTest(parameterized.TestCase):
  @parameterized.parameters(
    (NodePool("v5e-8"), "tpu-v5e-8"),
    (NodePool("tpu7x-8:spot"), "tpu7x-8-spot"),
    (NodePool("l4"), "gpu-l4"),
    (NodePool("a100-80gbx4:spot", number=2), "gpu-a100-80gbx4-spot-2"),
    (NodePool("cpu", min_nodes=1), "cpu"),
    (NodePool("cpu:spot"), "cpu-spot"),
  )
  def test_its_name(self, pool: NodePool, name: str) -> None:
    """The accelerator's, with what else tells it apart."""
    self.assertEqual(pool.name, name)

  def test_names_are_labels(self) -> None:
    """Of every accelerator, each another one, and GKE takes them."""
    names = [NodePool(each, number=999).name for each in _NAMES]
    self.assertLen(set(names), len(names))
    for name in names:
      self.assertRegex(name, f"^{_LABEL}$")
      self.assertLessEqual(len(name), 40)

  @parameterized.parameters(
    ("v5e-8", {}, 4),
    ("v5e-16", {}, 4),
    ("v5e-32", {}, 8),
    ("v5e-32", {"max_nodes": 8}, 8),
    ("v5e-32", {"min_nodes": 8}, 8),
    ("l4", {"max_nodes": 20}, 20),
  )
  def test_how_many(self, name: str, fields: Any, most: int) -> None:
    """As many as is said; of a slice all of its hosts."""
    self.assertEqual(NodePool(name, **fields).most, most)

  @parameterized.parameters(
    ("TPU:v5e-8", {}, "write 'v5e-8'"),
    ("cpu:8", {}, "write 'cpu'"),
    ("v5e-32", {"max_nodes": 3}, "one slice, whose 8 hosts"),
    ("v5e-32", {"min_nodes": 1}, "add the pool once more"),
    ("l4", {"min_nodes": 5}, "5 to 4 machines"),
    ("l4", {"min_nodes": -1}, "the least is 0 or more"),
    ("l4", {"max_nodes": 0}, "1 to 1000"),
    ("l4:spot", {"reservation": "ours"}, "ask for 'l4'"),
    ("l4", {"reservation": "Ours"}, "projects/PROJECT/reservations/NAME"),
    ("l4", {"number": 0}, "use 1 to 999"),
  )
  def test_bad_pools_are_refused(
    self, name: str, fields: Any, words: str
  ) -> None:
    """With what to write in place of it."""
    with self.assertRaisesRegex(errors.ConfigError, re.escape(words)):
      NodePool(name, **fields)

  @parameterized.parameters(
    ("h100", "", "h100 on demand: ask for 'h100:spot'"),
    ("h100x4", "ours", "reserved: ask for 'h100x4:spot', unreserved"),
    ("h200x8", "", "'h200x8:spot', or for 'h200x8' with --reservation"),
    ("b200x8", "", "b200x8 on demand"),
    ("gb200x4:spot", "", "gb200x4 on spot machines: ask for 'gb200x4' with"),
    ("gb200x4", "", "gb200x4 on demand: ask for 'gb200x4' with --reservation"),
  )
  def test_what_google_does_not_have(
    self, name: str, reservation: str, words: str
  ) -> None:
    """There can be such a pool, but a new one is refused with what there is."""
    pool = NodePool(name, reservation=reservation)
    with self.assertRaisesRegex(errors.ConfigError, re.escape(words)):
      pool.check_offered()

  @parameterized.parameters(
    ("h100:spot", ""),
    ("h100x8", ""),
    ("h200x8", "ours"),
    ("b200x8:spot", ""),
    ("gb200x4", "ours"),
    ("v5e-8", ""),
    ("cpu:spot", ""),
  )
  def test_what_google_has(self, name: str, reservation: str) -> None:
    """In that way nothing is refused, nor where nothing is known."""
    NodePool(name, reservation=reservation).check_offered()

  def test_unknown_accelerators_are_refused(self) -> None:
    """As everywhere, with the nearest one."""
    with self.assertRaisesRegex(errors.AcceleratorError, "did you mean"):
      NodePool("v5d-8")

  @parameterized.parameters("ours", "projects/theirs/reservations/ours")
  def test_reservations(self, name: str) -> None:
    """A project's own, and another's."""
    self.assertEqual(NodePool("l4", reservation=name).reservation, name)

  def test_pools_keep_their_accelerator(self) -> None:
    """Every name of the registry is a pool's."""
    for name in _NAMES:
      kind = NodePool(name, min_nodes=0).kind
      self.assertEqual(kind, parse_accelerator(name))


if __name__ == "__main__":
  absltest.main()
