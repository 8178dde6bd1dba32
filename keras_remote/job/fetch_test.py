import dataclasses
import hashlib
import io
import os
import stat
import zipfile
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import fetch, layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import Image, JobSpec
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec


def _zip(files: dict[str, bytes], mode: int = 0o644) -> bytes:
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, "w") as zipped:
    for name, data in files.items():
      info = zipfile.ZipInfo(name)
      info.external_attr = (stat.S_IFREG | mode) << 16
      zipped.writestr(info, data)
  return packed.getvalue()


class FetchTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.directory = JobDirectory(MemoryStore(), JOB_ID)
    self.scratch = Path(self.create_tempdir().full_path) / "scratch"
    self.context = self.scratch / "context"
    self.context.mkdir(parents=True)

  def sent(
    self, archive: bytes, payload: bytes = b"", cwd: str = "."
  ) -> JobSpec:
    """The spec of a job with this archive and payload, both stored."""
    digest = hashlib.sha256(archive).hexdigest()
    self.directory.store.write(layout.context(digest), archive)
    self.directory.create_payload(payload)
    spec = job_spec()
    return dataclasses.replace(
      spec,
      context=digest,
      payload=hashlib.sha256(payload).hexdigest(),
      environment=dataclasses.replace(spec.environment, cwd=cwd),
    )

  @parameterized.parameters(
    (Image("mine:1"), "container_image="),
    (Image("built@1", (), "cpu"), "base_image="),
  )
  def test_another_python(self, image: Image, option: str) -> None:
    """Its pickle is not read; the error names the image that it takes."""
    spec = self.sent(_zip({}), b"call")
    old = dataclasses.replace(spec.environment, python="3.10.1")
    other = dataclasses.replace(spec, environment=old, image=image)
    to = self.scratch / "payload"
    with self.assertRaisesRegex(
      errors.ConfigError, f"that has Python 3.10 with {option}"
    ):
      fetch.fetch_payload(self.directory, other, to)
    self.assertFalse(to.exists())

  def fetch(self, spec: JobSpec) -> list[str]:
    fetch.fetch_context(self.directory, spec, self.context)
    found = (path for path in self.scratch.rglob("*") if path.is_file())
    return sorted(path.relative_to(self.scratch).as_posix() for path in found)

  def test_the_project_is_as_it_was_sent(self) -> None:
    """Files in their folders, byte for byte; the archive is gone."""
    spec = self.sent(_zip({"a.py": b"x = 1", "pkg/deep/b": bytes(1000)}))
    self.assertEqual(self.fetch(spec), ["context/a.py", "context/pkg/deep/b"])
    self.assertEqual((self.context / "a.py").read_bytes(), b"x = 1")

  def test_what_may_be_run_may_be_run_there(self) -> None:
    """The executable bit travels, and only that."""
    self.fetch(self.sent(_zip({"run": b""}, mode=0o755)))
    self.fetch(self.sent(_zip({"read": b""}, mode=0o644)))
    self.assertTrue(os.access(self.context / "run", os.X_OK))
    self.assertFalse((self.context / "read").stat().st_mode & stat.S_IXUSR)

  def test_a_current_directory_that_was_empty(self) -> None:
    """It did not travel, and is made."""
    self.fetch(self.sent(_zip({}), cwd="data/raw"))
    self.assertTrue((self.context / "data/raw").is_dir())

  def test_a_swapped_archive(self) -> None:
    """It is refused before anything of it is unpacked."""
    spec = self.sent(_zip({"a.py": b"x = 1"}))
    self.directory.store.write(
      layout.context(spec.context), _zip({"evil.py": b""})
    )
    with self.assertRaisesRegex(errors.IntegrityError, "archive in the store"):
      self.fetch(spec)
    self.assertEqual(list(self.context.iterdir()), [])
    self.assertFalse(self.context.with_suffix(".zip").exists())

  def test_a_swapped_payload(self) -> None:
    """It is refused and not kept."""
    spec = self.sent(_zip({}), b"pickled")
    to = self.scratch / "payload.pkl"
    fetch.fetch_payload(self.directory, spec, to)
    self.assertEqual(to.read_bytes(), b"pickled")
    other = dataclasses.replace(spec, payload="0" * 64)
    with self.assertRaisesRegex(errors.IntegrityError, "pickled call"):
      fetch.fetch_payload(self.directory, other, to)
    self.assertFalse(to.exists())

  def test_an_archive_that_is_gone(self) -> None:
    """The store says what it does not hold."""
    spec = self.sent(_zip({}))
    self.directory.store.delete(layout.context(spec.context))
    with self.assertRaisesRegex(errors.StoreError, "contexts/"):
      self.fetch(spec)

  @parameterized.parameters("../out", "/out", "a/../../out", "./../../out")
  def test_names_that_lead_out(self, name: str) -> None:
    """Nothing is written outside the folder, whatever the archive says."""
    files = self.fetch(self.sent(_zip({name: b"x"})))
    for file in files:
      self.assertStartsWith(file, "context/")
    self.assertFalse(Path("/out").exists())


if __name__ == "__main__":
  absltest.main()
