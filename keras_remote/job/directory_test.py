import dataclasses
import io
import threading
from concurrent.futures import ThreadPoolExecutor

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import index, layout, signing, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import (
  Cause,
  Frame,
  HostReport,
  Outcome,
  Present,
  Started,
)
from keras_remote.job.state import State
from keras_remote.storage.store import Entry
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore, failing_at

_OUTCOME = Outcome(
  1, State.SUCCEEDED, Cause.RETURNED, message="", ended="now", writer="host 0"
)
_KEY = b"job key"
_LOST = dataclasses.replace(_OUTCOME, state=State.LOST, cause=Cause.LOST)
_OUTCOME_KEY = layout.job(JOB_ID, layout.OUTCOME)


class DirectoryTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)
    self.spec = job_spec()

  def test_spec(self) -> None:
    """The spec is read as it was stored, by whoever knows its digest."""
    digest = self.directory.create_spec(self.spec, _KEY)
    self.assertEqual(self.directory.spec(), self.spec)
    self.assertEqual(self.directory.spec(digest), self.spec)
    self.assertEqual([r.job_id for r in index.rows(self.store)], [JOB_ID])

  def test_a_swapped_spec_is_refused(self) -> None:
    """A spec that is not the one that was sent is not even decoded."""
    digest = self.directory.create_spec(self.spec, _KEY)
    other = wire.encode(job_spec(retries=9))
    for data in (other, b"junk", b""):
      self.store.write(layout.job(JOB_ID, layout.SPEC), data)
      with self.assertRaisesRegex(errors.IntegrityError, "not the one.*sent"):
        self.directory.spec(digest)

  def test_another_jobs_spec_is_refused(self) -> None:
    """A spec that says another id could name any folder: it is not given."""
    for job_id in ("../../victim", "other"):
      data = wire.encode(job_spec(job_id))
      self.store.write(layout.job(JOB_ID, layout.SPEC), data)
      with self.assertRaisesRegex(errors.IntegrityError, "another job"):
        self.directory.spec()
    odd = "jobs-of/others"
    self.store.write(layout.job(odd, layout.SPEC), wire.encode(job_spec(odd)))
    with self.assertRaisesRegex(errors.IntegrityError, "id of no job"):
      JobDirectory(self.store, odd).spec()

  def test_a_signed_spec(self) -> None:
    """Whoever will run it asks for the signature: one of this job's key."""
    self.directory.create_spec(self.spec, _KEY)
    self.assertEqual(self.directory.spec(key=_KEY), self.spec)
    with self.assertRaisesRegex(errors.IntegrityError, "not signed"):
      self.directory.spec(key=b"another")
    name = layout.job(JOB_ID, layout.SIGNATURE)
    signature = self.store.read(name)
    for data in (b"", b"junk", signature[:-1], "ß".encode()):
      self.store.write(name, data)
      with self.assertRaisesRegex(errors.IntegrityError, "not signed"):
        self.directory.spec(key=_KEY)
    self.store.delete(name)
    with self.assertRaisesRegex(errors.IntegrityError, "not signed"):
      self.directory.spec(key=_KEY)
    self.store.write(name, signature)
    changed = wire.encode(job_spec(retries=9))
    self.store.write(layout.job(JOB_ID, layout.SPEC), changed)
    with self.assertRaisesRegex(errors.IntegrityError, "not signed"):
      self.directory.spec(key=_KEY)

  def test_claims_of_others(self) -> None:
    """Whoever has the key counts none that it has not signed."""
    first, *others = (Started(n, "pod", "", "now") for n in range(1, 5))
    self.directory.create_started(first)
    for started in others:
      key = b"other" if started.attempt == 3 else _KEY
      self.directory.create_started(signing.sign(started, JOB_ID, key))
    self.assertEqual(self.directory.attempts(), [1, 2, 3, 4])
    self.assertEqual(self.directory.attempts(_KEY), [2, 4])
    ours = JobDirectory(self.store, JOB_ID, _KEY)
    self.assertEqual(ours.attempts(), [2, 4])
    for after, numbers in ((0, (2, 4)), (2, (4,)), (4, ())):
      claims = self.directory.claims(after, _KEY)
      self.assertEqual(tuple(claim.attempt for claim in claims), numbers)

  def test_one_claim(self) -> None:
    """Of a job that has one at most no further one is asked for."""
    self.directory.create_started(Started(1, "pod", "", "now"))
    reads: list[str] = []
    watched = WatchedStore(self.store, lambda _, key: reads.append(key))
    claims = JobDirectory(watched, JOB_ID).claims(most=1)
    self.assertEqual([claim.attempt for claim in claims], [1])
    self.assertLen(reads, 1)

  def test_a_store_that_can_be_used(self) -> None:
    """That is tried without a trace."""
    self.directory.create_spec(self.spec, _KEY)
    before = {e.key: self.store.read(e.key) for e in self.store.list("")}
    self.directory.try_to_write()
    after = {e.key: self.store.read(e.key) for e in self.store.list("")}
    self.assertEqual(after, before)

  @parameterized.parameters("read", "create")
  def test_a_store_that_cannot_be_used(self, method: str) -> None:
    """Nor can one that is read, and takes nothing."""
    self.directory.create_spec(self.spec, _KEY)
    error = errors.StoreError("no")
    failing = failing_at(self.store, 0, error, [method])
    with self.assertRaisesRegex(errors.StoreError, "no"):
      JobDirectory(failing, JOB_ID).try_to_write()

  def test_no_such_job(self) -> None:
    """The error names the job and the store."""
    with self.assertRaisesRegex(errors.JobNotFoundError, f"memory.*{JOB_ID}"):
      self.directory.spec()

  def test_an_id_is_taken_once(self) -> None:
    """A second job of the same id is refused and changes nothing."""
    digest = self.directory.create_spec(self.spec, _KEY)
    later = job_spec(submitted="2027-01-01T00:00:00+00:00")
    with self.assertRaisesRegex(errors.StoreError, f"{JOB_ID} exists"):
      self.directory.create_spec(later, _KEY)
    self.assertEqual(self.directory.spec(digest), self.spec)
    self.assertLen(list(index.rows(self.store)), 1)

  @parameterized.parameters(0, 1, 2)
  def test_a_store_that_fails_holds_no_half_job(self, count: int) -> None:
    """Where spec or listing cannot be stored, neither is left."""
    # What is stored can be deleted where nothing can be stored.
    error = errors.StoreError("full")
    full = failing_at(self.store, count, error, ("write", "create"))
    with self.assertRaisesRegex(errors.StoreError, "full"):
      JobDirectory(full, JOB_ID).create_spec(self.spec, _KEY)
    self.assertEmpty(list(self.store.list("")))

  def test_side_by_side(self) -> None:
    """Everything is on its way at once: the slowest says how long it takes."""
    meeting = threading.Barrier(5)

    def watch(method: str, key: str) -> None:
      meeting.wait(20)

    store = WatchedStore(self.store, watch)
    JobDirectory(store, JOB_ID).create_spec(
      self.spec, _KEY, payload=b"pickled", beside=[lambda: meeting.wait(20)]
    )

  def test_what_fails_beside_it(self) -> None:
    """Then nothing is left either."""

    def fail() -> None:
      raise errors.StoreError("no project")

    with self.assertRaisesRegex(errors.StoreError, "no project"):
      self.directory.create_spec(
        self.spec, _KEY, payload=b"pickled", beside=[fail]
      )
    self.assertEmpty(list(self.store.list("")))

  def test_two_at_once(self) -> None:
    """One has the id, and all that is there is what it sent."""

    def create(number: int) -> tuple[str, bytes] | None:
      payload = b"%d" % number
      spec = dataclasses.replace(self.spec, payload=layout.digest(payload))
      try:
        return self.directory.create_spec(spec, _KEY, payload=payload), payload
      except errors.StoreError:
        return None

    with ThreadPoolExecutor(8) as pool:
      ((digest, payload),) = filter(None, pool.map(create, range(8)))
    self.directory.spec(digest, _KEY)
    with self.directory.open_payload() as stream:
      self.assertEqual(stream.read(), payload)

  def test_what_a_late_one_left(self) -> None:
    """Who has the spec has the rest."""
    for name in (layout.SIGNATURE, layout.PAYLOAD):
      self.store.write(layout.job(JOB_ID, name), b"another's")
    digest = self.directory.create_spec(
      self.spec, _KEY, payload=io.BytesIO(b"pickled")
    )
    self.directory.spec(digest, _KEY)
    with self.directory.open_payload() as stream:
      self.assertEqual(stream.read(), b"pickled")

  def test_a_spec_that_was_there_before(self) -> None:
    """A spec that somebody put there takes the id: it is not signed."""
    self.store.write(layout.job(JOB_ID, layout.SPEC), b"forged")
    with self.assertRaisesRegex(errors.StoreError, "exists"):
      self.directory.create_spec(self.spec, _KEY)
    self.assertEqual(
      self.store.read(layout.job(JOB_ID, layout.SPEC)), b"forged"
    )
    with self.assertRaises(errors.IntegrityError):
      self.directory.spec(key=_KEY)
    self.assertEmpty(list(index.rows(self.store)))

  def test_payload(self) -> None:
    """The payload is read as it was stored."""
    self.directory.create_payload(io.BytesIO(b"pickled"))
    with self.directory.open_payload() as stream:
      self.assertEqual(stream.read(), b"pickled")

  def test_attempts(self) -> None:
    """Claims are found in their order, past ten, whatever else is there."""
    self.assertEqual(self.directory.attempts(), [])
    for number in range(1, 13):
      self.assertTrue(self.directory.create_started(_started(number)))
      self.directory.create_log_segment(number, 0, 0, b"x")
    self.directory.write_heartbeat(13, 0, 1)  # Not claimed.
    self.assertEqual(self.directory.attempts(), list(range(1, 13)))
    self.assertEqual(self.directory.started(12), _started(12))
    self.assertIsNone(self.directory.started(13))

  def test_an_attempt_is_claimed_once(self) -> None:
    """The second start hears that the attempt is not its own."""
    self.assertTrue(self.directory.create_started(_started(1)))
    other = dataclasses.replace(_started(1), allocation="other")
    self.assertFalse(self.directory.create_started(other))
    self.assertEqual(self.directory.started(1), _started(1))

  def test_looking_for_attempts_is_cheap(self) -> None:
    """However much a job has logged, a look costs a read for each attempt."""
    self.directory.create_started(_started(1))
    calls: list[str] = []
    watched = WatchedStore(self.store, lambda method, _: calls.append(method))
    self.assertEqual(JobDirectory(watched, JOB_ID).attempts(), [1])
    self.assertEqual(calls, ["read", "read"])

  def test_heartbeat(self) -> None:
    """A counter for each host and attempt; None before the first beat."""
    self.directory.write_heartbeat(1, 0, 0)
    self.directory.write_heartbeat(1, 1, 7)
    self.directory.write_heartbeat(1, 1, 8)
    beats = [
      self.directory.heartbeat(a, h) for a, h in ((1, 0), (1, 1), (2, 0))
    ]
    self.assertEqual(beats, [0, 8, None])

  def test_host_reports(self) -> None:
    """Each host says once how it ended; the first word stands."""
    frame = Frame("a.py", 3, "f", "x = 1", {"x": "int 1"})
    report = HostReport(1, 0, Cause.EXCEPTION, "no", frames=(frame,))
    self.directory.create_host_report(report)
    self.directory.create_host_report(dataclasses.replace(report, message="2"))
    self.assertEqual(self.directory.host_report(1, 0), report)
    self.assertIsNone(self.directory.host_report(1, 1))
    self.assertIsNone(self.directory.host_report(2, 0))

  def test_logs(self) -> None:
    """Segments come in their order, from any offset, of that host only."""
    for host, offset, data in (
      (0, 0, b"0123"),
      (0, 4, b"456789"),
      (0, 10, b"ab"),
      (1, 0, b"other"),
      (10, 0, b"another"),
    ):
      self.directory.create_log_segment(1, host, offset, data)
    self.directory.create_log_segment(2, 0, 0, b"second attempt")
    whole = b"0123456789ab"
    for offset in range(len(whole) + 2):
      self.assertEqual(
        b"".join(self.directory.log(1, 0, offset)), whole[offset:]
      )

  def test_what_is_no_log_segment_is_left_out(self) -> None:
    """A file that somebody else put there breaks no log."""
    self.directory.create_log_segment(1, 0, 0, b"ours")
    odd = layout.attempt(1, layout.logs(0)) + "notes.txt"
    self.store.write(layout.job(JOB_ID, odd), b"theirs")
    self.assertEqual(b"".join(self.directory.log(1, 0)), b"ours")

  def test_what_was_read_of_the_log_is_not_read_again(self) -> None:
    """Segments that lie before the offset are not opened."""
    for offset in range(0, 100, 10):
      self.directory.create_log_segment(1, 0, offset, b"x" * 10)
    calls: list[str] = []
    watched = WatchedStore(self.store, lambda method, _: calls.append(method))
    list(JobDirectory(watched, JOB_ID).log(1, 0, 85))
    self.assertEqual(calls, ["list", "read_range", "read_range"])

  def test_results(self) -> None:
    """A result is found by its digest."""
    self.directory.create_result("abc", io.BytesIO(b"value"))
    with self.directory.open_result("abc") as stream:
      self.assertEqual(stream.read(), b"value")

  def test_one_outcome(self) -> None:
    """The first outcome stands; a retry of its own writer made it, too."""
    self.assertIsNone(self.directory.outcome())
    self.assertTrue(self.directory.create_outcome(_OUTCOME))
    self.assertFalse(self.directory.create_outcome(_LOST))
    self.assertTrue(self.directory.create_outcome(_OUTCOME))
    self.assertEqual(self.directory.outcome(), _OUTCOME)

  @parameterized.parameters(
    b"", b"junk", b"{}", wire.encode(_LOST)[:-1], wire.encode(_LOST)[:40]
  )
  def test_an_outcome_cut_short_is_none(self, data: bytes) -> None:
    """It counts as absent, and the next outcome takes its place."""
    self.store.write(_OUTCOME_KEY, data)
    self.assertIsNone(self.directory.outcome())
    self.assertTrue(self.directory.create_outcome(_OUTCOME))
    self.assertEqual(self.directory.outcome(), _OUTCOME)
    self.assertFalse(self.directory.create_outcome(_LOST))

  def test_a_forged_outcome_is_none(self) -> None:
    """For whoever has the job's key it is absent, and is replaced."""
    forged = signing.sign(_LOST, JOB_ID, b"forged")
    self.directory.create_outcome(forged)
    self.assertEqual(self.directory.outcome(), forged)
    self.assertIsNone(self.directory.outcome(_KEY))
    of_job = dataclasses.replace(self.directory, key=_KEY)
    self.assertIsNone(of_job.outcome())
    signed = signing.sign(_OUTCOME, JOB_ID, _KEY)
    self.assertTrue(self.directory.create_outcome(signed, _KEY))
    self.assertEqual(of_job.outcome(), signed)

  def test_two_writers_that_replace_an_outcome(self) -> None:
    """Who is overwritten between write and answer does not claim to have won."""
    self.store.write(_OUTCOME_KEY, b"cut sh")
    reads = 0

    def overwrite(method: str, key: str) -> None:
      nonlocal reads
      reads += method == "read"
      if reads == 2:
        self.store.write(_OUTCOME_KEY, wire.encode(_LOST))

    slow = JobDirectory(WatchedStore(self.store, overwrite), JOB_ID)
    self.assertFalse(slow.create_outcome(_OUTCOME))
    self.assertEqual(self.directory.outcome(), _LOST)

  def test_what_is_illegible_counts_as_absent(self) -> None:
    """A record that was tampered with keeps nobody from ending the job."""
    for name in (layout.STARTED, layout.host_report(0), layout.heartbeat(0)):
      key = layout.job(JOB_ID, layout.attempt(1, name))
      self.store.write(key, b"{cut sh")
    self.assertIsNone(self.directory.started(1))
    self.assertIsNone(self.directory.host_report(1, 0))
    self.assertIsNone(self.directory.heartbeat(1, 0))

  def test_files(self) -> None:
    """What the function left is listed by its path, and read by it."""
    self.directory.write_file("a/model.keras", b"old")
    self.directory.write_file("a/model.keras", io.BytesIO(b"newer"))
    self.directory.write_file("spec.json", b"x")
    self.assertEqual(
      list(self.directory.files()),
      [Entry("a/model.keras", 5), Entry("spec.json", 1)],
    )
    with self.directory.open_file("a/model.keras") as stream:
      self.assertEqual(stream.read(), b"newer")

  @parameterized.parameters("../spec.json", "/etc/passwd", "a/../../b", "")
  def test_files_do_not_leave_their_folder(self, path: str) -> None:
    """No path reaches what is not the function's."""
    with self.assertRaises(errors.StoreError):
      self.directory.write_file(path, b"")
    with self.assertRaises(errors.StoreError):
      self.directory.open_file(path)

  def test_delete(self) -> None:
    """Nothing of the job is left, and everything of the others."""
    other = JobDirectory(self.store, JOB_ID + "-2")
    other.create_spec(job_spec(other.job_id), _KEY)
    before = list(self.store.list(""))
    self._fill()
    self.directory.delete(self.spec)
    self.assertEqual(list(self.store.list("")), before)

  def test_a_deletion_that_was_killed_can_be_repeated(self) -> None:
    """At any point the job is still listed, or all is gone."""
    self._fill()
    count = len(list(self.store.list("")))
    for fatal in range(count + 2):
      with self.subTest(fatal=fatal):
        self._fill()
        dying = JobDirectory(
          failing_at(self.store, fatal, SystemExit()), JOB_ID
        )
        try:
          dying.delete(self.spec)
        except SystemExit:
          (row,) = index.rows(self.store)
          self.directory.delete(row)
        self.assertEmpty(list(self.store.list("")))

  def test_who_is_there(self) -> None:
    """What a host said last counts, and what nobody can read says nothing."""
    self.assertIsNone(self.directory.present(1))
    for answers in ("pod/1", "pod/2"):
      said = Present(1, "pod-1/f00", answers)
      self.directory.write_present(said)
      self.assertEqual(self.directory.present(1), said)
    self.store.write(layout.job(JOB_ID, layout.present(1)), b'{"host')
    self.assertIsNone(self.directory.present(1))

  def _fill(self) -> None:
    for entry in list(self.store.list(layout.job(JOB_ID))):
      self.store.delete(entry.key)
    index.remove(self.store, self.spec)
    self.directory.create_spec(self.spec, _KEY)
    self.directory.create_payload(b"p")
    self.directory.create_started(_started(1))
    self.directory.write_file("spec.json", b"x")
    self.directory.create_outcome(_OUTCOME)
    index.add_ending(self.store, self.spec, State.SUCCEEDED)


def _started(number: int) -> Started:
  return Started(number, "allocation", "", "now")


if __name__ == "__main__":
  absltest.main()
