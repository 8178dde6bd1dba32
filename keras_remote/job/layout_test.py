import hashlib

from absl.testing import absltest

from keras_remote.job import layout
from keras_remote.storage.store import check_key


class LayoutTest(absltest.TestCase):
  def test_names(self) -> None:
    """The names are those of the design: other rooms and people rely on them."""
    segment = layout.log_segment(2, 1048576)
    self.assertEqual(
      [
        layout.job("j", layout.SPEC),
        layout.job("j", layout.attempt(3, layout.STARTED)),
        layout.job("j", layout.attempt(3, layout.host_report(2))),
        layout.job("j", layout.attempt(3, segment)),
        layout.job("j", layout.result("abc")),
        layout.job("j", layout.OUTCOME),
        layout.context("abc"),
      ],
      [
        "jobs/j/spec.json",
        "jobs/j/attempts/3/started.json",
        "jobs/j/attempts/3/hosts/2.json",
        "jobs/j/attempts/3/logs/2/000000001048576",
        "jobs/j/results/abc.pkl",
        "jobs/j/outcome.json",
        "contexts/abc.zip",
      ],
    )

  def test_all_of_them_are_keys(self) -> None:
    """Every store takes every name."""
    for name in (
      layout.job("j", layout.attempt(1, layout.heartbeat(0))),
      layout.job("j", layout.PAYLOAD),
      layout.job("j", layout.FILES + "model.keras"),
    ):
      check_key(name)

  def test_segments_sort_by_offset(self) -> None:
    """The order of a listing is the order in which they were printed."""
    offsets = [0, 9, 10, 1048576, 99999999, 10**14]
    names = [layout.log_segment(0, offset) for offset in offsets]
    self.assertEqual(sorted(names), names)

  def test_digest(self) -> None:
    """Content is named by its sha256."""
    expected = hashlib.sha256(b"x").hexdigest()
    self.assertEqual(layout.digest(b"x"), expected)


if __name__ == "__main__":
  absltest.main()
