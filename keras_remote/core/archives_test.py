"""Projects in the store: sent once, and whole."""

import dataclasses
import datetime
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from absl.testing import absltest

from keras_remote import clock, errors
from keras_remote.core import archives
from keras_remote.home import Home
from keras_remote.job import environments, layout
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import Image
from keras_remote.packaging.packager import Context
from keras_remote.progress import Step, silent
from keras_remote.storage.store import Entry, Source, Store
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import job_spec
from tests.fakes.watched_store import WatchedStore

_DIGEST = "1" * 64
_KEY = layout.context(_DIGEST)


class _Aged(MemoryStore):
  """A bucket whose objects were stored days ago, until they are again."""

  def __init__(self, days: int) -> None:
    super().__init__()
    self.written: list[str] = []
    self.age(days)

  def age(self, days: int) -> None:
    self._when = clock.now() - datetime.timedelta(days=days)

  def write(self, key: str, data: Source) -> None:
    super().write(key, data)
    self.written.append(key)
    self.age(0)

  def list(self, prefix: str, *, limit: int | None = None) -> Iterator[Entry]:
    for entry in super().list(prefix, limit=limit):
      yield dataclasses.replace(entry, written=self._when)


class ArchivesTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path)
    self.store = MemoryStore()
    self.steps: list[Step] = []

  def archive(self, **sizes: int) -> Context:
    path = self.base / "context.zip"
    with zipfile.ZipFile(path, "w") as packed:
      for name, size in sizes.items():
        packed.writestr(name.replace("_", "/"), random.randbytes(size))
    return Context(path, _DIGEST, path.stat().st_size, len(sizes))

  def test_sent_once(self) -> None:
    """What is there whole is not sent again; what was cut short is."""
    archive = self.archive(a=100)
    whole = archive.path.read_bytes()
    writes: list[str] = []

    def watch(method: str, key: str) -> None:
      if method in ("create", "write"):
        writes.append(key)

    store = WatchedStore(self.store, watch)
    for _ in range(2):
      archives.send(store, archive, silent)
      self.assertEqual(writes, [_KEY])
      self.assertEqual(self.store.read(_KEY), whole)
    self.store.write(_KEY, whole[:20])
    archives.send(store, archive, silent)
    self.assertEqual(self.store.read(_KEY), whole)

  def test_what_is_old_is_renewed(self) -> None:
    """A bucket deletes by age: what a job that may wait needs is not old."""
    archive = self.archive(a=100)
    whole = archive.path.read_bytes()
    spec = dataclasses.replace(job_spec(), context=_DIGEST)
    for days, again in ((2, 0), (4, 1), (29, 1)):
      store = _Aged(days)
      store.create(_KEY, whole)
      uses: list[Callable[[Store], object]] = [
        lambda store: archives.send(store, archive, silent),
        lambda store: archives.keep(store, spec),
      ]
      for use in uses:
        store.written = []
        store.age(days)
        use(store)
        self.assertEqual(store.written, [_KEY] * again)
        self.assertEqual(store.read(_KEY), whole)
        use(store)
        self.assertLen(store.written, again)

  def test_a_project_that_is_gone(self) -> None:
    """The job that was to run in it again says so."""
    spec = dataclasses.replace(job_spec(), context=_DIGEST)
    with self.assertRaisesRegex(errors.StoreError, "call the function anew"):
      archives.keep(self.store, spec)

  def test_what_jobs_need_stays(self) -> None:
    """The project and the environment, on any machine, of jobs that are kept.

    Of the others nothing does.
    """
    home = Home(self.base / "home")
    needed = dataclasses.replace(
      job_spec(accelerator="cpu"), image=Image("python:3", ("scipy",))
    )
    JobDirectory(self.store, needed.job_id).create_spec(needed, b"key")
    other = dataclasses.replace(needed, image=Image("python:3", ("numba",)))
    kept, gone = (
      [
        environments.address(recipe, machine)
        for recipe in [environments.recipe(spec, b"key")]
        for machine in ("x86_64", "aarch64")
        if recipe
      ]
      for spec in (needed, other)
    )
    kept.append(layout.context(needed.context))
    gone.append(layout.context("f" * 64))
    for key in (*kept, *gone):
      self.store.write(key, b"")
    archives.remove_unused(self.store, home)
    shared = (layout.CONTEXTS, layout.ENVIRONMENTS)
    found = {e.key for prefix in shared for e in self.store.list(prefix)}
    self.assertEqual(found, set(kept))

  def test_what_is_large_is_told(self) -> None:
    """With what weighs most in it and the cure, before it is sent; once."""
    archive = self.archive(data_train=3_000_000, data_test=2_000_000, a=10)
    large = dataclasses.replace(archive, size=archives.LARGE + 1)

    class Whole(MemoryStore):
      """Holds as many bytes as the archive says."""

      def create(self, key: str, data: Source, metadata: object = None) -> bool:
        return super().create(key, io.BytesIO(bytes(large.size)))

    store = Whole()
    archives.send(
      store, dataclasses.replace(large, size=archives.LARGE), silent
    )
    self.assertEmpty(self.steps)
    store.delete(_KEY)
    for _ in range(2):
      archives.send(store, large, self.steps.append)
    (step,) = self.steps
    self.assertTrue(step.warning)
    self.assertRegex(
      step.what,
      "is 100 MB packed, .*: data/ 5 MB, data/train 3 MB, data/test 2 MB; .*"
      "kerasremoteignore",
    )


if __name__ == "__main__":
  absltest.main()
