import contextlib
import dataclasses
import fcntl
import os
import shutil
import time
from pathlib import Path

import psutil
from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.local import LocalBackend
from keras_remote.home import Home, ensure
from keras_remote.job import endings
from keras_remote.job.launch import ALLOCATION_VARIABLE
from keras_remote.job.outcome import Cause, HostReport, Present
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from keras_remote.storage.folder import FolderStore
from tests import backend_contract

_OLD = time.time() - 3600


class LocalBackendTest(backend_contract.BackendContract):
  def backend(self) -> LocalBackend:
    folder = Path(self.create_tempdir("home").full_path)
    folder.chmod(0o700)
    self.home = Home(folder)
    return LocalBackend(self.home)

  def kill(self, spec: JobSpec) -> None:
    for process in _processes(spec):
      # A worker ends by itself once its first process is gone.
      with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()

  def allocation(self, spec: JobSpec) -> Path:
    return self.home.local / spec.job_id

  def test_nothing_is_left_of_a_job_that_has_ended(self) -> None:
    """No process, and no scratch folder."""
    spec = self.submit("")
    self.watch(spec)
    _wait_for_end(spec)
    left = sorted(p.name for p in self.allocation(spec).rglob("*"))
    self.assertEqual(
      left, ["alive", "host-0", "key", "log", "runner.pyz", "store"]
    )

  def test_everything_is_this_users_alone(self) -> None:
    """Folders 0700, files 0600: a key is among them."""
    spec = self.begin()
    for path in (self.allocation(spec), *self.allocation(spec).rglob("*")):
      if path.name != "runner.pyz" and "scratch" not in path.parts:
        self.assertFalse(path.stat().st_mode & 0o077, path)

  def test_a_start_that_fails_leaves_nothing(self) -> None:
    """Hosts that had started already are ended."""
    started: list[int] = []

    class Failing(LocalBackend):
      def command(self, runner: Path, store: str) -> list[str]:
        started.append(1)
        first = len(started) == 1
        return super().command(runner, store) if first else ["/absent/python"]

    self.used = Failing(self.home)
    submission = self.prepare(backend_contract.LONG, hosts=2)
    with self.assertRaisesRegex(errors.SubmitError, "No such file"):
      self.used.submit_job(submission)
    self.assertLen(started, 2)
    _wait_for_end(submission.spec)
    self.assertEmpty(list(self.home.local.iterdir()))

  def test_a_runner_that_is_gone(self) -> None:
    """Somebody has cleaned the cache: that is told, and nothing is left."""
    submission = dataclasses.replace(self.prepare(""), runner=Path("/absent"))
    with self.assertRaisesRegex(errors.SubmitError, "No such file"):
      self.used.submit_job(submission)
    self.assertEmpty(list(self.home.local.iterdir()))

  def test_a_place_that_cannot_be_taken(self) -> None:
    """It is told, rather than taken for a job that runs already."""
    submission = self.prepare("")
    place = self.allocation(submission.spec)
    ensure(place.parent)
    place.symlink_to("nowhere")
    with self.assertRaises(errors.SubmitError):
      self.used.submit_job(submission)
    self.assertEqual(list(self.home.local.iterdir()), [place])
    place.unlink()

  def test_a_home_that_cannot_be_written(self) -> None:
    """It is told, rather than taken for a job that runs already."""
    submission = self.prepare("")
    ensure(self.home.path)
    self.home.local.touch()
    with self.assertRaises(errors.KerasRemoteError):
      self.used.submit_job(submission)

  def test_while_it_is_being_sent(self) -> None:
    """A job whose submitting process lives is preparing, then it is lost."""
    spec = self.prepare("").spec
    ensure(self.home.preparing)
    with (self.home.preparing / spec.job_id).open("wb") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      seen = next(iter(self.used.watch_job(spec)))
      self.assertEqual(seen.state, State.PREPARING)
    seen = next(iter(self.used.watch_job(spec)))
    self.assertEqual(seen.state, State.LOST)
    self.assertIn("never started", seen.sentence)

  def test_while_its_processes_start(self) -> None:
    """It is pending until an attempt is claimed."""
    submission = self.prepare("")
    folder = self._allocate(submission.spec)
    with (folder / "alive").open("wb") as alive:
      fcntl.flock(alive, fcntl.LOCK_EX)
      seen = next(iter(self.used.watch_job(submission.spec)))
      self.assertEqual(seen.state, State.PENDING)

  def test_while_a_group_forms(self) -> None:
    """It is told who has come, as soon as host 0 has called the roll."""
    spec = self.prepare("", hosts=2).spec
    with contextlib.ExitStack() as held:
      for host in (0, 1):
        alive = (self._allocate(spec, host) / "alive").open("wb")
        fcntl.flock(held.enter_context(alive), fcntl.LOCK_EX)
      self.directory(spec).write_present(Present(0, "a/0"))
      seen = next(iter(self.used.watch_job(spec)))
    self.assertEqual(seen.state, State.PENDING)
    self.assertEqual(
      seen.sentence,
      "its processes are starting: 1 of 2 hosts has come; host 1 has not",
    )

  def test_somebody_else_who_looks(self) -> None:
    """Two that look at once do not take each other for the process."""
    spec = self.prepare("").spec
    folder = self._allocate(spec)
    with (folder / "alive").open("rb") as looker:
      fcntl.flock(looker, fcntl.LOCK_SH)
      seen = next(iter(self.used.watch_job(spec)))
      self.assertEqual(seen.state, State.LOST)

  def test_last_words(self) -> None:
    """What could not be said through the store is told."""
    spec = self.prepare("").spec
    folder = self._allocate(spec)
    self.assertIn("said nothing", self.watch(spec)[-1].sentence)
    (folder / "last-words").write_text("the disk is on fire")
    seen = self.watch(spec)[-1]
    self.assertEqual(
      (seen.state, seen.sentence), (State.LOST, "the disk is on fire")
    )

  def test_a_host_that_has_ended_in_order(self) -> None:
    """It has reported: host 0 is waited for. One that has not is lost."""
    job = self.prepare("", hosts=2)
    spec = job.spec
    folder = self._allocate(spec)
    self._allocate(spec, 1)
    endings.claim(self.directory(spec), spec, job.key, allocation="")
    with (folder / "alive").open("wb") as alive:
      fcntl.flock(alive, fcntl.LOCK_EX)
      seen = next(iter(self.used.watch_job(spec)))
      self.assertEqual(seen.state, State.LOST)
      self.assertIn("host 1's", seen.sentence)
      report = HostReport(1, 1, Cause.RETURNED, "")
      self.directory(spec).create_host_report(report)
      seen = next(iter(self.used.watch_job(spec)))
      self.assertEqual(seen.state, State.RUNNING)

  def test_a_lock_that_cannot_be_looked_at(self) -> None:
    """Nothing is known then: it is no reason to call a job lost."""
    spec = self.prepare("").spec
    ensure(self.home.preparing)
    (self.home.preparing / spec.job_id).symlink_to(spec.job_id)  # A loop.
    with self.assertRaisesRegex(errors.StoreError, "cannot look at"):
      self.watch(spec)

  def test_a_job_at_another_place(self) -> None:
    """Only what it stores is seen; that its processes are not here is no loss."""
    spec = self.prepare("").spec
    target = dataclasses.replace(spec.target, place="elsewhere:/home")
    away = dataclasses.replace(spec, target=target)
    seen = list(self.used.watch_job(away, timeout=0.05))
    self.assertLen(seen, 1)
    self.assertEqual(seen[0].state, State.RUNNING)
    self.assertIn("elsewhere:/home", seen[0].sentence)
    self.cancel(away)
    self.assertEqual(self.watch(away)[-1].state, State.CANCELLED)

  def test_what_another_place_may_still_need(self) -> None:
    """A home that machines share: from here nothing tells who uses it."""
    spec = self.prepare("").spec
    ensure(self._allocate(spec) / "scratch")
    self.assertTrue(self.used.abandoned(spec))
    target = dataclasses.replace(spec.target, place="elsewhere:/home")
    away = dataclasses.replace(spec, target=target)
    self.assertFalse(self.used.abandoned(away))

  def test_a_host_that_got_another_name(self) -> None:
    """It is the same place: what is not there any more is lost."""
    spec = self.prepare("").spec
    _, _, rest = self.used.place.partition(":")
    target = dataclasses.replace(spec.target, place=f"renamed:{rest}")
    renamed = dataclasses.replace(spec, target=target)
    self.assertEqual(self.watch(renamed)[-1].state, State.LOST)

  def test_a_forged_outcome(self) -> None:
    """One that the job did not sign ends nothing."""
    spec = self.begin()
    endings.cancel(self.directory(spec), spec, b"forged", "somebody")
    seen = list(self.used.watch_job(spec, timeout=0.05))
    self.assertEqual(seen[-1].state, State.RUNNING)
    self.cancel(spec)
    self.assertEqual(self.watch(spec)[-1].state, State.CANCELLED)

  def test_logs_are_live(self) -> None:
    """A line is there 0.2 s after it was printed.

    The next is printed when the last one was seen, so right after a look.
    """
    seen = Path(self.create_tempdir("seen").full_path)
    spec = self.submit(
      "import os, time\n"
      "for n in range(6):\n"
      "  print(time.time(), flush=True)\n"
      f"  while not os.path.exists(f'{seen}/{{n}}'): time.sleep(0.002)"
    )
    waits: list[float] = []
    for data in self.used.job_logs(spec, 0):
      waits.append(time.time() - float(data))
      (seen / str(len(waits) - 1)).touch()
    self.assertLen(waits, 6)
    self.assertLess(min(waits[1:]), 0.2)  # The machine may be busy.

  def test_too_many_hosts(self) -> None:
    """Sixteen at most, and over eight only where that is meant."""
    self.used.check_hosts(8, named=False)
    self.used.check_hosts(16, named=True)
    for hosts, named in ((9, False), (17, True)):
      with self.assertRaisesRegex(errors.ConfigError, f"{hosts} hosts"):
        self.used.check_hosts(hosts, named=named)

  def test_sweeping(self) -> None:
    """What ended jobs left goes after a while; what is needed stays."""
    kept = {"running", "fresh", "killed"}
    gone = {"tidy", "told", ".half-made"}
    for name in kept | gone:
      folder = ensure(self.home.local / name / "host-0")
      (folder / "alive").touch()
      (folder.parent / "store").write_text(self.jobs.uri)
      if name in ("killed", "told"):
        (folder / "scratch").mkdir()
    # Somebody has stored how this one ended, so its log is stored too.
    told = self.prepare("").spec
    shutil.move(self.home.local / "told", self.allocation(told))
    self.cancel(told)
    for folder in self.home.local.iterdir():
      if folder.name != "fresh":
        os.utime(folder, (_OLD, _OLD))
    with (self.home.local / "running/host-0/alive").open("rb") as alive:
      fcntl.flock(alive, fcntl.LOCK_EX)
      spec = self.submit("")
    names = {folder.name for folder in self.home.local.iterdir()}
    self.assertEqual(names, kept | {spec.job_id})

  def test_sweeping_where_a_store_is(self) -> None:
    """What is no allocation stays, however old it is."""
    store = FolderStore(ensure(self.home.local))
    store.create("jobs/a/spec.json", b"", {"of": "a"})
    for folder in self.home.local.iterdir():
      os.utime(folder, (_OLD, _OLD))
    self.submit("")
    (entry,) = store.list("jobs/")
    self.assertEqual(entry.metadata, {"of": "a"})

  def test_a_home_that_parts_the_module_path(self) -> None:
    """It is refused, with the variable that names another."""
    with self.assertRaisesRegex(errors.ConfigError, "':'.*KERAS_REMOTE_HOME"):
      LocalBackend(Home(Path("/a/co:lon")))

  def _allocate(self, spec: JobSpec, host: int = 0) -> Path:
    folder = ensure(self.allocation(spec) / f"host-{host}")
    (folder / "alive").touch()
    return folder


def _processes(spec: JobSpec) -> list[psutil.Process]:
  found = []
  for process in psutil.process_iter():
    try:
      if process.environ().get(ALLOCATION_VARIABLE) == spec.job_id:
        found.append(process)
    except psutil.Error:
      pass
  return found


def _wait_for_end(spec: JobSpec) -> None:
  deadline = time.monotonic() + 30
  while _processes(spec):
    assert time.monotonic() < deadline, "processes are left"
    time.sleep(0.01)


if __name__ == "__main__":
  absltest.main()
