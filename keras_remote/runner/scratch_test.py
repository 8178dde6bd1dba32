import stat
from pathlib import Path

from absl.testing import absltest

from keras_remote.runner import scratch


class ScratchTest(absltest.TestCase):
  def test_scratch_is_made_anew(self) -> None:
    """Nothing of an earlier start is left in it, and nobody else may look."""
    folder = Path(self.create_tempdir().full_path) / "scratch"
    scratch.make(folder)
    (folder / scratch.OUTPUT / "old").touch()
    scratch.make(folder)
    self.assertEmpty(list((folder / scratch.OUTPUT).iterdir()))
    self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
    reserve = folder / scratch.RESERVE
    self.assertEqual(reserve.stat().st_size, scratch.RESERVE_BYTES)
    scratch.remove(folder)
    self.assertFalse(folder.exists())
    scratch.remove(folder)


if __name__ == "__main__":
  absltest.main()
