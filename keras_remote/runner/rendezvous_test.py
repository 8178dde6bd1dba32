import dataclasses
import threading

from absl.testing import absltest

from keras_remote import errors
from keras_remote.job import endings, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import JobSpec
from keras_remote.runner import heartbeat, rendezvous
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore

_KEY = signing.job_key(b"cluster", JOB_ID)


def _launch(host: int, hosts: int = 3, allocation: str = "mine") -> Launch:
  return Launch(
    store="memory",
    job_id=JOB_ID,
    spec_digest="",
    host=host,
    hosts=hosts,
    key_file="",
    scratch="",
    allocation=allocation,
    leader="10.0.0.1",
    last_words="",
  )


def _spec(startup_timeout: float = 10.0, retries: int = 0) -> JobSpec:
  spec = job_spec(hosts=3)
  limits = dataclasses.replace(
    spec.limits, startup_timeout=startup_timeout, retries=retries
  )
  return dataclasses.replace(spec, limits=limits)


class MeetTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)

  def meet(
    self,
    launch: Launch,
    spec: JobSpec | None = None,
    directory: JobDirectory | None = None,
  ) -> Started | Outcome:
    return rendezvous.meet(
      directory or self.directory, spec or _spec(), launch, _KEY
    )

  def test_host_0_says_where(self) -> None:
    """It claims the attempt, at its own address; the others take part."""
    started = self.meet(_launch(0))
    assert isinstance(started, Started)
    self.assertRegex(started.coordinator, r"^10\.0\.0\.1:\d+$")
    self.assertEqual(self.meet(_launch(1)), started)
    self.assertEqual(self.meet(_launch(2)), started)

  def test_one_host_needs_no_place_to_meet(self) -> None:
    """It only claims."""
    started = self.meet(_launch(0, hosts=1))
    assert isinstance(started, Started)
    self.assertEqual(started.coordinator, "")

  def test_followers_may_come_first(self) -> None:
    """They wait for host 0."""
    found: list[Started | Outcome] = []
    follower = threading.Thread(
      target=lambda: found.append(self.meet(_launch(1)))
    )
    follower.start()
    started = self.meet(_launch(0))
    follower.join()
    self.assertEqual(found, [started])

  def test_the_attempt_of_another_allocation(self) -> None:
    """Followers take part in their own allocation's attempt only."""
    spec = _spec(retries=1)
    self.meet(_launch(0, allocation="earlier"), spec)
    mine = self.meet(_launch(0), spec)
    assert isinstance(mine, Started)
    self.assertEqual(mine.attempt, 2)
    self.assertEqual(self.meet(_launch(1), spec), mine)

  def test_an_earlier_attempt_is_not_joined(self) -> None:
    """Rather than run in a group that is gone they give up in time."""
    self.meet(_launch(0, allocation="earlier"))
    with self.assertRaisesRegex(errors.StoreError, "host 0 did not start"):
      self.meet(_launch(1), _spec(startup_timeout=0.05))

  def test_a_job_that_has_ended(self) -> None:
    """Nobody starts, and everybody knows how it ended."""
    ended = endings.cancel(self.directory, _spec(), _KEY, "me")
    for host in range(3):
      self.assertEqual(self.meet(_launch(host)), ended)

  def test_a_store_that_is_away_for_a_while(self) -> None:
    """A follower looks again."""
    started = self.meet(_launch(0))
    left = 2

    def fail(method: str, key: str) -> None:
      nonlocal left
      left -= 1
      if left >= 0:
        raise errors.StoreError("away")

    flaky = JobDirectory(WatchedStore(self.store, fail), JOB_ID)
    self.assertEqual(self.meet(_launch(1), directory=flaky), started)

  def test_a_store_that_stays_away(self) -> None:
    """Its own error is told, not that host 0 did not come."""

    def fail(method: str, key: str) -> None:
      raise errors.StoreError("away")

    broken = JobDirectory(WatchedStore(self.store, fail), JOB_ID)
    with self.assertRaisesRegex(errors.StoreError, "away"):
      self.meet(_launch(1), _spec(startup_timeout=0.05), broken)


class GroupTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.directory = JobDirectory(MemoryStore(), JOB_ID)
    self.group = rendezvous.Group(self.directory, 1, 3, _KEY, patience=0.0)

  def report(
    self,
    host: int,
    cause: Cause = Cause.RETURNED,
    *,
    collective: bool = False,
    seconds: float = 1.0,
  ) -> HostReport:
    report = signing.sign(
      HostReport(1, host, cause, "", collective=collective, seconds=seconds),
      JOB_ID,
      _KEY,
    )
    self.directory.create_host_report(report)
    return report

  def test_all_have_returned(self) -> None:
    """Not before the last has; then the report is host 0's."""
    first = self.report(0)
    self.report(2)
    self.assertIsNone(self.group.verdict())
    self.report(1)
    self.assertEqual(self.group.verdict(), first)

  def test_one_failure_is_enough(self) -> None:
    """The others are not waited for."""
    self.report(0)
    failure = self.report(2, Cause.EXCEPTION)
    self.assertEqual(self.group.verdict(), failure)

  def test_the_cause_comes_before_its_echoes(self) -> None:
    """Whatever the clocks of the hosts say."""
    self.report(0, Cause.EXCEPTION, collective=True, seconds=1)
    cause = self.report(2, Cause.SIGNAL, seconds=9)
    self.assertEqual(self.group.verdict(), cause)

  def test_the_first_of_two_causes(self) -> None:
    """The earlier one counts."""
    self.report(0, Cause.EXCEPTION, seconds=2)
    first = self.report(1, Cause.EXCEPTION, seconds=1)
    self.assertEqual(self.group.verdict(), first)

  def test_a_cause_that_is_reported_after_its_echo(self) -> None:
    """It has its time to arrive."""
    patient = rendezvous.Group(self.directory, 1, 3, _KEY, patience=0.1)
    self.report(0, Cause.EXCEPTION, collective=True)
    late = threading.Timer(0.01, self.report, (1, Cause.EXCEPTION))
    late.start()
    verdict = patient.verdict()
    late.join()
    assert verdict
    self.assertEqual((verdict.host, verdict.collective), (1, False))

  def test_an_echo_alone(self) -> None:
    """It is told in the end: nothing else says why."""
    echo = self.report(1, Cause.EXCEPTION, collective=True)
    self.assertEqual(self.group.verdict(), echo)

  def test_a_forged_report(self) -> None:
    """It is refused and fails the job: nothing of it is used."""
    forged = HostReport(
      1, 1, Cause.RETURNED, "trust me", result="0" * 64, signature="0" * 64
    )
    self.directory.create_host_report(forged)
    verdict = self.group.verdict()
    assert verdict
    self.assertEqual(verdict.cause, Cause.SETUP)
    self.assertIn("IntegrityError", verdict.exception_type)
    self.assertIn("not signed", verdict.message)
    self.assertIsNone(verdict.result)

  def test_who_has_saved(self) -> None:
    """Who has reported; but one that is told to stop, when it has stored."""
    self.report(1, Cause.TIMEOUT)
    self.assertFalse(self.group.have_saved())
    self.report(2, Cause.STOPPED)
    self.assertFalse(self.group.have_saved())
    self.directory.write_heartbeat(1, 2, heartbeat.LAST)
    self.assertTrue(self.group.have_saved())

  def test_who_has_stored(self) -> None:
    """All hosts but host 0 have had their last beat."""
    self.directory.write_heartbeat(1, 1, heartbeat.LAST)
    self.directory.write_heartbeat(1, 2, 7)
    self.assertFalse(self.group.have_stored())
    self.directory.write_heartbeat(1, 2, heartbeat.LAST)
    self.assertTrue(self.group.have_stored())

  def test_a_store_that_fails_says_nothing_of_who_has(self) -> None:
    """The next look may go better."""

    def fail(method: str, key: str) -> None:
      raise errors.StoreError("away")

    away = JobDirectory(WatchedStore(MemoryStore(), fail), JOB_ID)
    group = rendezvous.Group(away, 1, 3, _KEY)
    self.assertFalse(group.have_saved() or group.have_stored())

  def test_a_report_in_anothers_place(self) -> None:
    """A genuine one of another host or attempt does not count."""
    own = self.report(0)
    self.report(1)
    for other in (own, dataclasses.replace(own, attempt=2, host=2)):
      signed = signing.sign(other, JOB_ID, _KEY)
      store = self.directory.store
      source = f"jobs/{JOB_ID}/attempts/{signed.attempt}/hosts/{signed.host}"
      self.directory.create_host_report(signed)
      store.write(
        f"jobs/{JOB_ID}/attempts/1/hosts/2.json", store.read(f"{source}.json")
      )
      group = rendezvous.Group(self.directory, 1, 3, _KEY, patience=0.0)
      verdict = group.verdict()
      assert verdict
      self.assertIn("another one's", verdict.message)


if __name__ == "__main__":
  absltest.main()
