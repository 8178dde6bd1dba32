"""The same call again, as far as no other process is needed."""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.local import LocalBackend
from keras_remote.core import group, rerun
from keras_remote.core.job import Job
from keras_remote.core.settings import resolve
from keras_remote.home import Home
from keras_remote.inside.current import current_job
from keras_remote.job import index, layout, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import (
  Entry,
  EntryKind,
  Environment,
  JobSpec,
  Limits,
  Origin,
  Resources,
  Target,
)
from keras_remote.packaging.packager import zip_working_dir
from keras_remote.packaging.provenance import versions
from keras_remote.pickling import payload
from keras_remote.storage.folder import FolderStore
from tests.fakes.environment import environment

_ID = "train-20260101-000000-aaaaaa"


class RerunTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    folder = Path(self.create_tempdir().full_path)
    self.home = Home(folder / "home")
    home = environment(KERAS_REMOTE_HOME=str(self.home.path))
    self.enter_context(home)
    self.store = FolderStore(str(self.home.path))
    self.project = folder / "project"
    (self.project / "data").mkdir(parents=True)
    (self.project / "data" / "words.txt").write_text("as it was sent")

  def stored(
    self,
    function: Callable[..., object],
    *args: object,
    variables: tuple[str, ...] = (),
    python: str = "",
  ) -> Job:
    """A job of that call, all of it in the store, that never ran."""
    packed = zip_working_dir(self.project, self.home.path / "cache")
    with packed.path.open("rb") as archive:
      self.store.create(layout.context(packed.digest), archive)
    path = Path(self.create_tempfile().full_path)
    with path.open("wb") as stream:
      digest = payload.save(
        function, args, {}, stream, by_value=[sys.modules[__name__]]
      ).digest
    directory = JobDirectory(self.store, _ID)
    directory.create_payload(path.read_bytes())
    spec = JobSpec(
      origin=Origin(_ID, "train", (), None, "me", "2026-01-01T00:00:00+00:00"),
      entry=Entry(EntryKind.CALL, "m:train"),
      environment=Environment(
        python=python or versions()["python"],
        packages={},
        keras_backend="jax",
        cwd="data",
        sys_path=(".",),
        imports=(),
        variables=variables,
        root=str(self.project),
      ),
      resources=Resources("cpu"),
      limits=Limits(),
      target=Target("local", self.store.uri, "here"),
      payload=digest,
      context=packed.digest,
    )
    job = Job(spec, directory, LocalBackend(self.home))
    directory.create_spec(spec, job.key())
    return job

  def test_here(self) -> None:
    """The function finds the project as it was sent, and its job."""

    def look(name: str) -> tuple[str, str | None]:
      job = current_job()
      return Path(name).read_text(), job.id if job else None

    job = self.stored(look, "words.txt")
    (self.project / "data" / "words.txt").write_text("changed since")
    before = (dict(os.environ), list(sys.path), os.getcwd())
    found = rerun.rerun_local(job.spec)
    self.assertEqual(found, ("as it was sent", _ID))
    self.assertEqual((dict(os.environ), sys.path, os.getcwd()), before)

  def test_async(self) -> None:
    """An async function is awaited."""

    async def double(x: int) -> int:
      return 2 * x

    self.assertEqual(rerun.rerun_local(self.stored(double, 4).spec), 8)

  def test_raises(self) -> None:
    """What the function raises comes as itself, and all is as it was."""
    job = self.stored(lambda: [].pop())
    before = (dict(os.environ), list(sys.path), os.getcwd())
    with self.assertRaisesRegex(IndexError, "pop from empty list"):
      rerun.rerun_local(job.spec)
    self.assertEqual((dict(os.environ), sys.path, os.getcwd()), before)

  @parameterized.parameters("payload", "context")
  def test_tampered(self, what: str) -> None:
    """What is not what was sent is refused, and nothing is called."""
    mark = self.create_tempdir().full_path + "/called"
    job = self.stored(lambda: Path(mark).touch())
    key = (
      layout.job(_ID, layout.PAYLOAD)
      if what == "payload"
      else layout.context(job.spec.context)
    )
    self.store.write(key, self.store.read(key) + b"!")
    with self.assertRaisesRegex(errors.IntegrityError, "nothing of it"):
      rerun.rerun_local(job.spec)
    self.assertFalse(Path(mark).exists())

  @parameterized.parameters(
    ("l4", 3, 1, {}, ("l4", 3, 1, 0)),
    ("l4", 3, 1, {"accelerator": "a100"}, ("a100", 3, 1, 0)),
    ("l4", 3, 1, {"hosts": 2}, ("l4", 2, 1, 0)),
    ("l4", 3, 1, {"accelerator": "v5e-8"}, ("v5e-8", None, 1, 0)),
    ("l4", 3, 1, {"accelerator": None}, (None, 3, 1, 0)),
    ("v5e-16", 8, 2, {}, ("v5e-16", None, 2, 0)),
    ("v5e-16", 8, 2, {"accelerator": "v5e-32"}, ("v5e-32", None, 2, 0)),
    ("v5e-16", 8, 2, {"accelerator": "l4"}, ("l4", None, 1, 0)),
    ("l4:spot", 1, 1, {}, ("l4:spot", 1, 1, 10)),
    ("l4:spot", 1, 1, {"accelerator": "l4"}, ("l4", 1, 1, 0)),
    ("l4", 1, 1, {"accelerator": "l4:spot"}, ("l4:spot", 1, 1, 10)),
  )
  def test_machines(
    self,
    accelerator: str,
    hosts: int,
    slices: int,
    changed: dict[str, object],
    expected: tuple[object, ...],
  ) -> None:
    """As many as before, unless another accelerator comes with others."""
    spec = self.stored(print).spec
    preemptions = 10 if accelerator.endswith(":spot") else 0
    spec = dataclasses.replace(
      spec,
      resources=Resources(accelerator, hosts=hosts, slices=slices),
      limits=Limits(max_preemptions=preemptions),
    )
    options = resolve({**rerun.as_before(spec, changed), **changed}).options
    found = group.limits(options, LocalBackend(self.home)).max_preemptions
    self.assertEqual(
      (options.accelerator, options.hosts, options.slices, found), expected
    )

  def test_limits(self) -> None:
    """They are as before, preemptions too where somebody had said them."""
    spec = self.stored(print).spec
    limits = Limits(1.0, 2.0, retries=3, pending_timeout=4.0, max_preemptions=5)
    spec = dataclasses.replace(
      spec,
      limits=limits,
      environment=dataclasses.replace(
        spec.environment, distribution="data_parallel"
      ),
    )
    for accelerator in ("cpu", "l4:spot"):
      changed: dict[str, object] = {"accelerator": accelerator}
      options = resolve({**rerun.as_before(spec, changed), **changed}).options
      found = group.limits(options, LocalBackend(self.home))
      self.assertEqual(found, limits)
      self.assertEqual(options.distribution, "data_parallel")

  @parameterized.parameters("store", "working_dir")
  def test_what_cannot_change(self, name: str) -> None:
    """A job runs again with what was sent, from where that is."""
    with self.assertRaisesRegex(errors.ConfigError, f"{name} cannot change"):
      rerun.rerun(self.stored(print), {name: "elsewhere"})

  def test_other_python(self) -> None:
    """A pickle of another Python is refused: it holds bytecode."""
    job = self.stored(print, python="3.10.1")
    with self.assertRaisesRegex(errors.ConfigError, "Python 3.10.1"):
      rerun.rerun(job, {})
    with self.assertRaisesRegex(errors.ConfigError, "Python 3.10.1"):
      rerun.rerun_local(job.spec)

  def test_forged_spec(self) -> None:
    """Of a spec that others stored nothing is unpickled, and nothing is told.

    Its payload may be anything, as long as the spec names it.
    """
    mark = self.create_tempdir().full_path + "/called"
    job = self.stored(lambda: Path(mark).touch())
    forged = dataclasses.replace(job.spec, limits=Limits(retries=1))
    key = layout.job(_ID, layout.SPEC)
    self.store.write(key, wire.encode(forged))
    for call in (
      lambda: rerun.rerun(job, {}),
      lambda: rerun.rerun_local(job.spec),
    ):
      with self.assertRaisesRegex(errors.IntegrityError, "not signed"):
        call()
    self.assertFalse(Path(mark).exists())

  def test_a_command_that_a_real_time_signal_ends(self) -> None:
    """Signals without a name are told by their number."""
    job = self.stored(print)
    code = f"import os; os.kill(os.getpid(), {signal.SIGRTMIN + 3})"
    entry = Entry(EntryKind.COMMAND, argv=(sys.executable, "-c", code))
    spec = dataclasses.replace(job.spec, entry=entry)
    job.directory.delete(job.spec)
    job.directory.create_spec(spec, job.key())
    number = signal.SIGRTMIN + 3
    with self.assertRaisesRegex(errors.WorkerDiedError, f"signal {number}"):
      rerun.rerun_local(spec)

  def test_project_is_gone(self) -> None:
    """Without its project a job cannot run again, and none is made."""
    job = self.stored(print)
    self.store.delete(layout.context(job.spec.context))
    with self.assertRaisesRegex(errors.StoreError, "no longer in"):
      rerun.rerun(job, {})
    self.assertLen(list(index.rows(self.store)), 1)

  def test_values_of_variables(self) -> None:
    """A variable that is not set here is named, and no job is made."""
    job = self.stored(print, variables=("ABSENT_WORD",))
    for call in (
      lambda: rerun.rerun(job, {}),
      lambda: rerun.rerun_local(job.spec),
    ):
      with self.assertRaisesRegex(errors.ConfigError, "variable ABSENT_WORD"):
        call()
    self.assertLen(list(index.rows(self.store)), 1)


if __name__ == "__main__":
  absltest.main()
