import contextlib
import dataclasses
import io
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.backend.base import Wanted
from keras_remote.backend.gke import GKEBackend
from keras_remote.backend.k8s import pods
from keras_remote.backend.k8s.objects import JOBS, PODS
from keras_remote.core import follow
from keras_remote.core.console import Console
from keras_remote.core.job import Job
from keras_remote.core.logs import HostLog, last_lines, text
from keras_remote.home import Home, ensure
from keras_remote.job import endings
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Started
from keras_remote.job.spec import Limits, Target
from keras_remote.storage.open import open_store
from tests.fakes.kubernetes_case import CONTEXT, KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec
from tests.fakes.watched_store import WatchedStore

_RUNS: dict[str, Any] = {"running": {}}
_KILLED: dict[str, Any] = {"terminated": {"exitCode": 137}}
_TOLD: dict[str, Any] = {"terminated": {"exitCode": 80}}
_HOSTS = 2


class LastLinesTest(absltest.TestCase):
  @given(
    st.lists(st.text("ab\n\r", max_size=6), max_size=12),
    st.integers(0, 4),
  )
  def test_they_are_those_of_the_whole_text(
    self, pieces: list[str], count: int
  ) -> None:
    """However the text is cut into pieces."""
    lines = "".join(pieces).splitlines(keepends=True)
    self.assertEqual(
      "".join(last_lines(pieces, count)),
      "".join(lines[max(0, len(lines) - count) :]),
    )


class HostLogTest(KubernetesCase):
  """A job of two hosts, whose pods have their attempts' names."""

  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    store = open_store(str(ensure(base / "store")))
    backend = GKEBackend(
      Home(ensure(base / "home")), Wanted(CONTEXT, None), None
    )
    spec = dataclasses.replace(
      job_spec(accelerator="cpu", hosts=_HOSTS),
      target=Target("gke", store.uri, backend.place),
      limits=Limits(retries=2),
    )
    self.job = Job(spec, JobDirectory(store, JOB_ID), backend)
    self.directory = self.job.directory
    self.directory.create_spec(spec, self.job.key())
    self.labels = pods.labels(spec)
    metadata = {"name": JOB_ID, "labels": self.labels}
    self.put(JOBS, {"metadata": metadata, "spec": {"parallelism": _HOSTS}})
    self.log = HostLog(self.job, 1)

  def put_pod(self, attempt: int, state: dict[str, Any], text: bytes) -> None:
    """Host 1's pod of an attempt, with what its node has of its log."""
    index = {"batch.kubernetes.io/job-completion-index": "1"}
    name = f"pod-{attempt}"
    self.server.logs[name] = text
    body = {
      "metadata": {
        "name": name,
        "labels": {**self.labels, **index},
        "creationTimestamp": f"2026-01-02T03:04:0{attempt}Z",
      },
      "spec": {"containers": [{"image": "image:1"}]},
      "status": {"phase": "Running", "containerStatuses": [{"state": state}]},
    }
    self.put(PODS, body)

  def claim(self, attempt: int) -> None:
    members = "uid-leader/a", f"uid-pod-{attempt}/b"
    started = Started(attempt, "uid-leader", "", "now", members)
    self.directory.create_started(started)

  def store(self, attempt: int, offset: int, text: bytes) -> None:
    self.directory.create_log_segment(attempt, 1, offset, text)

  def end(self) -> None:
    endings.cancel(self.directory, self.job.spec, self.job.key(), "me")

  @contextlib.contextmanager
  def following(self) -> Iterator["queue.SimpleQueue[bytes | None]"]:
    """What comes of the log, piece by piece, and None at its end."""
    found: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
      for data in self.log.rest():
        found.put(data)
      found.put(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield found
    thread.join(20)
    self.assertFalse(thread.is_alive())

  def test_an_attempt_after_another(self) -> None:
    """All of each comes once, and a line between them."""
    self.put_pod(1, _RUNS, b"one\ntw")
    self.claim(1)
    with self.following() as found:
      self.assertEqual(found.get(timeout=20), b"one\ntw")
      # What its node does not have any more the store has.
      self.store(1, 0, b"one\ntwo")
      self.remove(PODS, "pod-1")
      self.server.cut()
      self.assertEqual(found.get(timeout=20), b"o")
      self.put_pod(2, _RUNS, b"again\n")
      self.claim(2)
      self.assertEqual(
        found.get(timeout=20), b"\n[keras_remote: attempt 2 begins]\n"
      )
      self.assertEqual(found.get(timeout=20), b"again\n")
      self.put_pod(2, _TOLD, b"again\nlast")
      self.server.cut()
      self.assertEqual(found.get(timeout=20), b"last")
      self.assertIsNone(found.get(timeout=20))

  def test_a_start_that_claimed_nothing(self) -> None:
    """What it printed is shown, and nothing of the attempt after it missed."""
    self.put_pod(0, _KILLED, b"installing\n")
    with self.following() as found:
      self.assertEqual(found.get(timeout=20), b"installing\n")
      self.put_pod(1, _TOLD, b"installing\none\n")
      self.claim(1)
      self.assertEqual(found.get(timeout=20), b"installing\none\n")
      self.assertIsNone(found.get(timeout=20))

  def test_attempts_that_went_unseen(self) -> None:
    """The store has what they printed."""
    self.put_pod(1, _KILLED, b"one\n")
    self.claim(1)
    self.claim(2)
    self.claim(3)
    self.store(2, 0, b"two\n")
    self.store(3, 0, b"three\n")
    self.end()
    self.assertEqual(
      b"".join(self.log.rest()),
      b"one\n[keras_remote: attempt 2 begins]\ntwo\n"
      b"[keras_remote: attempt 3 begins]\nthree\n",
    )

  def test_a_job_that_somebody_watches(self) -> None:
    """Nobody else asks how it stands, however long it waits to go on."""
    ended = threading.Event()
    self.log = HostLog(self.job, 1, ended)
    self.put_pod(1, _KILLED, b"one\n")
    self.claim(1)
    with self.following() as found:
      self.assertEqual(found.get(timeout=20), b"one\n")
      # How it ended is not asked for, either.
      self.end()
      with self.assertRaises(queue.Empty):
        found.get(timeout=0.5)
      self.store(1, 4, b"two\n")
      ended.set()
      self.assertEqual(found.get(timeout=20), b"two\n")
      self.assertIsNone(found.get(timeout=20))

  def test_what_is_there_now(self) -> None:
    """Of the newest attempt; a start after the last has printed nothing."""
    self.put_pod(1, _KILLED, b"one\n")
    self.claim(1)
    self.put_pod(2, _KILLED, b"two\n")
    self.claim(2)
    self.put_pod(3, _TOLD, b"")
    self.assertEqual(b"".join(self.log.now()), b"two\n")
    self.assertEqual(b"".join(self.log.now()), b"")

  @parameterized.parameters(True, False)
  def test_who_may_not_see_what_pods_print(self, rest: bool) -> None:
    """They are shown what is stored of it, by and by."""
    self.server.fault = lambda r: 403 if r.path.endswith("/log") else None
    self.put_pod(1, _RUNS, b"one\ntwo\n")
    self.claim(1)
    self.store(1, 0, b"one\n")
    self.assertEqual(b"".join(self.log.now()), b"one\n")
    self.store(1, 4, b"two\n")
    self.end()
    found = self.log.rest() if rest else self.log.now()
    self.assertEqual(b"".join(found), b"two\n")

  def test_a_cluster_that_refuses_a_log(self) -> None:
    """Who shows logs goes on without more of it, until the job has ended."""
    self.server.fault = lambda r: 409 if "follow" in r.query else None
    self.put_pod(1, _RUNS, b"one\n")
    self.claim(1)
    self.end()
    shown = io.StringIO()
    follow.show_logs(self.job, Console(shown, shown), follow=True)
    self.assertIn("one", shown.getvalue())

  def test_a_job_of_one_attempt(self) -> None:
    """The store is asked for its claim alone before the first byte comes."""
    reads: list[str] = []
    watched = WatchedStore(
      self.directory.store, lambda method, _: reads.append(method)
    )
    spec = dataclasses.replace(self.job.spec, limits=Limits())
    job = Job(spec, JobDirectory(watched, JOB_ID), self.job.backend)
    self.put_pod(1, _TOLD, b"one\n")
    self.claim(1)
    self.assertEqual(b"".join(HostLog(job, 1).now()), b"one\n")
    self.assertEqual(reads, ["read"])

  def test_going_on(self) -> None:
    """What was read is not read again, whichever start comes then."""
    self.put_pod(1, _RUNS, b"one\n")
    self.assertEqual(b"".join(self.log.now()), b"one\n")
    self.put_pod(1, _KILLED, b"one\ntwo\n")
    self.claim(1)
    self.put_pod(2, _TOLD, b"three\n")
    self.claim(2)
    self.end()
    self.assertEqual(
      b"".join(self.log.rest()),
      b"two\n[keras_remote: attempt 2 begins]\nthree\n",
    )

  @parameterized.parameters(
    (None, False, "a\nb\n"), (1, False, "b\n"), (1, True, "b\n"),
    (0, True, ""), (None, True, "a\nb\n"),
  )  # fmt: skip
  def test_text(self, tail: int | None, follow: bool, expected: str) -> None:
    """Its last lines, or all of it."""
    self.put_pod(1, _TOLD, b"a\nb\n")
    self.claim(1)
    found = "".join(text(self.log, follow=follow, tail=tail))
    self.assertEqual(found, expected)

  def test_text_that_is_cut(self) -> None:
    """A letter that comes in two pieces is one."""
    self.put_pod(1, _RUNS, "é".encode()[:1])
    self.claim(1)
    pieces = text(self.log, follow=True, tail=9)
    self.put_pod(1, _RUNS, "é".encode()[:1])
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(pieces))
    reader.start()
    self.put_pod(1, _TOLD, "é".encode())
    while reader.is_alive():  # It may have begun before it knew of the end.
      self.server.cut()
      reader.join(0.1)
    self.assertEqual("".join(found), "é")


if __name__ == "__main__":
  absltest.main()
