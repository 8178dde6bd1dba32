"""Listing and pruning jobs that never ran, or that nobody here can read."""

import dataclasses
import datetime
import fcntl
import os
import shutil
import threading
import time
from pathlib import Path

from absl.testing import absltest

from keras_remote import clock, errors
from keras_remote import home as homes
from keras_remote.backend.local import LocalBackend
from keras_remote.core import jobs
from keras_remote.core.job import Job
from keras_remote.home import Home
from keras_remote.job import ids, index, layout, signing, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import JobSpec, Target
from keras_remote.job.state import State
from keras_remote.packaging.provenance import who
from keras_remote.progress import Step
from keras_remote.storage.folder import FolderStore
from tests.fakes.api_server import ApiServer, Request
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig
from tests.fakes.specs import job_spec

_AT_ONCE = datetime.timedelta()
_NEWER = b'{"version": 99}'


def _outcome(started: str) -> bytes:
  return wire.encode(
    Outcome(
      attempt=1,
      state=State.SUCCEEDED,
      cause=Cause.RETURNED,
      message="",
      started=started,
      ended="2026-01-02T03:05:06+00:00",
      writer="host 0",
    )
  )


class JobsTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path)
    self.home = Home(self.base / "home")
    home = environment(KERAS_REMOTE_HOME=str(self.home.path))
    self.enter_context(home)
    self.store = FolderStore(self.home.path)

  def submit(self, job_id: str, *, by: str = "") -> JobSpec:
    """A job whose processes are gone, with a context of its own."""
    backend = LocalBackend(self.home)
    spec = job_spec(job_id)
    spec = dataclasses.replace(
      spec,
      origin=dataclasses.replace(spec.origin, who=by or who()),
      target=Target("local", self.store.uri, backend.place),
      context=layout.digest(job_id.encode()),
    )
    directory = JobDirectory(self.store, job_id)
    directory.create_spec(spec, Job(spec, directory, backend).key())
    self.store.create(layout.context(spec.context), b"")
    return spec

  def replace_spec(self, job_id: str, data: bytes) -> None:
    """Somebody else's spec in place of the job's."""
    self.store.write(layout.job(job_id, layout.SPEC), data)

  def states(self) -> dict[str, State]:
    return {job.id: job.state for job in jobs.list_jobs(everyone=True)}

  def contexts(self) -> list[str]:
    return [entry.key for entry in self.store.list(layout.CONTEXTS)]

  def left(self) -> list[str]:
    rooms = (layout.JOBS, layout.INDEX, layout.CONTEXTS)
    return [entry.key for room in rooms for entry in self.store.list(room)]

  def test_what_was_never_sent_whole(self) -> None:
    """It is lost, of which nothing is stored; and goes as what ended does."""
    self.submit("half")
    self.store.delete(layout.job("half", layout.SIGNATURE))
    outcome = jobs.attach("half").outcome(timeout=0)
    self.assertEqual(outcome.state, State.LOST)
    self.assertIn("never started", outcome.message)
    self.assertNotIn(layout.job("half", layout.OUTCOME), self.left())
    self.assertEqual(jobs.prune(_AT_ONCE), ["half"])
    self.assertEqual(self.left(), [])

  def test_what_is_not_listed(self) -> None:
    """What a submitter left that died goes, unless it may still be sent."""
    made = [
      ids.new_job_id("train", clock.now()),
      "train-20260102-030405-abc234",
    ]
    for job_id in (*made, "notes"):
      self.store.write(layout.job(job_id, layout.PAYLOAD), b"")
    self.assertEqual(jobs.prune(_AT_ONCE), [])
    left = [layout.job(each, layout.PAYLOAD) for each in ("notes", made[0])]
    self.assertEqual(self.left(), left)

  def test_prune(self) -> None:
    """What ended goes, with what only it needed; what is another's stays."""
    self.submit("mine")
    kept = self.submit("other", by="somebody@else")
    self.assertEqual(jobs.prune(_AT_ONCE), ["mine"])
    self.assertEqual(self.contexts(), [layout.context(kept.context)])
    self.assertEqual(jobs.prune(_AT_ONCE, everyone=True), ["other"])
    self.assertEmpty(self.left())

  def test_attaching_to_a_whole_id(self) -> None:
    """The list is not looked at; what goes by no job is told as ever."""
    job_id = "train-20260102-030405-abc234"
    index.remove(self.store, self.submit(job_id))
    self.assertEqual(jobs.attach(job_id).id, job_id)
    for unknown in (f"{job_id[:-1]}x", f"{'a' * 48}{job_id}"):
      with self.assertRaisesRegex(errors.JobNotFoundError, "jobs list"):
        jobs.attach(unknown)

  def test_the_only_one_that_begins_so(self) -> None:
    """It is meant, though the part is within others' ids as well."""
    for job_id in ("w-1", "draw-1", "draw-2"):
      self.submit(job_id)
    self.assertEqual(jobs.attach("w-").id, "w-1")
    with self.assertRaisesRegex(errors.JobNotFoundError, "2 jobs go by 'dr"):
      jobs.attach("dr")

  def test_attaching_to_no_text(self) -> None:
    """What an id is, is said."""
    for job_id in (5, b"train", Path("train")):
      with self.assertRaisesRegex(errors.ConfigError, "takes a job's id"):
        jobs.attach(job_id)  # type: ignore

  def test_the_cache(self) -> None:
    """What was not used for so long goes, though no job is old enough."""
    homes.ensure(self.home.cache)
    used = {"old.zip": 9, "new.zip": 4, "old.pyz": 9}
    for name, hours in used.items():
      (self.home.cache / name).touch()
      then = time.time() - hours * 3600
      os.utime(self.home.cache / name, (then, then))
    self.assertEmpty(jobs.prune(datetime.timedelta(hours=5)))
    left = [path.name for path in self.home.cache.iterdir()]
    self.assertEqual(left, ["new.zip"])

  def test_a_forged_spec_names_no_folder(self) -> None:
    """Whatever id it says, nothing outside of the job is removed."""
    victim = self.base / "victim"
    victim.mkdir()
    spec = self.submit("mine")
    origin = dataclasses.replace(spec.origin, job_id="../../victim")
    forged = dataclasses.replace(spec, origin=origin)
    self.replace_spec("mine", wire.encode(forged))
    index.add_ending(self.store, spec, State.SUCCEEDED)
    self.assertEqual(jobs.prune(_AT_ONCE), [])
    self.assertTrue(victim.exists())

  def test_what_a_newer_version_wrote(self) -> None:
    """It breaks no list and stays, and no context goes that it may need."""
    self.submit("newer")
    self.submit("old")
    self.replace_spec("newer", _NEWER)
    self.assertEqual(self.states(), {"newer": State.RUNNING, "old": State.LOST})
    self.assertEqual(jobs.prune(_AT_ONCE), ["old"])
    self.assertLen(self.contexts(), 2)
    self.replace_spec("newer", b"cut sh")
    self.assertEqual(jobs.prune(_AT_ONCE), [])
    self.assertEqual(list(self.states()), ["newer"])

  def test_an_ending_that_is_not_listed(self) -> None:
    """It is found, and listed then with its time; who may not write sees it."""
    spec = self.submit("mine")
    key = signing.job_key(LocalBackend(self.home).signing_key(), "mine")
    ended = wire.decode(Outcome, _outcome("2026-01-02T03:04:05+00:00"), "it")
    directory = JobDirectory(self.store, "mine")
    directory.create_outcome(signing.sign(ended, "mine", key), key)
    partial = self.home.path / ".partial"
    shutil.rmtree(partial)
    partial.touch()  # Even root can write nothing now.
    with self.assertRaises(errors.StoreError):
      index.add_ending(self.store, spec, State.SUCCEEDED)
    self.assertEqual(self.states(), {"mine": State.SUCCEEDED})
    partial.unlink()
    self.assertEqual(self.states(), {"mine": State.SUCCEEDED})
    (row,) = index.rows(self.store)
    self.assertEqual((row.state, row.seconds), (State.SUCCEEDED, 61.0))

  def test_times_that_are_none(self) -> None:
    """The job's own files may say anything: how long it took is not known."""
    for started in ("yesterday", "2026-01-02T03:04:05"):
      found = wire.decode(Outcome, _outcome(started=started), "it")
      self.assertIsNone(found.seconds)

  def test_a_submitter_that_died(self) -> None:
    """Without a spec a job never began, once nobody submits it any more."""
    spec = self.submit("begun")
    self.store.delete(layout.job("begun", layout.SPEC))
    homes.ensure(self.home.preparing)
    with (self.home.preparing / "begun").open("w") as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      self.assertEqual(self.states(), {"begun": State.PREPARING})
      self.submit("ended")
      self.assertEqual(jobs.prune(_AT_ONCE), ["ended"])
      self.assertIn(layout.context(spec.context), self.contexts())
    self.assertEqual(self.states(), {"begun": State.LOST})
    self.assertEqual(jobs.prune(_AT_ONCE), ["begun"])
    self.assertEmpty(self.left())

  def test_mine_on_a_machine_that_got_another_name(self) -> None:
    """A job is mine by the user's name."""
    user = who().rpartition("@")[0]
    self.submit("mine", by=f"{user}@old-name")
    self.submit("other", by=f"{user}2@old-name")
    self.assertEqual([job.id for job in jobs.list_jobs()], ["mine"])
    self.assertEqual(jobs.attach().id, "mine")

  def closed_cluster(self) -> ApiServer:
    """What the context "here" leads to: it refuses all."""
    server = self.enter_context(ApiServer())

    def refuse(request: Request) -> int:
      return 403

    server.fault = refuse
    path = kubeconfig(str(self.base), "here", server=server.url)
    self.enter_context(environment(KUBECONFIG=path))
    return server

  def put_on_cluster(self, job_id: str) -> JobSpec:
    """A job in the context "here"."""
    spec = self.submit(job_id)
    target = Target("gke", self.store.uri, "here/team")
    spec = dataclasses.replace(spec, target=target)
    self.replace_spec(job_id, wire.encode(spec))
    return spec

  def test_a_cluster_that_cannot_be_asked(self) -> None:
    """It breaks no list; who lists is told once, and nobody asks it twice."""
    server = self.closed_cluster()
    asked: list[int] = []
    said: list[Step] = []
    for job_id in ("one", "two"):
      self.put_on_cluster(job_id)
      server.requests.clear()
      said.clear()
      found = jobs.list_jobs(report=said.append)
      self.assertEqual({job.state for job in found}, {State.RUNNING})
      asked.append(len(server.requests))
    self.assertEqual(asked[0], asked[1])
    (step,) = said
    self.assertIn("here/team", step.what)
    self.assertTrue(step.warning)

  def test_pruning_of_a_cluster_that_cannot_be_asked(self) -> None:
    """What ended goes; of what may run nothing is known, and it stays."""
    self.closed_cluster()
    ended = [self.put_on_cluster("one"), self.put_on_cluster("two")]
    for spec in ended:
      index.add_ending(self.store, spec, State.SUCCEEDED)
    self.put_on_cluster("runs")
    self.submit("here")
    removed = jobs.prune(_AT_ONCE)
    self.assertEqual(sorted(removed), ["here", "one", "two"])
    self.assertEqual(list(self.states()), ["runs"])

  def test_pruning_many(self) -> None:
    """No job waits for another to be removed."""
    server = self.closed_cluster()
    seen = {"one": threading.Event(), "two": threading.Event()}
    met: list[bool] = []

    def meet(request: Request) -> int:
      if (job_id := request.path.rpartition("/")[2]) in seen:
        seen[job_id].set()
        met.append(all(each.wait(10) for each in seen.values()))
      return 404

    server.fault = meet
    for job_id in seen:
      spec = self.put_on_cluster(job_id)
      index.add_ending(self.store, spec, State.SUCCEEDED)
    self.assertEqual(sorted(jobs.prune(_AT_ONCE)), ["one", "two"])
    self.assertEqual(set(met), {True})


if __name__ == "__main__":
  absltest.main()
