import threading
import time
from collections.abc import Callable

import pytest
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.runner.release import Release
from tests.fakes import tls
from tests.fakes.api_server import Request
from tests.fakes.release_case import JOB, JOBS, SECONDS, SETS, ReleaseCase


class ReleaseTest(ReleaseCase):
  def setUp(self) -> None:
    super().setUp()
    for place in (SETS, JOBS):
      self.server.put(place, {"metadata": {"name": "another"}})
    self.said: list[str] = []

  def release(self, known_seconds: float = SECONDS) -> Release:
    return Release(
      self.folder,
      JOB,
      self.said.append,
      environ=self.environ,
      known_seconds=known_seconds,
    )

  def check(
    self, known_seconds: float = SECONDS, patience: float = SECONDS
  ) -> None:
    release = self.release(known_seconds)
    release.ask()
    release.check(patience)

  def refuse(self, fault: Callable[[Request], int | None]) -> None:
    """Has the server refuse what the fault gives a status for."""
    self.server.fault = fault

  def wait(self, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.01)

  def is_gone(self) -> bool:
    return not any(self.server.get(place, JOB) for place in (SETS, JOBS))

  def test_the_right_is_there(self) -> None:
    """It is asked for these two objects alone, as whose token it is."""
    self.check()
    asked = [r.body["spec"]["resourceAttributes"] for r in self.server.requests]
    self.assertEqual(
      [(a["verb"], a["group"], a["resource"], a["name"]) for a in asked],
      [
        ("delete", "leaderworkerset.x-k8s.io", "leaderworkersets", JOB),
        ("delete", "batch", "jobs", JOB),
      ],
    )
    for request in self.server.requests:
      self.assertEqual(request.headers["Authorization"], "Bearer secret")

  @parameterized.parameters("leaderworkersets", "jobs")
  def test_the_right_is_missing(self, resource: str) -> None:
    """The error says which, where, and what is to be looked at."""
    self.server.forbidden = {f"delete {resource}"}
    with self.assertRaisesRegex(
      errors.ClusterAccessError,
      f"may not delete its own {resource} in the namespace team: its Role .*"
      f"{JOB}",
    ):
      self.check(known_seconds=0)

  def test_a_right_that_is_not_known_yet(self) -> None:
    """It is asked for again: the cluster may need a moment for a new Role."""
    self.server.forbidden = {"delete jobs"}
    release = self.release()
    release.ask()
    self.wait(lambda: len(self.server.requests) > 2)
    self.server.forbidden = set()
    release.check(SECONDS)

  def test_a_right_that_is_not_needed_yet(self) -> None:
    """A refusal is none before: the other hosts may be long in coming."""
    self.server.forbidden = {"delete jobs"}
    release = self.release(known_seconds=1.0)
    release.ask()
    time.sleep(2.0)
    self.server.forbidden = set()
    release.check(SECONDS)

  def test_a_token_that_comes_late(self) -> None:
    """It is waited for: the cluster writes it when the account is there."""
    (self.folder / "token").unlink()
    release = self.release()
    release.ask()
    self.write("token", "late")
    release.check(SECONDS)
    self.assertIn("late", self.server.requests[-1].headers["Authorization"])

  def test_nobody_answers(self) -> None:
    """That is told too."""
    self.server.refuse()
    with self.assertRaisesRegex(
      errors.ClusterAccessError, "cannot be asked .*refused"
    ):
      self.check(known_seconds=0, patience=0.5)

  def test_an_impostor(self) -> None:
    """A server with another certificate gets no token."""
    self.write("ca.crt", tls.identity.__wrapped__().certificate)
    with self.assertRaisesRegex(errors.ClusterAccessError, "CERTIFICATE"):
      self.check(known_seconds=0, patience=0.5)
    self.assertEmpty(self.server.requests)

  def test_a_server_that_is_away_for_a_while(self) -> None:
    """It is waited for as the hosts are: for longer than a refusal."""
    self.server.refuse()
    release = self.release(known_seconds=0)
    release.ask()
    time.sleep(1)
    self.server.listen()
    release.check(SECONDS)

  def test_a_failure_that_lasts(self) -> None:
    """It is said once, though nothing is refused."""
    failing = threading.Event()
    failing.set()
    self.refuse(lambda request: 503 if failing.is_set() else None)
    release = Release(
      self.folder, JOB, self.said.append, environ=self.environ, tell_seconds=0
    )
    release.begin()
    self.wait(lambda: len(self.server.requests) >= 4)
    failing.clear()
    self.wait(self.is_gone)
    (said,) = self.said
    self.assertIn("503", said)

  def test_both_are_deleted(self) -> None:
    """The set first; and nothing else, nor is anything asked twice."""
    release = self.release()
    release.begin()
    release.begin()
    self.wait(self.is_gone)
    self.assertEqual(
      [(r.method, r.path) for r in self.server.requests],
      [("DELETE", f"{SETS}/{JOB}"), ("DELETE", f"{JOBS}/{JOB}")],
    )
    # Without this a Job leaves what it owns behind, and of a set the workers
    # run until the leader is gone.
    policies = [r.body["propagationPolicy"] for r in self.server.requests]
    self.assertEqual(policies, ["Foreground", "Background"])
    self.assertTrue(self.server.get(SETS, "another"))

  @pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
  )
  def test_what_ends_before_it_has_worked(self) -> None:
    """It is begun anew, when it is asked for again."""
    refused = threading.Event()
    refused.set()
    self.refuse(lambda request: 403 if refused.is_set() else None)

    def say(text: str) -> None:
      refused.clear()
      raise BrokenPipeError

    release = Release(self.folder, JOB, say, environ=self.environ)

    def is_gone() -> bool:
      release.begin()
      return self.is_gone()

    self.wait(is_gone)

  def test_who_is_told_to_stop_meanwhile(self) -> None:
    """By the first of what it deletes, mostly: it finishes the rest."""
    release = self.release()
    release.finish(SECONDS)  # Nothing was begun.
    left = 2

    def fault(request: Request) -> int | None:
      nonlocal left
      left -= request.path.startswith(JOBS)
      return 500 if request.path.startswith(JOBS) and left >= 0 else None

    self.refuse(fault)
    release.begin()
    self.wait(lambda: not self.server.get(SETS, JOB))
    release.finish(SECONDS)
    self.assertTrue(self.is_gone())

  def test_what_is_gone_already(self) -> None:
    """Whoever was faster: it is done."""
    self.server.remove(SETS, JOB)
    self.release().begin()
    self.wait(self.is_gone)
    time.sleep(1)
    self.assertLen(self.server.requests, 2)

  @parameterized.parameters(0, 429, 500, 503)
  def test_a_failure_that_passes(self, status: int) -> None:
    """It is tried again until it works, and nobody need be told."""
    left = 3

    def fault(request: Request) -> int | None:
      nonlocal left
      left -= 1
      return status if left >= 0 else None

    self.server.fault = fault
    self.release().begin()
    self.wait(self.is_gone)
    self.assertEmpty(self.said)

  @parameterized.parameters(401, 403)
  def test_a_refusal(self, status: int) -> None:
    """It is said once, with what to type; and tried again all the same."""
    refusing = threading.Event()
    refusing.set()
    self.refuse(lambda request: status if refusing.is_set() else None)
    self.release().begin()
    self.wait(lambda: len(self.server.requests) >= 4)
    refusing.clear()
    self.wait(self.is_gone)
    (said,) = self.said
    self.assertIn(f"{status} a fault", said)
    self.assertIn(f"keras-remote jobs cancel {JOB}", said)

  def test_a_set_that_cannot_be_deleted(self) -> None:
    """Its Job is all the same: the set goes with it."""
    refused = [SETS]
    self.refuse(lambda r: 403 if r.path.startswith(tuple(refused)) else None)
    self.release().begin()
    self.wait(lambda: not self.server.get(JOBS, JOB))
    refused.clear()
    self.wait(self.is_gone)

  def test_an_api_server_that_is_away(self) -> None:
    """It is tried again when it is back."""
    self.server.refuse()
    self.release().begin()
    time.sleep(0.2)
    self.server.listen()
    self.wait(self.is_gone)


if __name__ == "__main__":
  absltest.main()
