"""A zip that other programs read, and that depends on nothing but its files."""

import hashlib
import io
import random
import stat
import struct
import zipfile

from absl.testing import absltest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_remote.packaging.archive import Record, ZipWriter

_PARTS = st.text(
  st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
  min_size=1,
  max_size=8,
)
_NAMES = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
_FILES = st.dictionaries(_NAMES, st.tuples(st.binary(), st.booleans()))


def _zip(
  files: dict[str, tuple[bytes, bool]],
) -> tuple[bytes, str, dict[str, Record]]:
  made = io.BytesIO()
  writer = ZipWriter(made)
  records = {
    name: writer.add(name, io.BytesIO(content), executable=executable)
    for name, (content, executable) in files.items()
  }
  digest = writer.finish()
  return made.getvalue(), digest, records


class ZipWriterTest(absltest.TestCase):
  """Against zipfile, which unpacks it on the other side."""

  @settings(deadline=None)
  @given(_FILES)
  def test_zipfile_reads_what_was_written(
    self, files: dict[str, tuple[bytes, bool]]
  ) -> None:
    """Names, contents and the right to execute come back; the sums are true."""
    data, digest, _ = _zip(files)
    self.assertEqual(digest, hashlib.sha256(data).hexdigest())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      self.assertIsNone(archive.testzip())
      read = {
        entry.filename: (
          archive.read(entry),
          bool(entry.external_attr >> 16 & stat.S_IXUSR),
        )
        for entry in archive.infolist()
      }
    self.assertEqual(read, files)

  @settings(deadline=None)
  @given(_FILES, st.randoms())
  def test_a_copy_is_as_good_as_packing(
    self, files: dict[str, tuple[bytes, bool]], chance: random.Random
  ) -> None:
    """Whichever files are taken over from an older zip, the bytes are equal."""
    data, digest, records = _zip(dict(reversed(files.items())))
    made = io.BytesIO()
    writer = ZipWriter(made)
    for name, (content, executable) in files.items():
      if chance.random() < 0.5:
        writer.copy(
          name, io.BytesIO(data), records[name], executable=executable
        )
      else:
        writer.add(name, io.BytesIO(content), executable=executable)
    digest = writer.finish()
    self.assertEqual(digest, _zip(files)[1])

  def test_more_files_than_the_old_format_counts(self) -> None:
    """Over 65,535 files are found again, and rightly counted."""
    data, _, _ = _zip({f"{n:05}": (b"", False) for n in range(65_600)})
    record = data.rindex(b"PK\x06\x06")
    self.assertEqual(
      struct.unpack_from("<QQ", data, record + 24), (65_600, 65_600)
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
      self.assertLen(archive.namelist(), 65_600)
      self.assertEqual(archive.read("65599"), b"")

  def test_a_zip_that_was_cut_short_is_not_copied(self) -> None:
    """What is missing is an error, never a hole."""
    data, _, records = _zip({"a": (b"content", False)})
    writer = ZipWriter(io.BytesIO())
    with self.assertRaisesRegex(OSError, "cut short at a"):
      writer.copy("a", io.BytesIO(data[:20]), records["a"], executable=False)


if __name__ == "__main__":
  absltest.main()
