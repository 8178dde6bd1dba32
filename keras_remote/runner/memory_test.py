from pathlib import Path

from absl.testing import absltest

from keras_remote.constants import MIB
from keras_remote.runner.memory import Memory, memory


class MemoryTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)

  def test_version_2(self) -> None:
    """The count of kills is one of several, the limit a file of its own."""
    (self.folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    (self.folder / "memory.max").write_text(f"{256 * MIB}\n")
    self.assertEqual(memory(self.folder), Memory(2, 256 * MIB))

  def test_version_1(self) -> None:
    """They are in a folder of their own, under other names."""
    folder = self.folder / "memory"
    folder.mkdir()
    (folder / "memory.oom_control").write_text("under_oom 0\noom_kill 1\n")
    (folder / "memory.limit_in_bytes").write_text("104857600\n")
    self.assertEqual(memory(self.folder), Memory(1, 100 * MIB))

  def test_no_limit(self) -> None:
    """Both versions write it in their own way."""
    (self.folder / "memory.events").write_text("oom_kill 0\n")
    for text in ("max\n", "9223372036854771712\n"):
      (self.folder / "memory.max").write_text(text)
      self.assertEqual(memory(self.folder), Memory(0, None))

  def test_nothing_to_read(self) -> None:
    """A system without control groups tells nothing."""
    self.assertEqual(memory(self.folder), Memory())


if __name__ == "__main__":
  absltest.main()
