"""What a call says of its cost and of its end."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.base import Backend, Wanted
from keras_remote.backend.registry import open_backend
from keras_remote.core import cost
from keras_remote.home import Home
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig
from tests.fakes.specs import job_spec

_GKE, _ELSEWHERE = "gke_my-project_us-central1-a_train", "on-premises"
_DAY = 24 * 60 * 60.0
_ZONE = datetime.timezone(datetime.timedelta(hours=2))
_NOW = datetime.datetime(2026, 1, 2, 14, 5, tzinfo=_ZONE)
_COLUMNS = 80


class CostTest(parameterized.TestCase):
  def backend(self, name: str = "gke", context: str = _GKE) -> Backend:
    folder = self.create_tempdir().full_path
    with environment(KUBECONFIG=kubeconfig(folder, context)):
      wanted = Wanted(context=context)
      return open_backend(name, Home(Path(folder)), wanted)

  def spec(self, timeout: float | None = _DAY, **fields: Any) -> JobSpec:
    spec = job_spec(submitted="2026-01-02T12:05:00.000+00:00")
    return dataclasses.replace(
      spec,
      resources=dataclasses.replace(spec.resources, emulated=False),
      limits=dataclasses.replace(spec.limits, timeout=timeout, **fields),
    )

  def outcome(self, seconds: int, attempt: int = 1) -> Outcome:
    began = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    ended = began + datetime.timedelta(seconds=seconds)
    return Outcome(
      attempt=attempt,
      state=State.SUCCEEDED,
      cause=Cause.RETURNED,
      message="",
      started=began.isoformat(),
      ended=ended.isoformat(),
      writer="",
    )

  def test_the_start(self) -> None:
    """What an hour costs, and by when it stops, on the reader's own clock."""
    self.assertEqual(
      cost.at_start(self.spec(), self.backend(), _NOW),
      [
        "about 9.60 USD an hour (us-central1, March 2026)",
        "stops by 14:05 tomorrow, later only by what it waits to start",
      ],
    )

  def test_several_starts(self) -> None:
    """Each has the whole time, so no end is promised but the first's."""
    spec = self.spec(max_preemptions=10)
    self.assertEqual(
      cost.at_start(spec, self.backend(), _NOW)[1],
      "up to 11 starts of 24 h 00 min, the first until 14:05 tomorrow",
    )

  def test_it_fits_a_terminal(self) -> None:
    """No line is broken where 80 columns are there."""
    for starts in (0, 10):
      spec = self.spec(max_preemptions=starts)
      for line in cost.at_start(spec, self.backend(), _NOW):
        self.assertLessEqual(len(f"keras_remote: {line}"), _COLUMNS)

  @parameterized.parameters(
    (60.0, "14:06 today"),
    (2 * _DAY, "14:05 on 4 January"),
    (400 * _DAY, "14:05 on 6 February 2027"),
  )
  def test_when_it_stops(self, timeout: float, words: str) -> None:
    """In the words that a person would use."""
    said = cost.at_start(self.spec(timeout), self.backend(), _NOW)[1]
    self.assertStartsWith(said, f"stops by {words}, ")

  def test_whoever_comes_later(self) -> None:
    """The time counts from the job's own start, not from theirs."""
    later = _NOW + datetime.timedelta(days=1, hours=-1)
    said = cost.at_start(self.spec(), self.backend(), later)[1]
    self.assertStartsWith(said, "stops by 14:05 today, ")

  def test_here(self) -> None:
    """On this machine nobody pays, and nothing is said."""
    local = self.backend("local")
    self.assertEqual(cost.at_start(self.spec(), local, _NOW), [])
    self.assertEqual(cost.at_end(self.spec(), local, self.outcome(3600)), "")

  @parameterized.parameters(
    (_ELSEWHERE, "v5e-8"), (_GKE, "l4x4"), (_GKE, "cpu"), (_GKE, "v99-8")
  )
  def test_nobody_knows_the_price(self, context: str, name: str) -> None:
    """Then the time alone is said: of other clusters Google has no price."""
    spec = self.spec()
    resources = dataclasses.replace(spec.resources, accelerator=name)
    spec = dataclasses.replace(spec, resources=resources)
    backend = self.backend(context=context)
    said = cost.at_start(spec, backend, _NOW)
    self.assertLen(said, 1)
    self.assertStartsWith(said[0], "stops by")
    self.assertEqual(cost.at_end(spec, backend, self.outcome(3600)), "")

  @parameterized.parameters(None, 1e18, float("inf"), float("nan"))
  def test_no_limit(self, timeout: float | None) -> None:
    """A job of an older keras_remote, or a forged one: no end is made up."""
    said = cost.at_start(self.spec(timeout), self.backend(), _NOW)
    self.assertLen(said, 1)

  @parameterized.parameters(
    (3600, 1, "about 9.60 USD"),
    (600, 1, "about 1.60 USD"),
    (1, 1, "under 0.01 USD"),
    (3600, 3, "about 9.60 USD for its last start"),
  )
  def test_the_end(self, seconds: int, attempt: int, words: str) -> None:
    """What it took; of several starts only the last's time is known."""
    outcome = self.outcome(seconds, attempt)
    self.assertEqual(cost.at_end(self.spec(), self.backend(), outcome), words)

  def test_the_end_of_what_never_began(self) -> None:
    """It has cost nothing that anybody could tell."""
    outcome = dataclasses.replace(self.outcome(0), started=None)
    self.assertEqual(cost.at_end(self.spec(), self.backend(), outcome), "")


if __name__ == "__main__":
  absltest.main()
