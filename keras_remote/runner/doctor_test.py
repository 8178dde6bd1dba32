import dataclasses
from collections.abc import Mapping
from pathlib import Path

from absl.testing import absltest

from keras_remote.job.directory import JobDirectory
from keras_remote.job.doing import At, Doing, Hang
from keras_remote.runner import heartbeat, sampling
from keras_remote.runner.doctor import Deputy, Judge, Mirror, Patient
from tests.fakes.memory_store import MemoryStore
from tests.fakes.specs import JOB_ID
from tests.fakes.watched_store import WatchedStore

_SECONDS = 3.0
_RUNS = Doing(At.RUNS, "train.py:12", "step", 30, 30)
_WAITS = Doing(At.WAITS, "train.py:20", "step", 30, 30)


class _Clock:
  def __init__(self) -> None:
    self.time = 1000.0

  def now(self) -> float:
    return self.time


class MirrorTest(absltest.TestCase):
  """Each look comes seconds after the one before, as a host's do."""

  def setUp(self) -> None:
    super().setUp()
    self.writes = 0
    store = WatchedStore(MemoryStore(), self._watch)
    self.directory = JobDirectory(store, JOB_ID)
    self.clock = _Clock()
    self.path = Path(self.create_tempdir().full_path) / "doing"
    self.mirror = Mirror(self.directory, 1, 2, self.path, self.clock.now)
    self.count = 0

  def _watch(self, method: str, key: str) -> None:
    self.writes += method == "write"

  def says(self, doing: Doing) -> Doing | None:
    """What the store has, after the worker's next sample."""
    self.count += 1
    sampling.say(str(self.path), dataclasses.replace(doing, count=self.count))
    return self.passes(_SECONDS)

  def passes(self, seconds: float) -> Doing | None:
    """What the store has, after some time."""
    self.clock.time += seconds
    self.mirror.look()
    told = self.directory.doing(1, 2)
    return told and dataclasses.replace(told, count=0)

  def test_what_lasts(self) -> None:
    """It is told once, with its time; what it goes on with is not."""
    self.assertIsNone(self.passes(_SECONDS))
    self.assertEqual(self.says(_RUNS), _RUNS)
    for more in range(1, 20):
      seconds = _RUNS.seconds + _SECONDS * more
      self.says(dataclasses.replace(_RUNS, seconds=seconds))
    self.assertEqual(self.writes, 1)

  def test_another_place(self) -> None:
    """It is told, after a few seconds at the soonest."""
    self.says(_RUNS)
    moved = dataclasses.replace(_RUNS, place="train.py:13", seconds=33)
    self.assertEqual(self.says(moved), _RUNS)
    self.assertEqual(self.says(moved), moved)

  def test_short_waits(self) -> None:
    """A loop that waits for each of its steps is told once."""
    self.says(_RUNS)
    for _ in range(10):
      self.says(dataclasses.replace(_WAITS, seconds=2))
      self.says(dataclasses.replace(_RUNS, seconds=2))
    self.assertEqual(self.writes, 1)

  def test_a_wait_that_is_over(self) -> None:
    """It is told as soon as may be: nobody must take it for a hang."""
    self.says(_WAITS)
    runs = dataclasses.replace(_RUNS, seconds=0)
    self.says(runs)
    self.assertEqual(self.says(runs), runs)

  def test_a_wait_that_begins_anew(self) -> None:
    """At the same place, its time counts from its own begin."""
    self.says(_WAITS)
    self.says(dataclasses.replace(_WAITS, seconds=33))
    anew = dataclasses.replace(_WAITS, seconds=5)
    self.assertEqual(self.says(anew), anew)

  def test_a_sampler_that_says_nothing_more(self) -> None:
    """Something keeps it from its turn, since when it last was heard."""
    self.says(_RUNS)
    self.assertEqual(self.passes(9), _RUNS)
    held = dataclasses.replace(_RUNS, at=At.HELD, seconds=10, still=10)
    self.assertEqual(self.passes(1), held)
    self.passes(60)
    self.assertEqual(self.writes, 2)
    self.assertEqual(self.says(_RUNS), _RUNS)

  def test_a_function_that_has_returned(self) -> None:
    """It is told that it has, and for how long."""
    self.says(_RUNS)
    self.says(Doing(At.RETURNED))
    self.assertEqual(self.passes(60), Doing(At.RETURNED, seconds=60, still=60))
    self.passes(60)
    self.assertEqual(self.writes, 2)


class JudgeTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.store = MemoryStore()
    self.directory = JobDirectory(self.store, JOB_ID)
    self.clock = _Clock()
    self.notes: list[str] = []
    self.beats = 0
    self.judge = Judge(self.directory, 1, 3, self.notes.append, self.clock.now)

  def after(
    self, seconds: float, doings: Mapping[int, Doing], dead: int | None = None
  ) -> Hang | None:
    """What is stored, when hosts have said what they are at."""
    for host, doing in doings.items():
      self.directory.write_doing(1, host, doing)
    for _ in range(round(seconds / _SECONDS)):
      self.clock.time += _SECONDS
      self.beats += 1
      for host in {1, 2} - {dead}:
        self.directory.write_heartbeat(1, host, self.beats)
      self.judge.look()
    return self.directory.hang(1)

  def test_a_host_that_holds_up_the_others(self) -> None:
    """Times count on by this clock; it is said here too, and when it is over.

    A host's own clock may be any.
    """
    short = dataclasses.replace(_WAITS, seconds=4)
    began = {0: short, 1: dataclasses.replace(_RUNS, seconds=4), 2: short}
    self.assertIsNone(self.after(3, began))
    hang = self.after(9, {})
    assert hang
    self.assertEqual(hang.hosts, (1,))
    self.assertStartsWith(hang.sentence, "hosts 0 and 2 have waited")
    self.assertEqual(self.notes, [hang.sentence])
    over = self.after(3, {0: _RUNS, 2: _RUNS})
    self.assertEqual(over, Hang(""))
    self.assertLen(self.notes, 2)

  def test_a_hang_that_lasts(self) -> None:
    """It is stored and said anew only when that says more."""
    self.after(3, {0: _WAITS, 1: _RUNS, 2: _WAITS})
    self.after(3600, {})
    self.assertLen(self.notes, 7)
    self.assertIn("for more than 1 h", self.notes[-1])

  def test_a_silent_host(self) -> None:
    """It is named when its heart has been silent for SILENCE seconds."""
    self.assertIsNone(self.after(30, {}, dead=2))
    hang = self.after(9, {}, dead=2)
    assert hang
    self.assertEqual(hang.hosts, (2,))
    self.assertIn("host 2 has not been heard of", hang.sentence)
    self.assertEqual(self.after(3, {}), Hang(""))

  def test_a_host_that_has_stored_all(self) -> None:
    """Its heart does not beat any more, and it holds up nobody."""
    self.after(3, {})
    self.directory.write_heartbeat(1, 2, heartbeat.LAST)
    self.assertIsNone(self.after(90, {}, dead=2))

  def test_a_group_that_goes_on(self) -> None:
    """Nothing is stored of it, nor said."""
    self.assertIsNone(self.after(600, {0: _RUNS, 1: _RUNS, 2: _RUNS}))
    self.assertEmpty(self.notes)

  def test_what_a_deputy_has_said(self) -> None:
    """It holds until host 0 judges again, though that has not changed."""
    hang = self.after(15, {0: _WAITS, 1: _RUNS, 2: _WAITS})
    self.directory.write_hang(1, Hang("host 0 is silent", (0,)))
    self.assertEqual(self.after(3, {}), hang)
    self.assertLen(self.notes, 1)


class DeputyTest(absltest.TestCase):
  """Host 0 judges nobody any more: its heart does not beat."""

  def setUp(self) -> None:
    super().setUp()
    self.writes = 0
    store = WatchedStore(MemoryStore(), self._watch)
    self.directory = JobDirectory(store, JOB_ID)
    self.clock = _Clock()
    self.deputies = [
      Deputy(self.directory, 1, host, self.clock.now) for host in (2, 1)
    ]
    self.beats = 0

  def _watch(self, method: str, key: str) -> None:
    self.writes += method == "write" and key.endswith("hang.json")

  def after(self, seconds: float, *, beats: bool = False) -> Hang | None:
    for _ in range(round(seconds / _SECONDS)):
      self.clock.time += _SECONDS
      if beats:
        self.beats += 1
        self.directory.write_heartbeat(1, 0, self.beats)
      for deputy in self.deputies:
        deputy.look()
    return self.directory.hang(1)

  def test_a_host_0_that_is_silent(self) -> None:
    """It is named when it has been for SILENCE seconds, by one of them."""
    self.assertIsNone(self.after(90, beats=True))
    self.assertIsNone(self.after(30))
    hang = self.after(6)
    assert hang
    self.assertEqual(hang.hosts, (0,))
    self.assertStartsWith(hang.sentence, "host 0 has not been heard of for")
    self.after(90)
    self.assertEqual(self.writes, 1)

  def test_a_deputy_that_is_gone(self) -> None:
    """The next one tells."""
    self.deputies.pop()
    self.after(42)
    self.assertEqual(self.writes, 1)

  def test_a_host_0_that_is_back(self) -> None:
    """What it says itself stands."""
    self.after(42)
    self.directory.write_hang(1, Hang(""))
    self.assertEqual(self.after(42, beats=True), Hang(""))

  def test_a_host_0_that_has_stored_all(self) -> None:
    """It is through, and not silent."""
    self.directory.write_heartbeat(1, 0, heartbeat.LAST)
    self.assertIsNone(self.after(90))


class PatientTest(absltest.TestCase):
  def test_stacks(self) -> None:
    """They are written once a hang, when this host is named."""
    directory = JobDirectory(MemoryStore(), JOB_ID)
    dumps: list[int] = []
    patient = Patient(directory, 1, 2, lambda: dumps.append(1))
    seen = []
    for hosts in (None, (1,), (1, 2), (2,), (), (2,)):
      if hosts is not None:
        directory.write_hang(1, Hang("it hangs", hosts))
      patient.look()
      seen.append(len(dumps))
    self.assertEqual(seen, [0, 0, 1, 1, 1, 2])


if __name__ == "__main__":
  absltest.main()
