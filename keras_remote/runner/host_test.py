import dataclasses
import io
import os
import queue
import signal
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import endings, last_words, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import ENDED_EXIT, Launch
from keras_remote.job.outcome import Cause, HostReport, Outcome
from keras_remote.job.spec import Limits
from keras_remote.job.state import State
from keras_remote.runner import (
  heartbeat,
  logs,
  process,
  rendezvous,
  scratch,
  signals,
)
from keras_remote.runner.events import ChildEnded, Event
from keras_remote.runner.host import Host
from keras_remote.runner.live import LiveView
from keras_remote.storage.store import Store
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore

_KEY = signing.job_key(b"cluster", JOB_ID)
_RETURNED = {"cause": "returned", "message": ""}
_LIMITS = Limits()
_ENDED = process.Exit(0, None, 7)


def _store_job(store: Store, hosts: int, limits: Limits) -> None:
  packed = io.BytesIO()
  zipfile.ZipFile(packed, "w").close()
  archive, payload = packed.getvalue(), b"call"
  spec = dataclasses.replace(
    job_spec(hosts=hosts),
    context=layout.digest(archive),
    payload=layout.digest(payload),
    limits=limits,
  )
  directory = JobDirectory(store, JOB_ID)
  store.write(layout.context(spec.context), archive)
  directory.create_payload(payload)
  directory.create_spec(spec, _KEY)


class _Worker:
  """A worker without a process: it does what it is told to when it is called.

  Attributes:
    orders: what it was sent.
    call: what the function does.
    saves: what it does when it is asked to end.
    ended: how many seconds of grace its end was given, each time.
  """

  log_fd = -1
  pid = -1

  def __init__(self, events: "queue.SimpleQueue[Event]") -> None:
    self.events = events
    self.call: Callable[[], None] = lambda: self.give(_RETURNED)
    self.saves: Callable[[], None] = self.stop
    self.answer: dict[str, object] | None = None
    self.asked = False
    self.orders: list[Mapping[str, object]] = []
    self.ended: list[float] = []
    self.exit: process.Exit | None = None

  def send(self, order: Mapping[str, object]) -> None:
    self.orders.append(order)
    if "payload" in order:
      self.call()

  def poll(self) -> process.Exit | None:
    return self.exit

  def last_answer(self, seconds: float) -> dict[str, object] | None:
    return self.answer

  def ask(self) -> None:
    self.asked = True
    self.saves()

  def end(self, grace: float, *, asked: bool = True) -> process.Exit:
    self.ended.append(grace)
    return self.exit or _ENDED

  def give(self, answer: dict[str, Any]) -> None:
    """Answers."""
    self.answer = dict(answer)
    self.events.put(dict(answer))

  def stop(self) -> None:
    """Ends as it was asked to."""
    self.exit = self.exit or process.Exit(143, None, 7)

  def die(self) -> None:
    """Ends by itself, by a segmentation fault."""
    self.exit = process.Exit(None, signal.SIGSEGV, 7)
    self.events.put(ChildEnded())


class _Start:
  """One host of a job, ready to run."""

  def __init__(
    self,
    folder: Path,
    store: Store,
    host: int = 0,
    hosts: int = 1,
    *,
    stays: bool = False,
  ) -> None:
    self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    self.worker = _Worker(self.events)
    self.directory = JobDirectory(store, JOB_ID)
    self.scratch = folder / f"scratch-{host}"
    scratch.make(self.scratch)
    launch = _launch(folder, store, host, hosts, stays=stays)
    pipe, end = os.pipe()
    os.close(end)
    worker: Any = self.worker
    pump = logs.LogPump(pipe, LiveView(1), self.scratch / scratch.SPOOL)
    self.host = Host(
      launch, self.directory, _KEY, worker, pump, self.events, self.scratch
    )

  def listen(self) -> None:
    """Somebody wants to hear its last words."""
    (self.scratch.parent / "last-words").touch()

  def last_words(self) -> str:
    return (self.scratch.parent / "last-words").read_text()

  def write_output(self, name: str) -> None:
    (self.scratch / scratch.OUTPUT / name).write_text("x")


def _launch(
  folder: Path, store: Store, host: int, hosts: int, *, stays: bool = False
) -> Launch:
  return Launch(
    store="memory",
    job_id=JOB_ID,
    spec_digest=layout.digest(store.read(layout.job(JOB_ID, layout.SPEC))),
    host=host,
    hosts=hosts,
    key_file="",
    scratch=str(folder / f"scratch-{host}"),
    allocation="mine",
    leader="",
    last_words=str(folder / "last-words"),
    stays=stays,
  )


class HostTestCase(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    before = signal.getsignal(signal.SIGTERM)
    self.addCleanup(signal.signal, signal.SIGTERM, before)
    self.folder = Path(self.create_tempdir().full_path)
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)

  def start(
    self,
    host: int = 0,
    hosts: int = 1,
    store: Store | None = None,
    limits: Limits = _LIMITS,
    *,
    stays: bool = False,
  ) -> _Start:
    if not any(self.store.list(layout.job(JOB_ID, layout.SPEC))):
      _store_job(self.store, hosts, limits)
    return _Start(self.folder, store or self.store, host, hosts, stays=stays)

  def outcome(self) -> Outcome:
    found = self.directory.outcome()
    assert found
    signing.verify(found, JOB_ID, _KEY)
    return found

  def files(self) -> list[str]:
    return [file.key for file in self.directory.files()]


def _stop() -> None:
  raise signals.Stopped


class AloneTest(HostTestCase):
  def test_a_job_that_returns(self) -> None:
    """Exit code 0 says: the outcome is stored, and says success."""
    start = self.start()
    self.assertEqual(start.host.run(), 0)
    self.assertEqual(self.outcome().state, State.SUCCEEDED)
    self.assertEqual(self.outcome().peak_memory, 7)

  def test_a_small_result(self) -> None:
    """It is in the last words, with its ending, once that is stored."""
    start = self.start()
    start.listen()
    data = b"value"

    def answer() -> None:
      (start.scratch / scratch.RESULT).write_bytes(data)
      start.worker.give({**_RETURNED, "result": layout.digest(data)})

    start.worker.call = answer
    start.host.run()
    told = last_words.read(start.last_words(), JOB_ID, _KEY)
    self.assertEqual(told, (self.outcome(), data))

  def test_staying_after_the_end(self) -> None:
    """It stays for as long as there is an outcome."""
    start = self.start(stays=True)
    start.host.run()
    staying = threading.Thread(target=start.host.stay, args=(0.05,))
    staying.start()
    staying.join(0.5)
    self.assertTrue(staying.is_alive())
    self.store.delete(layout.job(JOB_ID, layout.OUTCOME))
    staying.join()

  def test_an_ending_that_is_not_stored(self) -> None:
    """It is not in the last words either."""
    start = self.start()
    start.listen()
    start.worker.call = _stop
    start.host.run()
    self.assertFalse(last_words.is_record(start.last_words()))

  def test_an_ending_of_somebody_else(self) -> None:
    """The last words say what counts, not what the function did."""
    start = self.start()
    start.listen()

    def answer() -> None:
      spec = self.directory.spec()
      endings.cancel(self.directory, spec, _KEY, "me")
      start.worker.give(_RETURNED)

    start.worker.call = answer
    start.host.run()
    told = last_words.read(start.last_words(), JOB_ID, _KEY)
    assert told
    self.assertEqual(told[0].state, State.CANCELLED)

  def test_a_worker_that_dies(self) -> None:
    """Its signal is the cause."""
    start = self.start()
    start.worker.call = start.worker.die
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().signal, signal.SIGSEGV)

  def test_sigterm_stores_no_ending(self) -> None:
    """What the worker could save is kept, and a report says what was."""
    start = self.start()

    def strike() -> None:
      start.write_output("checkpoint")
      _stop()

    start.worker.call = strike
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)
    self.assertIsNone(self.directory.outcome())
    report = self.directory.host_report(1, 0)
    assert report
    self.assertEqual(report.cause, Cause.STOPPED)
    self.assertGreater(start.worker.ended[0], 0)
    self.assertEqual(self.files(), ["checkpoint"])

  def test_sigterm_with_a_store_that_fails(self) -> None:
    """It is no ending either."""
    stopped = False

    def fail(method: str, key: str) -> None:
      if stopped:
        raise errors.StoreError("away")

    def strike() -> None:
      nonlocal stopped
      stopped = True
      _stop()

    self.start()
    start = self.start(store=WatchedStore(self.store, fail))
    start.worker.call = strike
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)

  def test_an_outcome_that_somebody_else_stores(self) -> None:
    """A cancel ends the worker with grace; what it saved then is kept."""
    start = self.start()

    def cancel() -> None:
      start.write_output("checkpoint")
      start.events.put(endings.cancel(self.directory, job_spec(), _KEY, "me"))

    start.worker.call = cancel
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().state, State.CANCELLED)
    self.assertGreater(start.worker.ended[0], 0)
    self.assertEqual(self.files(), ["checkpoint"])

  def test_an_error_that_nobody_foresaw(self) -> None:
    """The job ends all the same, and its outcome says why."""
    start = self.start()

    def break_down() -> None:
      raise ZeroDivisionError("oops")

    start.worker.call = break_down
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().state, State.FAILED)
    self.assertIn("oops", self.outcome().message)

  def test_a_result_that_cannot_be_stored(self) -> None:
    """The outcome says so."""
    start = self.start()
    answer = {**_RETURNED, "result": "0" * 64}  # There is no such file.
    start.worker.call = lambda: start.worker.give(answer)
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().state, State.FAILED)
    self.assertIn("could not be stored", self.outcome().message)
    self.assertIsNone(self.outcome().result)

  @parameterized.parameters("hosts/", "files/", "heartbeat/", "logs/")
  def test_what_an_ending_can_do_without(self, part: str) -> None:
    """A store that refuses anything but the outcome does not cost it."""

    def fail(method: str, key: str) -> None:
      if method in ("write", "create") and part in key:
        raise errors.StoreError("no")

    self.start()
    start = self.start(store=WatchedStore(self.store, fail))

    def call() -> None:
      start.write_output("a")
      start.worker.give(_RETURNED)

    start.worker.call = call
    self.assertEqual(start.host.run(), 0)
    self.assertEqual(self.outcome().state, State.SUCCEEDED)

  def test_files_that_cannot_be_stored_at_the_end(self) -> None:
    """The log says so: nothing else would."""

    def fail(method: str, key: str) -> None:
      if method == "write" and "/files/" in key:
        raise errors.StoreError("no room")

    self.start()
    start = self.start(store=WatchedStore(self.store, fail))

    def call() -> None:
      start.write_output("a")
      start.worker.give(_RETURNED)

    start.worker.call = call
    start.host.run()
    log = b"".join(self.directory.log(1, 0)).decode()
    self.assertIn("not all files of the output could be stored: no room", log)

  def test_an_outcome_that_cannot_be_stored(self) -> None:
    """That is an error: whoever started this process is told."""

    def fail(method: str, key: str) -> None:
      if method == "create" and key.endswith(layout.OUTCOME):
        raise errors.StoreError("no")

    self.start()
    start = self.start(store=WatchedStore(self.store, fail))
    with self.assertRaises(errors.StoreError):
      start.host.run()


class _GroupTestCase(HostTestCase):
  """One host of two; what the other does is put into the store.

  Attributes:
    other: it comes, and does no more.
  """

  other: int

  def start(
    self,
    host: int = 0,
    hosts: int = 2,
    store: Store | None = None,
    limits: Limits = _LIMITS,
    *,
    stays: bool = False,
  ) -> _Start:
    started = super().start(host, hosts, store, limits, stays=stays)
    launch = _launch(self.folder, self.store, self.other, hosts)
    coming = rendezvous.Rendezvous(self.directory, launch, _KEY)
    came = threading.Thread(target=coming.meet, args=(self.directory.spec(),))
    came.start()
    self.addCleanup(came.join)
    return started

  def report(
    self, host: int, cause: Cause, message: str = "", **fields: Any
  ) -> HostReport:
    report = HostReport(1, host, cause, message, **fields)
    signed = signing.sign(report, JOB_ID, _KEY)
    self.directory.create_host_report(signed)
    return signed


class LeaderTest(_GroupTestCase):
  other = 1

  def test_all_return(self) -> None:
    """The value is its own; it has the worker leave the group first."""
    start = self.start(0, 2)
    self.report(1, Cause.RETURNED)
    self.directory.write_heartbeat(1, 1, heartbeat.LAST)
    self.assertEqual(start.host.run(), 0)
    self.assertEqual(self.outcome().state, State.SUCCEEDED)
    self.assertEqual(self.outcome().host, 0)
    self.assertIn({"together": True}, start.worker.orders)

  def test_the_others_have_more_to_store(self) -> None:
    """The job has ended when they have: their files are then there."""
    start = self.start(0, 2)
    self.report(1, Cause.RETURNED)
    seen: list[Outcome | None] = []

    def store() -> None:
      seen.append(self.directory.outcome())
      self.directory.write_heartbeat(1, 1, heartbeat.LAST)

    late = threading.Timer(0.4, store)
    late.start()
    self.assertEqual(start.host.run(), 0)
    late.join()
    self.assertEqual(seen, [None])

  def test_its_time_is_up_while_it_waits(self) -> None:
    """The others' reports may never come."""
    start = self.start(0, 2, limits=Limits(timeout=0.2))
    self.directory.write_heartbeat(1, 1, heartbeat.LAST)
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().state, State.TIMED_OUT)
    self.assertFalse(start.worker.asked)  # It has answered.

  def test_its_time_is_up(self) -> None:
    """The worker is let go when the other hosts have saved, and no sooner."""
    start = self.start(0, 2, limits=Limits(timeout=0.1))
    start.worker.call = lambda: None
    start.worker.saves = lambda: start.worker.give(_RETURNED)
    told: list[bool] = []

    def save() -> None:
      told.append({"together": False} in start.worker.orders)
      self.report(1, Cause.TIMEOUT)

    late = threading.Timer(0.4, save)
    late.start()
    self.assertEqual(start.host.run(), ENDED_EXIT)
    late.join()
    self.assertEqual(told, [False])
    self.assertIn({"together": False}, start.worker.orders)
    self.assertEqual(self.outcome().state, State.TIMED_OUT)

  def test_another_host_dies(self) -> None:
    """Its end is the job's; what this one has left is kept too."""
    start = self.start(0, 2)

    def call() -> None:
      start.write_output("a")
      self.report(1, Cause.SIGNAL, signal=11)

    start.worker.call = call
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual((self.outcome().host, self.outcome().signal), (1, 11))
    self.assertEqual(self.files(), ["a"])

  def test_an_echo_of_its_own(self) -> None:
    """The cause is told, although it is reported later."""
    start = self.start(0, 2)
    late = threading.Timer(0.3, self.report, (1, Cause.EXIT))
    echo = {"cause": "exception", "message": "closed", "collective": True}

    def call() -> None:
      start.worker.give(echo)
      late.start()

    start.worker.call = call
    self.assertEqual(start.host.run(), ENDED_EXIT)
    late.join()
    self.assertEqual((self.outcome().host, self.outcome().cause), (1, "exit"))

  def test_sigterm_to_another_host(self) -> None:
    """It is no ending of the group's either: this one leaves as well."""
    start = self.start(limits=Limits(max_preemptions=1))
    start.worker.call = lambda: None
    self.report(1, Cause.STOPPED, "it was told to stop")
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)
    self.assertIsNone(self.directory.outcome())
    words = (self.folder / "last-words").read_text()
    self.assertEqual(words, "host 1 was told to stop")
    self.assertGreater(start.worker.ended[0], 0)  # It may save what it has.
    own = self.directory.host_report(1, 0)
    assert own
    # Of two who were told to stop the first one counts.
    self.assertEqual((own.cause, own.collective), (Cause.STOPPED, True))

  @parameterized.parameters(Cause.STOPPED, Cause.LOST)
  def test_a_broken_attempt_that_was_the_last(self, cause: Cause) -> None:
    """It ends the job, when its worker is gone."""
    start = self.start()
    start.worker.call = lambda: start.write_output("saved")
    self.report(1, cause, "it was told")
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(self.outcome().state, State.LOST)
    self.assertIn("host 1 was told", self.outcome().message)
    self.assertEqual(start.worker.ended[0] > 1, cause is Cause.STOPPED)
    self.assertEqual(self.files(), ["saved"])

  def test_another_host_is_lost(self) -> None:
    """Where nobody starts the group anew that is the job's end."""
    start = self.start(limits=Limits(retries=1))
    start.worker.call = lambda: None
    self.report(1, Cause.LOST, "it is gone")
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(
      (self.outcome().state, self.outcome().message),
      (State.LOST, "host 1 is gone"),
    )

  def test_another_host_is_lost_and_all_are_started_anew(self) -> None:
    """The next attempt is theirs: this one leaves, and ends nothing.

    It is over after a while, to be started again, if nobody else sees to that.
    """
    start = self.start(limits=Limits(retries=1), stays=True)
    start.worker.call = lambda: None
    self.report(1, Cause.LOST, "it is gone")
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)
    self.assertIsNone(self.directory.outcome())
    start.host.stay(0.1)

  def test_who_else_failed(self) -> None:
    """The ending names the host, and those that lost their connection."""
    start = self.start()
    echo = {"cause": "exception", "message": "closed", "collective": True}
    start.worker.call = lambda: start.worker.give(echo)
    late = threading.Timer(
      0.5, self.report, (1, Cause.EXIT, "the process ended itself")
    )
    late.start()
    start.host.run()
    late.join()
    self.assertEqual(
      self.outcome().message,
      "host 1: the process ended itself (host 0 then lost the connection to "
      "the others)",
    )

  def test_a_forged_report(self) -> None:
    """The job fails for that, rather than wait for a genuine one."""
    start = self.start(0, 2)
    forged = HostReport(1, 1, Cause.RETURNED, "", signature="0" * 64)
    self.directory.create_host_report(forged)
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertIn("IntegrityError", self.outcome().exception_type)


class FollowerTest(_GroupTestCase):
  other = 0

  def setUp(self) -> None:
    super().setUp()
    self.directory.write_heartbeat(1, 0, 0)

  def lead(self, report: HostReport) -> None:
    """Ends the job as host 0 would."""
    outcome = endings.of_report(report, None)
    endings.end(self.directory, None, _KEY, outcome)

  def test_all_return(self) -> None:
    """It leaves when all have returned, and ends when the outcome is there.

    Its own value is not stored: host 0's counts.
    """
    start = self.start(1, 2)
    answer = {**_RETURNED, "result": "1" * 64, "result_size": 1}
    (start.scratch / scratch.RESULT).write_bytes(b"x")
    first = self.report(0, Cause.RETURNED)
    start.worker.call = lambda: start.worker.give(answer)
    leader = threading.Timer(0.4, self.lead, (first,))
    leader.start()
    self.assertEqual(start.host.run(), 0)
    leader.join()
    self.assertIn({"together": True}, start.worker.orders)
    self.assertEqual(self.directory.heartbeat(1, 1), heartbeat.LAST)
    self.assertNotIn("results", str([e.key for e in self.store.list("")]))

  def test_its_files_are_there_before_its_report(self) -> None:
    """The job succeeds with the last report: nothing may follow it."""
    written: list[str] = []
    joined = 0

    def watch(method: str, key: str) -> None:
      if method in ("create", "write"):
        written.append(key.partition(JOB_ID)[2])

    start = self.start(1, 2, WatchedStore(self.store, watch))
    first = self.report(0, Cause.RETURNED)

    def answer() -> None:
      nonlocal joined
      joined = len(written)
      start.write_output("seen")
      start.worker.give(_RETURNED)

    start.worker.call = answer
    leader = threading.Timer(0.4, self.lead, (first,))
    leader.start()
    self.assertEqual(start.host.run(), 0)
    leader.join()
    names = [name.rpartition("/")[2] for name in written]
    self.assertLess(names.index("seen"), names.index("1.json", joined))

  def test_it_dies(self) -> None:
    """That is reported before all else, so that no echo comes first."""
    reported: list[bool] = []

    def watch(method: str, key: str) -> None:
      if method == "create" and key.endswith("hosts/1.json"):
        reported.append(not start.worker.ended)
      if method == "create" and reported and "/logs/" in key:
        reported.append(False)
      if method == "read" and reported and key.endswith(layout.OUTCOME):
        report = self.directory.host_report(1, 1)
        assert report
        self.lead(report)

    start = self.start(1, 2, WatchedStore(self.store, watch))
    start.worker.call = start.worker.die
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertEqual(reported, [True])
    self.assertEqual(self.outcome().host, 1)

  def test_sigterm_to_host_0(self) -> None:
    """No outcome will follow: it leaves too."""
    start = self.start(1, 2)
    start.worker.call = lambda: None
    self.report(0, Cause.STOPPED)
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)
    self.assertIsNone(self.directory.outcome())

  @parameterized.parameters(False, True)
  def test_another_host_is_lost(self, stays: bool) -> None:
    """It leaves where all are started anew, else host 0 ends the job."""
    start = self.start(1, stays=stays)
    lost = self.report(0, Cause.LOST, "it is gone")
    start.worker.call = lambda: None
    leader = threading.Timer(0.3, self.lead, (lost,))
    if not stays:
      leader.start()
      self.addCleanup(leader.join)
    code = signals.STOPPED_EXIT if stays else ENDED_EXIT
    self.assertEqual(start.host.run(), code)
    self.assertEqual(self.directory.heartbeat(1, 1), heartbeat.LAST)

  @parameterized.parameters(False, True)
  def test_started_again_in_place(self, stays: bool) -> None:
    """Its part is lost; unless all are started anew it hears how that ends."""
    first = self.start(1)
    first.worker.call = _stop
    first.host.run()
    lost = layout.job(JOB_ID, layout.attempt(1, layout.host_report(1)))
    self.store.delete(lost)  # As if it had been killed.
    again = _Start(self.folder, self.store, 1, 2, stays=stays)
    again.worker.call = lambda: self.fail("it is called twice")
    report = HostReport(1, 1, Cause.LOST, "it is gone")
    leader = threading.Timer(0.3, self.lead, (report,))
    if not stays:
      leader.start()
      self.addCleanup(leader.join)
    code = signals.STOPPED_EXIT if stays else ENDED_EXIT
    self.assertEqual(again.host.run(), code)
    found = self.directory.host_report(1, 1)
    assert found
    self.assertEqual(found.cause, Cause.LOST)

  def test_sigterm_after_the_end(self) -> None:
    """It holds nothing up: there is an outcome, and so nothing to save."""
    start = self.start(1)

    def strike() -> None:
      self.lead(HostReport(1, 0, Cause.EXCEPTION, "it failed"))
      _stop()

    start.worker.call = strike
    self.assertEqual(start.host.run(), ENDED_EXIT)
    self.assertFalse(start.worker.asked)
    self.assertLess(max(start.worker.ended), 1)
    self.assertIsNone(self.directory.host_report(1, 1))

  def test_sigterm_before_it_knows_of_the_attempt(self) -> None:
    """It was claimed with this host, so what became of it is told."""

    struck = False

    def strike(method: str, key: str) -> None:
      nonlocal struck
      if not struck and key.endswith("1/started.json"):
        struck = self.directory.started(1) is not None
        if struck:
          _stop()

    start = self.start(1, store=WatchedStore(self.store, strike))
    self.assertEqual(start.host.run(), signals.STOPPED_EXIT)
    report = self.directory.host_report(1, 1)
    assert report
    self.assertEqual(report.cause, Cause.STOPPED)

  def test_a_failure_elsewhere_is_told_by_host_0(self) -> None:
    """It works on until the outcome is there."""
    start = self.start(1, 2)
    report = self.report(0, Cause.EXCEPTION)
    start.worker.call = lambda: None
    leader = threading.Timer(0.3, self.lead, (report,))
    leader.start()
    self.assertEqual(start.host.run(), ENDED_EXIT)
    leader.join()
    self.assertIsNone(self.directory.host_report(1, 1))


if __name__ == "__main__":
  absltest.main()
