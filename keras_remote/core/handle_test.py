"""What a job left behind, as it is copied."""

from concurrent.futures import Future
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.local import LocalBackend
from keras_remote.core.handle import JobFile, JobFiles, JobHandle
from keras_remote.home import Home
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import JobSpec
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec


class CopyTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path)
    self.target = self.base / "target"
    self.outside = self.base / "outside"
    self.outside.mkdir()
    self.directory = JobDirectory(MemoryStore(), JOB_ID)

  def files(self, *paths: str) -> JobFiles:
    for path in paths:
      if ".." not in path and not path.startswith("/"):
        self.directory.write_file(path, path.encode())
    return JobFiles([JobFile(path, 1, self.directory) for path in paths])

  def test_all_of_them(self) -> None:
    """In folders as they were, over what is there, and their paths are told."""
    paths = ("a.txt", "sub/folder/b.txt")
    copies = [self.target / path for path in paths]
    for _ in range(2):
      self.assertEqual(self.files(*paths).copy_to(self.target), copies)
      self.assertEqual([c.read_text() for c in copies], list(paths))

  @parameterized.parameters(
    "../outside/x", "sub/../../outside/x", "/{base}/outside/x"
  )
  def test_a_name_that_leads_out(self, name: str) -> None:
    """Nothing is copied, and no folder made."""
    name = name.format(base=str(self.base).lstrip("/"))
    with self.assertRaisesRegex(errors.IntegrityError, "would leave"):
      self.files("a.txt", name).copy_to(self.target)
    self.assertFalse(self.target.exists())
    self.assertEmpty(list(self.outside.iterdir()))

  @parameterized.parameters("sub", "sub/folder/x.txt")
  def test_a_link_that_leads_out(self, link: str) -> None:
    """Nothing is copied, and no folder made: neither here nor there."""
    (self.target / link).parent.mkdir(parents=True)
    (self.target / link).symlink_to(self.outside)
    with self.assertRaisesRegex(errors.IntegrityError, "would leave"):
      self.files("a.txt", "sub/folder/x.txt").copy_to(self.target)
    self.assertFalse((self.target / "a.txt").exists())
    self.assertEmpty(list(self.outside.iterdir()))

  def test_a_target_that_is_a_link(self) -> None:
    """It is the user's own choice."""
    self.target.symlink_to(self.outside)
    self.files("a.txt").copy_to(self.target)
    self.assertEqual((self.outside / "a.txt").read_text(), "a.txt")


class TailTest(parameterized.TestCase):
  @parameterized.parameters(-1, "3", 1.5, None)
  def test_no_number_of_lines(self, lines: object) -> None:
    """What it takes is said."""
    home = Home(Path(self.create_tempdir().full_path))
    submitted: Future[JobSpec] = Future()
    submitted.set_result(job_spec())
    job: JobHandle[int] = JobHandle(
      JOB_ID, MemoryStore(), LocalBackend(home), submitted
    )
    with self.assertRaisesRegex(errors.ConfigError, "tail takes a number"):
      job.tail(lines)  # type: ignore


if __name__ == "__main__":
  absltest.main()
