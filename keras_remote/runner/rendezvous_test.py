import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import endings, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import (
  Cause,
  HostReport,
  Outcome,
  Present,
  Started,
)
from keras_remote.job.spec import JobSpec
from keras_remote.runner.rendezvous import Rendezvous, address
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore

_KEY = signing.job_key(b"cluster", JOB_ID)
_SECONDS = 30

Met = Started | Outcome | HostReport


def _launch(
  host: int, hosts: int = 3, pod: str = "pod", *, stays: bool = False
) -> Launch:
  return Launch(
    store="memory",
    job_id=JOB_ID,
    spec_digest="",
    host=host,
    hosts=hosts,
    key_file="",
    scratch="",
    allocation=f"{pod}-{host}",
    leader="10.0.0.1",
    last_words="",
    stays=stays,
  )


def _spec(startup_timeout: float = 30.0, retries: int = 0) -> JobSpec:
  spec = job_spec(hosts=3)
  limits = dataclasses.replace(
    spec.limits, startup_timeout=startup_timeout, retries=retries
  )
  return dataclasses.replace(spec, limits=limits)


class _MeetingTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)
    self.pool = self.enter_context(ThreadPoolExecutor(8))

  def host(
    self, host: int, pod: str = "pod", *, stays: bool = False, hosts: int = 3
  ) -> Rendezvous:
    """A new first process of this host."""
    launch = _launch(host, hosts, pod, stays=stays)
    return Rendezvous(self.directory, launch, _KEY)

  def meet(self, *hosts: Rendezvous, spec: JobSpec | None = None) -> list[Met]:
    """What each of them hears, which come side by side."""
    return [f.result(_SECONDS) for f in self.come(*hosts, spec=spec)]

  def come(
    self, *hosts: Rendezvous, spec: JobSpec | None = None
  ) -> list[Future[Met]]:
    return [self.pool.submit(host.meet, spec or _spec()) for host in hosts]

  def group(self, pod: str, spec: JobSpec | None = None) -> Started:
    """The attempt of a whole group that is started anew."""
    hosts = [self.host(host, pod) for host in range(3)]
    started, *others = self.meet(*hosts, spec=spec)
    assert isinstance(started, Started)
    self.assertEqual(others, [started, started])
    return started

  def say(self, present: Present, key: bytes = _KEY) -> None:
    self.directory.write_present(signing.sign(present, JOB_ID, key))

  def wait_present(self, host: int, pod: str) -> None:
    """Returns once a process of that pod has answered."""
    deadline = time.monotonic() + _SECONDS
    while not self._is_present(host, pod):
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.01)

  def _is_present(self, host: int, pod: str) -> bool:
    present = self.directory.present(host)
    return present is not None and present.token.startswith(f"{pod}-{host}/")


class MeetTest(_MeetingTest):
  def test_all_come(self) -> None:
    """Host 0 claims the attempt at its address, and names all of them."""
    started = self.group("pod")
    self.assertRegex(started.coordinator, r"^10\.0\.0\.1:\d+$")
    self.assertEqual(
      [member.partition("/")[0] for member in started.members],
      ["pod-0", "pod-1", "pod-2"],
    )

  def test_one_host(self) -> None:
    """It only claims: nothing else is read or written."""
    calls: list[tuple[str, str]] = []
    store = WatchedStore(
      self.store, lambda *call: calls.append((call[0], call[1]))
    )
    launch = _launch(0, hosts=1)
    directory = JobDirectory(store, JOB_ID)
    started = Rendezvous(directory, launch, _KEY).meet(_spec())
    assert isinstance(started, Started)
    self.assertEqual((started.coordinator, started.members), ("", ()))
    self.assertEqual(
      [(method, key.partition(f"{JOB_ID}/")[2]) for method, key in calls],
      [
        ("read", "outcome.json"),
        ("read", "attempts/1/started.json"),
        ("create", "attempts/1/started.json"),
      ],
    )

  def test_host_0_comes_last(self) -> None:
    """The others wait for it; it waits for nobody who is there."""
    others = self.come(self.host(1), self.host(2))
    (started,) = self.meet(self.host(0))
    self.assertEqual([f.result(_SECONDS) for f in others], [started, started])

  def test_a_new_group(self) -> None:
    """It takes part in an attempt of its own, whatever the last one left."""
    spec = _spec(retries=1)
    self.assertEqual(self.group("first", spec).attempt, 1)
    second = self.group("second", spec)
    self.assertEqual(second.attempt, 2)
    self.assertIn("second-2/", second.members[2])

  def test_host_0_is_started_again_before_it_claims(self) -> None:
    """The others answer its new process too."""
    self.say(Present(0, "pod-0/dead"))
    others = self.come(self.host(1), self.host(2))
    self.wait_present(1, "pod")
    self.wait_present(2, "pod")
    (started,) = self.meet(self.host(0))
    self.assertEqual([f.result(_SECONDS) for f in others], [started, started])

  def test_an_answer_to_an_earlier_host_0(self) -> None:
    """It does not count: that process may be gone."""
    for host in (1, 2):
      self.say(Present(host, f"pod-{host}/old", "pod-0/old"))
    with self.assertRaisesRegex(
      errors.StartupError, r"^host 1 and host 2 did not come within 0\.05 s"
    ):
      self.host(0).meet(_spec(startup_timeout=0.05))

  def test_who_did_not_come(self) -> None:
    """Host 0 names them, and no attempt was claimed."""
    (other,) = self.come(self.host(1), spec=_spec(0.5))
    with self.assertRaisesRegex(
      errors.StartupError, f"^host 2 did not come .*jobs logs {JOB_ID}"
    ):
      self.host(0).meet(_spec(0.5))
    self.assertEmpty(self.directory.attempts())
    endings.cancel(self.directory, _spec(), _KEY, "me")
    self.assertIsInstance(other.result(_SECONDS), Outcome)

  def test_a_group_that_is_started_anew(self) -> None:
    """It waits for its machines as long as it takes."""
    spec = _spec(0.05, retries=1)
    self.group("first", _spec(retries=1))
    begun = [self.host(host, "second", stays=True) for host in range(2)]
    waiting = self.come(*begun, spec=spec)
    self.wait_present(1, "second")
    time.sleep(1)
    self.assertFalse(any(each.done() for each in waiting))
    (last,) = self.meet(self.host(2, "second", stays=True), spec=spec)
    self.assertEqual([f.result(_SECONDS) for f in waiting], [last, last])

  def test_an_answer_of_a_process_that_is_gone(self) -> None:
    """Who came in its place is taken, if it has answered by the claim."""
    leader = self.host(0)
    (waiting,) = self.come(leader)
    self.wait_present(0, "pod")
    token = (self.directory.present(0) or Present(0, "")).token
    self.say(Present(1, "pod-1/dead", token))
    time.sleep(0.6)  # Host 0 has seen that answer.
    self.say(Present(1, "pod-1/new", token))
    self.say(Present(2, "pod-2/new", token))
    started = waiting.result(_SECONDS)
    assert isinstance(started, Started)
    self.assertEqual(started.members[1:], ("pod-1/new", "pod-2/new"))

  def test_a_claim_of_an_earlier_host_0(self) -> None:
    """Who has answered another one since does not join it."""
    spec = _spec(retries=1)
    self.say(Present(0, "old-0/dead"))
    others = self.come(self.host(1), self.host(2), spec=spec)
    tokens = ["old-0/dead"]
    for host in (1, 2):
      self.wait_present(host, "pod")
      tokens.append((self.directory.present(host) or Present(0, "")).token)
    self.say(Present(0, "pod-0/new"))
    for host in (1, 2):
      while (self.directory.present(host) or Present(0, "")).answers != (
        "pod-0/new"
      ):
        time.sleep(0.01)
    for leader in tokens[0], "pod-0/new":
      endings.claim(
        self.directory,
        spec,
        _KEY,
        allocation="pod-0",
        members=(leader, *tokens[1:]),
      )
    second = self.directory.started(2)
    self.assertEqual([f.result(_SECONDS) for f in others], [second, second])

  def test_forged_records(self) -> None:
    """A claim or a presence that the job did not sign is none."""
    self.say(Present(0, "pod-0/forged"), b"forged")
    (waiting,) = self.come(self.host(1), spec=_spec(1.0))
    with self.assertRaisesRegex(errors.StartupError, "^host 0 did not come"):
      waiting.result(_SECONDS)
    self.assertIsNone(self.directory.present(1))

  def test_a_forged_claim(self) -> None:
    """Nobody goes to the address that it names."""
    self.say(Present(0, "pod-0/true"))
    (waiting,) = self.come(self.host(1), spec=_spec(30.0, retries=1))
    self.wait_present(1, "pod")
    token = (self.directory.present(1) or Present(0, "")).token
    members = ("pod-0/true", token, "pod-2/x")
    forged = Started(1, "pod-0", "6.6.6.6:1", "now", members)
    self.directory.create_started(signing.sign(forged, JOB_ID, b"forged"))
    time.sleep(0.6)
    self.assertFalse(waiting.done())
    endings.cancel(self.directory, _spec(), _KEY, "me")
    self.assertIsInstance(waiting.result(_SECONDS), Outcome)

  def test_the_claim_after_a_forged_one(self) -> None:
    """The group meets in the next, as if the other was not there."""
    forged = Started(1, "pod-0", "6.6.6.6:1", "now", ("pod-0/x",) * 3)
    self.directory.create_started(signing.sign(forged, JOB_ID, b"forged"))
    self.assertEqual(self.group("pod").attempt, 2)

  def test_a_store_that_is_away_at_the_start(self) -> None:
    """Who comes then looks again, too."""
    with self.failing(lambda key: layout.OUTCOME in key, 3):
      hosts = [self.host(each) for each in range(3)]
      self.assertLen(set(self.meet(*hosts)), 1)

  def test_addresses(self) -> None:
    """One of IPv6 stands in brackets, as JAX wants it."""
    self.assertRegex(address("10.0.0.1"), r"^10\.0\.0\.1:\d+$")
    self.assertRegex(address("fd00::1"), r"^\[fd00::1\]:\d+$")

  def test_host_0_did_not_come(self) -> None:
    """The others say so, each for itself."""
    with self.assertRaisesRegex(errors.StartupError, "^host 0 did not come"):
      self.host(1).meet(_spec(0.05))

  def test_what_is_in_the_way(self) -> None:
    """Host 0 says so before it claims."""

    def refuse() -> None:
      raise errors.ClusterAccessError("it may not")

    others = self.come(self.host(1), self.host(2))
    with self.assertRaisesRegex(errors.ClusterAccessError, "it may not"):
      self.host(0).meet(_spec(), refuse)
    self.assertEmpty(self.directory.attempts())
    ended = endings.cancel(self.directory, _spec(), _KEY, "me")
    self.assertEqual([f.result(_SECONDS) for f in others], [ended, ended])

  @parameterized.parameters(0, 1, 2)
  def test_a_job_that_has_ended(self, host: int) -> None:
    """Nobody waits, and everybody knows how it ended."""
    ended = endings.cancel(self.directory, _spec(), _KEY, "me")
    self.assertEqual(self.meet(self.host(host)), [ended])

  @parameterized.parameters(0, 1)
  def test_a_job_that_ends_meanwhile(self, host: int) -> None:
    """Who waits for others hears of it."""
    (waiting,) = self.come(self.host(host))
    ended = endings.cancel(self.directory, _spec(), _KEY, "me")
    self.assertEqual(waiting.result(_SECONDS), ended)

  def test_no_attempt_left(self) -> None:
    """Host 0 ends the job without waiting for anybody; the others hear it."""
    self.group("first")
    others = self.come(self.host(1, "second"), self.host(2, "second"))
    (ended,) = self.meet(self.host(0, "second"))
    assert isinstance(ended, Outcome)
    self.assertEqual(ended.cause, Cause.ATTEMPTS)
    self.assertEqual([f.result(_SECONDS) for f in others], [ended, ended])

  @parameterized.parameters(0, 1)
  def test_a_store_that_is_away_for_a_while(self, host: int) -> None:
    """Who waits looks again."""
    with self.failing(lambda key: "present/" in key, 3):
      hosts = [self.host(each) for each in range(3)]
      self.assertLen(set(self.meet(*hosts)), 1)

  def test_a_store_that_stays_away(self) -> None:
    """Its own error is told, not that host 0 did not come."""
    with (
      self.failing(lambda key: layout.present(0) in key, 1_000_000),
      self.assertRaisesRegex(errors.StoreError, "away"),
    ):
      self.host(1).meet(_spec(0.05))

  def test_how_often_a_store_is_asked(self) -> None:
    """Some times a second, once it has been waited for a while."""
    reads: list[str] = []
    store = WatchedStore(self.store, lambda method, key: reads.append(key))
    directory = JobDirectory(store, JOB_ID)
    began = time.monotonic()
    with self.assertRaises(errors.StartupError):
      Rendezvous(directory, _launch(1), _KEY).meet(_spec(4.0))
    # At first quickly: so an average of more than what follows.
    self.assertLess(len(reads) / (time.monotonic() - began), 12)

  @contextlib.contextmanager
  def failing(self, at: Callable[[str], bool], times: int) -> Iterator[None]:
    """Reads of such keys fail, so often."""
    left, whole = times, self.directory

    def fail(method: str, key: str) -> None:
      nonlocal left
      if method == "read" and at(key) and left > 0:
        left -= 1
        raise errors.StoreError("away")

    self.directory = JobDirectory(WatchedStore(self.store, fail), JOB_ID)
    yield
    self.directory = whole
    self.assertNotEqual(left, times)


class LossTest(_MeetingTest):
  """A host of a running attempt is started again."""

  def report(self, host: int) -> HostReport:
    report = self.directory.host_report(1, host)
    assert report
    signing.verify(report, JOB_ID, _KEY)
    return report

  @parameterized.product(host=(0, 1), stays=(False, True))
  def test_in_place(self, host: int, stays: bool) -> None:
    """It reports what has become of it, and does not join."""
    self.group("pod", _spec(retries=1))
    again = self.host(host, stays=stays)
    if host == 0 and not stays:  # Nobody starts the group anew but it.
      with self.assertRaisesRegex(errors.StartupError, "host 1 and host 2"):
        again.meet(_spec(0.05, retries=1))
    else:
      (met,) = self.meet(again, spec=_spec(retries=1))
      self.assertEqual(met, self.report(host))
    self.assertEqual(self.report(host).cause, Cause.LOST)
    self.assertIn("another came in its place", self.report(host).message)
    self.assertEqual(self.directory.attempts(), [1])

  def test_what_it_said_itself_stands(self) -> None:
    """Who was told to stop, and is then started again, was told to stop."""
    self.group("pod")
    stopped = signing.sign(
      HostReport(1, 1, Cause.STOPPED, "told"), JOB_ID, _KEY
    )
    self.directory.create_host_report(stopped)
    self.meet(self.host(1, stays=True))
    self.assertEqual(self.report(1), stopped)

  @parameterized.parameters(False, True)
  def test_host_0_when_no_attempt_is_left(self, stays: bool) -> None:
    """It ends the job, and says why."""
    self.group("pod")
    (ended,) = self.meet(self.host(0, stays=stays))
    assert isinstance(ended, Outcome)
    self.assertEqual(ended.cause, Cause.ATTEMPTS)
    self.assertIn("host 0's first process is gone", ended.message)

  def test_between_its_answer_and_the_claim(self) -> None:
    """The attempt has lost it from the start, and it says so."""
    waiting = self.come(self.host(0), self.host(1))
    self.wait_present(1, "pod")
    time.sleep(0.6)  # Host 0 has seen that answer.
    again = self.come(self.host(1, stays=True))
    self.wait_present(1, "pod")
    self.meet(self.host(2))
    started, _ = (f.result(_SECONDS) for f in waiting)
    assert isinstance(started, Started)
    (met,) = (f.result(_SECONDS) for f in again)
    if met != started:  # It came before host 0 had looked again.
      self.assertEqual(met, self.report(1))

  def test_another_machine_in_its_place(self) -> None:
    """Where the group goes on without it, that is told."""
    self.group("pod", _spec(retries=1))
    over = threading.Event()

    def beat() -> None:
      count = 0
      while not over.wait(0.05):
        count += 1
        self.directory.write_heartbeat(1, 0, count)

    beating = self.pool.submit(beat)
    try:
      (met,) = self.meet(self.host(1, "other"), spec=_spec(retries=1))
    finally:
      over.set()
      beating.result(_SECONDS)
    self.assertEqual(met, self.report(1))

  def test_which_attempt_it_has_joined(self) -> None:
    """As far as it was claimed: whoever is told to stop meanwhile knows it."""
    hosts = [self.host(host) for host in range(3)]
    self.assertIsNone(hosts[1].joined())
    started, *_ = self.meet(*hosts)
    for host in hosts:
      self.assertEqual(host.joined(), started)
    self.assertIsNone(self.host(1).joined())

  def test_a_single_host_that_stays(self) -> None:
    """It, too, is not the one that was called."""
    spec = _spec(retries=1)
    (started,) = self.meet(self.host(0, hosts=1, stays=True), spec=spec)
    assert isinstance(started, Started)
    self.assertEqual(started.coordinator, "")
    (lost,) = self.meet(self.host(0, hosts=1, stays=True), spec=spec)
    self.assertEqual(lost, self.report(0))
    (second,) = self.meet(self.host(0, "new", hosts=1, stays=True), spec=spec)
    assert isinstance(second, Started)
    self.assertEqual(second.attempt, 2)


if __name__ == "__main__":
  absltest.main()
