import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import endings, index, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore, failing_at

_KEY = signing.job_key(b"cluster", JOB_ID)
_SPEC = job_spec()
_RETURNED = Outcome(
  1,
  State.SUCCEEDED,
  Cause.RETURNED,
  message="",
  ended="now",
  writer="host 0",
  result="a" * 64,
)


# How the hosts of a group of three ended, of which all were told to stop.
_TOLD = (Cause.STOPPED,) * 3


def _signed(started: Started) -> Started:
  return signing.sign(started, JOB_ID, _KEY)


class _JobTest(parameterized.TestCase):
  """A job that was submitted, and nothing more."""

  def setUp(self) -> None:
    super().setUp()
    self.submit()

  def submit(self) -> None:
    """Begins with a new job in a new store."""
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)
    self.directory.create_spec(_SPEC, _KEY)

  def claim(self, retries: int = 0, *, who: str = "pod-1") -> Started | Outcome:
    """What a start hears that asks for an attempt."""
    spec = job_spec(retries=retries)
    return endings.claim(self.directory, spec, _KEY, allocation=who)

  def end(self, outcome: Outcome = _RETURNED) -> Outcome:
    """What the job's own process hears that ends it."""
    return endings.end(self.directory, _SPEC, _KEY, outcome)

  def listed(self) -> State | None:
    """The ending that a listing shows."""
    (row,) = index.rows(self.store)
    return row.state

  def assert_ended(self, outcome: Outcome, state: State) -> None:
    """The outcome is the job's, signed and of that state."""
    self.assertEqual(outcome.state, state)
    self.assertEqual(self.directory.outcome(), outcome)
    signing.verify(outcome, JOB_ID, _KEY)


class ClaimTest(_JobTest):
  def test_starts_count_up(self) -> None:
    """Each start gets the next attempt, as long as there are any."""
    for number in (1, 2, 3):
      started = self.claim(retries=2, who=f"pod-{number}")
      assert isinstance(started, Started)
      self.assertEqual(started.attempt, number)
      self.assertEqual(started.allocation, f"pod-{number}")
      self.assertEqual(self.directory.started(number), started)

  def test_one_of_many_starts(self) -> None:
    """Of starts at the same time each attempt has one, and no more start."""
    starts, retries = 16, 3
    barrier = threading.Barrier(starts)

    def start(number: int) -> Started | Outcome:
      barrier.wait()
      return self.claim(retries, who=f"pod-{number}")

    with ThreadPoolExecutor(starts) as pool:
      found = list(pool.map(start, range(starts)))
    attempts = [f.attempt for f in found if isinstance(f, Started)]
    self.assertCountEqual(attempts, [1, 2, 3, 4])
    ends = {f for f in found if isinstance(f, Outcome)}
    self.assertEqual(ends, {self.directory.outcome()})

  def test_a_start_that_comes_second(self) -> None:
    """It takes the next attempt; where there is none it ends the job."""
    for retries, kind in ((1, Started), (0, Outcome)):
      self.submit()

      def start_first(method: str, key: str, retries: int = retries) -> None:
        if method == "create" and not self.directory.attempts():
          self.claim(retries)

      slow = JobDirectory(WatchedStore(self.store, start_first), JOB_ID)
      spec = job_spec(retries=retries)
      found = endings.claim(slow, spec, _KEY, allocation="slow")
      self.assertIsInstance(found, kind)
      self.assertEqual(found.attempt, 1 + retries)
      self.assertLen(self.directory.attempts(), 1 + retries)

  def test_a_forged_outcome(self) -> None:
    """It keeps nobody from starting, and hides no real ending."""
    forged = signing.sign(_RETURNED, JOB_ID, b"forged")
    self.directory.create_outcome(forged)
    self.assertIsInstance(self.claim(), Started)
    cancelled = endings.cancel(self.directory, _SPEC, _KEY, "me")
    self.assert_ended(cancelled, State.CANCELLED)
    self.assertEqual(self.end(), cancelled)

  def test_no_attempt_left(self) -> None:
    """A spare start ends the job as lost, without calling, and tells why."""
    first = self.claim()
    assert isinstance(first, Started)
    outcome = self.claim(who="pod-2")
    assert isinstance(outcome, Outcome)
    self.assert_ended(outcome, State.LOST)
    self.assertEqual(outcome.cause, Cause.ATTEMPTS)
    self.assertEqual((outcome.attempt, outcome.started), (1, first.at))
    self.assertEqual(outcome.writer, "start of pod-2")
    self.assertIn("attempt 1 ended without an outcome", outcome.message)
    self.assertEqual(self.listed(), State.LOST)

  def test_what_the_last_attempt_said(self) -> None:
    """The ending tells what host 0 had reported before it was gone."""
    self.claim()
    self.directory.create_host_report(
      HostReport(1, 0, Cause.STOPPED, "it was told to stop")
    )
    outcome = self.claim()
    assert isinstance(outcome, Outcome)
    self.assertEndsWith(outcome.message, ": it was told to stop")

  @parameterized.parameters(b"forged", b"")
  def test_a_claim_that_the_job_has_not_signed(self, key: bytes) -> None:
    """It uses up no attempt: the numbers go on after it."""
    forged = Started(1, "pod-0", "", "now")
    if key:
      forged = signing.sign(forged, JOB_ID, key)
    self.directory.create_started(forged)
    started = self.claim()
    assert isinstance(started, Started)
    self.assertEqual(started.attempt, 2)
    self.directory.create_started(dataclasses.replace(forged, attempt=3))
    outcome = self.claim()
    assert isinstance(outcome, Outcome)
    self.assertEqual((outcome.cause, outcome.attempt), (Cause.ATTEMPTS, 2))

  def test_an_ended_job_is_not_started(self) -> None:
    """A start that finds an outcome hears it, and claims nothing."""
    ended = self.end()
    self.assertEqual(self.claim(retries=9), ended)
    self.assertEqual(self.directory.attempts(), [])

  def test_an_outcome_cut_short_does_not_stop_a_start(self) -> None:
    """It counts as absent."""
    self.store.write(layout.job(JOB_ID, layout.OUTCOME), b'{"vers')
    self.assertIsInstance(self.claim(), Started)


class AttemptsTest(_JobTest):
  """Attempts of a group of three hosts that ended without an outcome."""

  def setUp(self) -> None:
    super().setUp()
    self.directory = JobDirectory(self.store, JOB_ID, _KEY)

  def run_group(
    self, retries: int, max_preemptions: int, *, who: str = "pod"
  ) -> Started | Outcome:
    self.spec = job_spec(
      hosts=3, retries=retries, max_preemptions=max_preemptions
    )
    return endings.claim(self.directory, self.spec, _KEY, allocation=who)

  def report(
    self, attempt: int, host: int, cause: Cause, key: bytes = _KEY
  ) -> None:
    message = {
      Cause.STOPPED: "it was told to stop",
      Cause.LOST: "its first process was killed",
      Cause.RETURNED: "",
    }[cause]
    report = HostReport(attempt, host, cause, message)
    self.directory.create_host_report(signing.sign(report, JOB_ID, key))

  @parameterized.named_parameters(
    # Of each attempt: how its hosts ended. Then whether there is another.
    ("none", 0, 0, [], True),
    ("crash", 0, 5, [()], False),
    ("taken_away", 0, 0, [_TOLD], False),
    ("taken_away_and_spare", 0, 1, [_TOLD], True),
    ("killed_and_then_told", 0, 1, [(*_TOLD[1:], Cause.LOST)], False),
    ("killed_and_the_others_told", 0, 1, [_TOLD[1:]], False),
    ("killed_before", 1, 5, [_TOLD[1:], _TOLD], True),
    ("killed_twice", 1, 5, [_TOLD[1:], _TOLD[1:]], False),
    ("some_had_returned", 0, 1, [(Cause.RETURNED, *_TOLD[1:])], True),
    ("spare_then_retry", 1, 1, [_TOLD] * 2, True),
    ("neither", 1, 1, [_TOLD] * 3, False),
    ("retry_then_spare", 1, 1, [(Cause.LOST,), _TOLD], True),
    ("two_crashes", 1, 5, [_TOLD, (), (Cause.LOST,)], False),
  )
  def test_what_is_allowed(
    self,
    retries: int,
    max_preemptions: int,
    ended: list[tuple[Cause, ...]],
    allowed: bool,
  ) -> None:
    """Crashes, and what was taken away beyond its own number, use retries up.

    A claim, `spent` and `conclude` say the same of it.
    """
    for number, causes in enumerate(ended, 1):
      started = _signed(Started(number, "pod", "", "now"))
      self.directory.create_started(started)
      for host, cause in enumerate(causes):
        self.report(number, host, cause)
    spec = job_spec(hosts=3, retries=retries, max_preemptions=max_preemptions)
    self.assertEqual(endings.spent(self.directory, spec), not allowed)
    if allowed:
      self.assertIsNone(self.conclude(spec))
    found = self.run_group(retries, max_preemptions)
    self.assertIsInstance(found, Started if allowed else Outcome)
    if not allowed:
      self.assertEqual(self.conclude(spec), found)

  def conclude(self, spec: JobSpec, *, over: bool = True) -> Outcome | None:
    return endings.conclude(self.directory, spec, _KEY, "me", over=over)

  def test_who_may_yet_say_it(self) -> None:
    """A host of an attempt that ends is not killed because it is late."""
    self.run_group(0, 1)
    self.report(1, 0, Cause.STOPPED)
    self.assertIsNone(self.conclude(self.spec, over=False))
    self.report(1, 1, Cause.LOST)
    self.assertIsNotNone(self.conclude(self.spec, over=False))

  def test_why_each_ended(self) -> None:
    """The ending says it of every attempt, and names the host."""
    for _ in range(3):
      self.run_group(2, 0)
    for host in range(3):
      self.report(1, host, Cause.STOPPED)
    self.report(3, 1, Cause.LOST)
    outcome = self.run_group(2, 0)
    assert isinstance(outcome, Outcome)
    self.assertEqual((outcome.state, outcome.attempt), (State.LOST, 3))
    self.assertEndsWith(
      outcome.message,
      "attempt 1: host 0 was told to stop; attempt 2: its processes are gone "
      "and said nothing; attempt 3: host 1's first process was killed",
    )

  @parameterized.parameters(False, True)
  def test_a_host_that_said_nothing(self, over: bool) -> None:
    """It is why the others were told to stop, once it can say no more."""
    self.run_group(0, 0)
    for host in (0, 2):
      self.report(1, host, Cause.STOPPED)
    outcome = endings.conclude(self.directory, self.spec, _KEY, "me", over=over)
    assert outcome
    why = "host 1's first process is gone" if over else "host 0 was told to"
    self.assertIn(why, outcome.message)

  @parameterized.parameters(0, 1)
  def test_all_have_returned(self, retries: int) -> None:
    """Who was to say so died: a start says it, and does not call again."""
    self.run_group(retries, 0)
    for host in range(3):
      self.assertEqual(
        endings.conclude(
          self.directory, job_spec(hosts=3, retries=5), _KEY, "me"
        ),
        None,
      )
      self.report(1, host, Cause.RETURNED)
    outcome = self.run_group(retries, 0)
    assert isinstance(outcome, Outcome)
    self.assert_ended(outcome, State.SUCCEEDED)
    self.assertEqual((outcome.attempt, outcome.host), (1, 0))
    concluded = endings.conclude(self.directory, self.spec, _KEY, "me")
    self.assertEqual(concluded, outcome)

  @parameterized.parameters((_KEY, State.SUCCEEDED), (b"forged", State.LOST))
  def test_all_have_returned_and_are_gone(
    self, key: bytes, state: State
  ) -> None:
    """The job has succeeded, also where nothing starts any more to say so."""
    self.run_group(0, 0)
    for host in range(3):
      self.report(1, host, Cause.RETURNED, key=key)
    directory = JobDirectory(self.store, JOB_ID)
    ended = endings.settle(directory, self.spec, _KEY, "gone", "me")
    self.assert_ended(ended, state)

  def test_a_forged_return(self) -> None:
    """It ends nothing well."""
    self.run_group(0, 0)
    self.report(1, 0, Cause.RETURNED, key=b"forged")
    for host in (1, 2):
      self.report(1, host, Cause.RETURNED)
    outcome = self.run_group(0, 0)
    assert isinstance(outcome, Outcome)
    self.assertEqual(outcome.state, State.LOST)

  def test_a_forged_report(self) -> None:
    """It gives nobody a further attempt."""
    self.run_group(0, 5)
    self.report(1, 0, Cause.STOPPED, key=b"forged")
    self.assertTrue(endings.spent(self.directory, self.spec))

  def test_a_job_that_waited_in_vain(self) -> None:
    """No start calls, however many of its attempts may be taken away."""
    spec = job_spec(hosts=3, max_preemptions=10)
    ended = endings.give_up(self.directory, spec, _KEY, "no image", "me")
    assert ended
    self.assertEqual(self.run_group(0, 10), ended)
    self.assertTrue(endings.spent(self.directory, spec))


class EndTest(_JobTest):
  def test_it_is_signed_and_listed(self) -> None:
    """The ending is the job's, and a listing shows it."""
    self.assert_ended(self.end(), State.SUCCEEDED)
    self.assertEqual(self.listed(), State.SUCCEEDED)

  def test_the_first_wins(self) -> None:
    """Whoever comes later hears, and lists, the ending that counts."""
    first = self.end()
    failed = dataclasses.replace(_RETURNED, state=State.FAILED, result="b" * 64)
    self.assertEqual(self.end(failed), first)
    self.assert_ended(first, State.SUCCEEDED)
    self.assertEqual(self.listed(), State.SUCCEEDED)

  def test_one_of_many_endings(self) -> None:
    """Of endings at the same time one counts, and all hear that one."""
    enders: list[Callable[[], Outcome]] = [
      self.end,
      lambda: endings.cancel(self.directory, _SPEC, _KEY, "ada"),
      lambda: endings.settle(self.directory, _SPEC, _KEY, "gone", "bob"),
    ] * 4
    for _ in range(20):
      self.submit()
      barrier = threading.Barrier(len(enders))

      def run(
        ender: Callable[[], Outcome], barrier: threading.Barrier = barrier
      ) -> Outcome:
        barrier.wait()
        return ender()

      with ThreadPoolExecutor(len(enders)) as pool:
        heard = set(pool.map(run, enders))
      self.assertEqual(heard, {self.directory.outcome()})
      self.assertEqual(self.listed(), heard.pop().state)

  def test_without_a_trusted_spec(self) -> None:
    """A job whose spec was swapped ends; only its listing is left alone."""
    failed = dataclasses.replace(_RETURNED, state=State.FAILED, result=None)
    outcome = endings.end(self.directory, None, _KEY, failed)
    self.assert_ended(outcome, State.FAILED)
    self.assertIsNone(self.listed())

  def test_a_listing_that_fails_does_not_undo_the_ending(self) -> None:
    """Where the outcome is stored the job has ended, whatever follows."""
    full = failing_at(self.store, 1, errors.StoreError("full"))
    outcome = endings.end(JobDirectory(full, JOB_ID), _SPEC, _KEY, _RETURNED)
    self.assert_ended(outcome, State.SUCCEEDED)

  def test_an_outcome_that_cannot_be_stored(self) -> None:
    """It is an error, and the job has not ended."""
    full = failing_at(self.store, 0, errors.StoreError("full"))
    with self.assertRaisesRegex(errors.StoreError, "full"):
      endings.end(JobDirectory(full, JOB_ID), _SPEC, _KEY, _RETURNED)
    self.assertIsNone(self.directory.outcome())
    self.assertIsNone(self.listed())

  @parameterized.parameters(
    (Cause.RETURNED, State.SUCCEEDED),
    (Cause.TIMEOUT, State.TIMED_OUT),
    (Cause.EXCEPTION, State.FAILED),
    (Cause.EXIT, State.FAILED),
    (Cause.SIGNAL, State.FAILED),
    (Cause.SETUP, State.FAILED),
    (Cause.LOST, State.LOST),
  )
  def test_of_a_host(self, cause: Cause, state: State) -> None:
    """The job's ending says all that the host's report says."""
    report = HostReport(
      attempt=2,
      host=3,
      cause=cause,
      message="m",
      exit_code=4,
      signal=5,
      exception_type="t",
      traceback="tb",
      peak_memory=6,
      result="r",
      result_size=7,
    )
    outcome = endings.of_report(report, Started(2, "pod", "", "then"))
    self.assertEqual(outcome.state, state)
    self.assertEqual(outcome.started, "then")
    for field in dataclasses.fields(HostReport):
      if field.name not in ("collective", "seconds", "frames", "signature"):
        self.assertEqual(
          getattr(outcome, field.name), getattr(report, field.name), field.name
        )


class ClientEndingsTest(_JobTest):
  def test_cancel(self) -> None:
    """A cancelled job says who did it, and which attempt was running."""
    started = self.claim()
    assert isinstance(started, Started)
    outcome = endings.cancel(self.directory, _SPEC, _KEY, "ada@home")
    self.assert_ended(outcome, State.CANCELLED)
    self.assertEqual(outcome.message, "by ada@home")
    self.assertEqual((outcome.attempt, outcome.started), (1, started.at))
    self.assertIsNone(outcome.result)
    self.assertEqual(self.listed(), State.CANCELLED)

  def test_cancel_before_the_start(self) -> None:
    """What is cancelled before it starts never starts."""
    outcome = endings.cancel(self.directory, _SPEC, _KEY, "ada")
    self.assertEqual((outcome.attempt, outcome.started), (0, None))
    self.assertEqual(self.claim(), outcome)

  def test_cancel_after_the_end(self) -> None:
    """It changes nothing, and hears how the job ended."""
    ended = self.end()
    self.assertEqual(endings.cancel(self.directory, _SPEC, _KEY, "ada"), ended)
    self.assert_ended(ended, State.SUCCEEDED)
    self.assertEqual(self.listed(), State.SUCCEEDED)

  def test_settle(self) -> None:
    """A job whose processes are gone is lost, for the reason that was seen."""
    self.claim()
    outcome = endings.settle(self.directory, _SPEC, _KEY, "node gone", "bob")
    self.assert_ended(outcome, State.LOST)
    self.assertEqual(outcome.cause, Cause.LOST)
    self.assertEqual((outcome.message, outcome.writer), ("node gone", "bob"))
    self.assertIsNone(outcome.result)
    self.assertEqual(self.listed(), State.LOST)

  def test_settle_after_the_end(self) -> None:
    """An outcome that came meanwhile counts, and nothing is changed."""
    ended = self.end()
    before = list(self.store.list(""))
    settled = endings.settle(self.directory, _SPEC, _KEY, "gone", "bob")
    self.assertEqual(settled, ended)
    self.assertEqual(list(self.store.list("")), before)

  def test_an_outcome_that_comes_while_settling(self) -> None:
    """One that is stored after the last look still wins."""

    def end_first(method: str, key: str) -> None:
      if method == "create":
        self.end()

    slow = JobDirectory(WatchedStore(self.store, end_first), JOB_ID)
    settled = endings.settle(slow, _SPEC, _KEY, "gone", "bob")
    self.assert_ended(settled, State.SUCCEEDED)

  def test_records_that_were_tampered_with(self) -> None:
    """Claims and reports that nobody can read keep no job from its end."""
    self.claim()
    for name in (layout.STARTED, layout.host_report(0)):
      key = layout.job(JOB_ID, layout.attempt(1, name))
      self.store.write(key, b"junk")
    outcome = endings.settle(self.directory, _SPEC, _KEY, "gone", "bob")
    self.assert_ended(outcome, State.LOST)
    self.assertIsNone(outcome.started)


class KilledTest(_JobTest):
  """A writer dies between any two of its writes; others come after it."""

  def _dying(self, count: int) -> JobDirectory:
    return JobDirectory(failing_at(self.store, count, SystemExit()), JOB_ID)

  def _points(self, write: Callable[[JobDirectory], object]) -> int:
    """How many writes there are, and so how many places to die before."""
    for count in itertools.count():
      self.submit()
      with contextlib.suppress(SystemExit):
        write(self._dying(count))
        break
    self.submit()
    return count

  def test_while_ending(self) -> None:
    """The ending stands as soon as the outcome does; else the job is lost."""

    def end(directory: JobDirectory) -> Outcome:
      return endings.end(directory, _SPEC, _KEY, _RETURNED)

    self.assertEqual(self._points(end), 2)
    for count, state in ((0, State.LOST), (1, State.SUCCEEDED)):
      self.submit()
      with self.assertRaises(SystemExit):
        end(self._dying(count))
      self.assertIsNone(self.listed())
      settled = endings.settle(self.directory, _SPEC, _KEY, "gone", "bob")
      self.assert_ended(settled, state)
      # Whoever wants to end it hears the same, and brings the list up to date.
      self.assertEqual(
        endings.cancel(self.directory, _SPEC, _KEY, "ada"), settled
      )
      self.assertEqual(self.claim(), settled)
      self.assertEqual(self.listed(), state)

  def test_while_replacing_an_outcome_cut_short(self) -> None:
    """The outcome stays illegible or is whole: the next one ends the job."""
    key = layout.job(JOB_ID, layout.OUTCOME)

    def end(directory: JobDirectory) -> Outcome:
      self.store.write(key, b"cut sh")
      return endings.end(directory, _SPEC, _KEY, _RETURNED)

    self.assertEqual(self._points(end), 3)
    states = (State.LOST, State.LOST, State.SUCCEEDED)
    for count, state in enumerate(states):
      self.submit()
      with self.assertRaises(SystemExit):
        end(self._dying(count))
      settled = endings.settle(self.directory, _SPEC, _KEY, "gone", "bob")
      self.assert_ended(settled, state)

  def test_while_claiming(self) -> None:
    """A claim that was not stored costs no attempt; one that was, costs one."""

    def claim(directory: JobDirectory) -> Started | Outcome:
      return endings.claim(directory, _SPEC, _KEY, allocation="dead")

    self.assertEqual(self._points(claim), 1)
    with self.assertRaises(SystemExit):
      claim(self._dying(0))
    again = self.claim()
    assert isinstance(again, Started)
    self.assertEqual(again.attempt, 1)
    # That one died too, after its only write: none is left.
    outcome = self.claim()
    assert isinstance(outcome, Outcome)
    self.assert_ended(outcome, State.LOST)

  def test_while_claiming_what_is_not_left(self) -> None:
    """A spare start that dies leaves the telling to the next one."""

    def claim(directory: JobDirectory) -> Started | Outcome:
      return endings.claim(directory, _SPEC, _KEY, allocation="spare")

    for count, writer in ((0, "start of pod-1"), (1, "start of spare")):
      self.submit()
      self.claim()
      with self.assertRaises(SystemExit):
        claim(self._dying(count))
      outcome = self.claim()
      assert isinstance(outcome, Outcome)
      self.assert_ended(outcome, State.LOST)
      self.assertEqual(outcome.writer, writer)

  def test_while_cancelling(self) -> None:
    """The job goes on, or is cancelled: cancelling again ends it either way."""
    for count, ends in ((0, False), (1, True)):
      self.submit()
      self.claim()
      with self.assertRaises(SystemExit):
        endings.cancel(self._dying(count), _SPEC, _KEY, "ada")
      self.assertEqual(self.directory.outcome() is not None, ends)
      outcome = endings.cancel(self.directory, _SPEC, _KEY, "ada")
      self.assert_ended(outcome, State.CANCELLED)
      self.assertEqual(self.listed(), State.CANCELLED)


class GiveUpTest(_JobTest):
  """A job that waits for what cannot come."""

  def give_up(self, retries: int = 0) -> Outcome | None:
    spec = job_spec(retries=retries)
    return endings.give_up(self.directory, spec, _KEY, "no image", "me")

  @parameterized.parameters(0, 2)
  def test_a_job_that_never_started(self, retries: int) -> None:
    """It ends, once, and no start can call any more."""
    outcome = self.give_up(retries)
    assert outcome
    self.assert_ended(outcome, State.TIMED_OUT)
    self.assertEqual(outcome.attempt, 0)
    self.assertEqual(self.give_up(retries), outcome)
    self.assertEqual(self.claim(retries), outcome)

  def test_a_job_that_may_have_started(self) -> None:
    """It goes on."""
    self.claim()
    self.assertIsNone(self.give_up())
    self.assertIsNone(self.directory.outcome())

  def test_a_claim_that_the_job_has_not_signed(self) -> None:
    """It is none: the job ends, and no start calls."""
    self.directory.create_started(Started(1, "pod-0", "", "now"))
    outcome = self.give_up()
    assert outcome
    self.assertEqual(self.claim(), outcome)

  def die_at_it(self) -> None:
    """Leaves what a client does that dies before the outcome."""
    full = failing_at(self.store, 1, errors.StoreError("full"), ("create",))
    with self.assertRaises(errors.StoreError):
      directory = JobDirectory(full, JOB_ID)
      endings.give_up(directory, job_spec(), _KEY, "no image", "me")

  def test_a_client_that_died_at_it(self) -> None:
    """The next one ends the job, and says why."""
    self.die_at_it()
    outcome = self.give_up()
    assert outcome
    self.assert_ended(outcome, State.TIMED_OUT)
    self.assertIn("no image", outcome.message)

  def test_a_start_after_a_client_that_died_at_it(self) -> None:
    """It does not call, and ends the job as the client would have."""
    self.die_at_it()
    outcome = self.claim()
    assert isinstance(outcome, Outcome)
    self.assert_ended(outcome, State.TIMED_OUT)
    self.assertEqual(outcome.cause, Cause.PENDING)
    self.assertIn("pending_timeout", outcome.message)
    self.assertEqual((outcome.attempt, outcome.started), (0, None))
    self.assertEqual(self.give_up(), outcome)

  def test_at_once(self) -> None:
    """Whoever is first: a start calls and the job goes on, or it has ended."""
    for _ in range(20):
      self.setUp()
      with ThreadPoolExecutor(2) as pool:
        started, ended = pool.submit(self.claim), pool.submit(self.give_up)
      if isinstance(started.result(), Started):
        self.assertIsNone(ended.result())
        self.assertIsNone(self.directory.outcome())
      else:
        self.assertIsNotNone(self.directory.outcome())


class ExplainedTest(_JobTest):
  """A start that found no attempt left has told the ending."""

  def setUp(self) -> None:
    super().setUp()
    self.claim(who="pod-1")
    self.asked: list[str] = []

  def explained(self, outcome: Outcome, why: str) -> Outcome:
    def ask(allocation: str) -> str:
      self.asked.append(allocation)
      return why

    return endings.explained(self.directory, outcome, ask)

  def spare(self) -> Outcome:
    outcome = self.claim(who="pod-2")
    assert isinstance(outcome, Outcome)
    return outcome

  def test_why(self) -> None:
    """Who asks first keeps it for those who come when nobody knows it."""
    outcome = self.spare()
    first = self.explained(outcome, "OOMKilled")
    self.assertEndsWith(first.message, ": OOMKilled")
    signing.verify(first, JOB_ID, _KEY)
    self.assertEqual(self.explained(outcome, ""), first)
    self.assertEqual(self.asked, ["pod-1"])

  def test_who_may_only_read(self) -> None:
    """They hear it too, and keep it for nobody."""
    outcome = self.spare()
    read_only = failing_at(self.store, 0, errors.StoreError("read only"))
    directory = JobDirectory(read_only, JOB_ID)
    found = endings.explained(directory, outcome, lambda _: "OOMKilled")
    self.assertIn("OOMKilled", found.message)
    self.assertIsNone(self.directory.death(1))

  def test_nobody_knows(self) -> None:
    """It stays as it is, and is asked for again."""
    outcome = self.spare()
    self.assertEqual(self.explained(outcome, ""), outcome)
    self.assertIn("late", self.explained(outcome, "late").message)

  def test_of_a_group(self) -> None:
    """Each host is asked for: it is told of those of which something is known."""
    self.submit()
    members = ("a/1", "b/2", "c/3")
    self.directory.create_started(_signed(Started(1, "a", "", "now", members)))
    why = {"b": "its pod was evicted", "c": "it is gone"}
    found = endings.explained(
      self.directory, self.spare(), lambda each: why.get(each, "")
    )
    self.assertEndsWith(
      found.message, ": host 1's pod was evicted; host 2 is gone"
    )

  def test_other_endings(self) -> None:
    """Their writers knew why."""
    outcome = self.end()
    self.assertEqual(self.explained(outcome, "OOMKilled"), outcome)
    self.assertEqual(self.asked, [])


if __name__ == "__main__":
  absltest.main()
