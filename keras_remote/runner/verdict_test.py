import dataclasses

from absl.testing import absltest

from keras_remote import errors
from keras_remote.job import signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, HostReport
from keras_remote.runner import heartbeat, verdict
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore

_KEY = signing.job_key(b"cluster", JOB_ID)
_PATIENCE = 1.0


class ReportsTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.directory = JobDirectory(MemoryStore(), JOB_ID)
    self.now = 0.0
    self.group = self.reports()

  def reports(
    self, directory: JobDirectory | None = None, *, judges: bool = True
  ) -> verdict.Reports:
    return verdict.Reports(
      directory or self.directory,
      1,
      3,
      _KEY,
      judges=judges,
      patience=_PATIENCE,
      now=lambda: self.now,
    )

  def verdict_after(self, seconds: float) -> HostReport | None:
    self.now += seconds
    return self.group.verdict()

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
    self.report(0, Cause.EXCEPTION, collective=True)
    self.assertIsNone(self.group.verdict())
    cause = self.report(1, Cause.EXCEPTION)
    self.assertEqual(self.group.verdict(), cause)
    self.assertEqual(self.group.echoes(cause), [0])

  def test_echoes_alone(self) -> None:
    """One is told in the end: nothing else says why."""
    first = self.report(1, Cause.EXCEPTION, collective=True, seconds=1)
    for host in (0, 2):
      self.report(host, Cause.EXCEPTION, collective=True, seconds=2)
    self.assertIsNone(self.group.verdict())
    self.assertEqual(self.verdict_after(_PATIENCE), first)

  def test_an_echo_while_others_live(self) -> None:
    """It is told when they were heard since: then none of them is the cause."""
    echo = self.report(1, Cause.EXCEPTION, collective=True)
    for host in (0, 2):
      self.directory.write_heartbeat(1, host, 7)
    self.assertIsNone(self.group.verdict())
    self.assertIsNone(self.verdict_after(_PATIENCE))
    self.directory.write_heartbeat(1, 0, 8)
    self.assertIsNone(self.group.verdict())
    self.directory.write_heartbeat(1, 2, 8)
    self.assertEqual(self.group.verdict(), echo)

  def test_an_echo_of_a_host_that_is_gone(self) -> None:
    """It was not heard since, so it is what is lost; host 0 says so."""
    self.report(1, Cause.EXCEPTION, collective=True)
    self.directory.write_heartbeat(1, 0, 7)
    self.directory.write_heartbeat(1, 2, 7)
    other = self.reports(judges=False)
    for reports in (self.group, other):
      self.assertIsNone(reports.verdict())
    self.now += _PATIENCE
    self.assertIsNone(self.group.verdict())
    self.directory.write_heartbeat(1, 0, 8)
    self.now += heartbeat.SILENCE
    verdict = self.group.verdict()
    assert verdict
    signing.verify(verdict, JOB_ID, _KEY)
    self.assertEqual((verdict.host, verdict.cause), (2, Cause.LOST))
    self.assertIsNone(other.verdict())

  def test_an_echo_of_a_host_that_had_returned(self) -> None:
    """It has waited for the others when its machine was taken away."""
    self.report(2)
    self.report(1, Cause.EXCEPTION, collective=True)
    self.directory.write_heartbeat(1, 2, 7)
    self.assertIsNone(self.group.verdict())
    self.assertIsNone(self.verdict_after(_PATIENCE))
    verdict = self.verdict_after(heartbeat.SILENCE)
    assert verdict
    self.assertEqual((verdict.host, verdict.cause), (2, Cause.LOST))

  def test_an_echo_of_one_that_is_through(self) -> None:
    """Who has had its last beat was not torn away."""
    self.report(2)
    echo = self.report(1, Cause.EXCEPTION, collective=True)
    self.directory.write_heartbeat(1, 2, heartbeat.LAST)
    self.assertIsNone(self.group.verdict())
    self.assertEqual(self.verdict_after(_PATIENCE), echo)

  def test_who_may_not_list(self) -> None:
    """Each report is read then."""

    def fail(method: str, key: str) -> None:
      if method == "list":
        raise errors.StoreAccessError("storage.objects.list")

    store = WatchedStore(self.directory.store, fail)
    failure = self.report(2, Cause.EXCEPTION)
    group = self.reports(JobDirectory(store, JOB_ID))
    self.assertEqual(group.verdict(), failure)

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
    group = self.reports(away)
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
      verdict = self.reports().verdict()
      assert verdict
      self.assertIn("another one's", verdict.message)


if __name__ == "__main__":
  absltest.main()
