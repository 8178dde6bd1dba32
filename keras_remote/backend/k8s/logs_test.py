import threading
from collections.abc import Iterator

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import logs, pods
from keras_remote.backend.k8s.objects import JOBS, PODS
from keras_remote.job.live import BREAK
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec

_SPEC = job_spec()
_LABELS = pods.labels(_SPEC)
_RUNNING: dict[str, object] = {"running": {}}
_ENDED = {"terminated": {"exitCode": 0}}


class LiveTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    self.put(
      JOBS, {"metadata": {"name": JOB_ID, "labels": _LABELS}, "spec": {}}
    )

  def pod(self, state: object, *, name: str = "pod", made: int = 1) -> None:
    """The pod, with its container in this state."""
    made_at = f"2026-01-02T03:04:0{made}Z"
    metadata = {"name": name, "labels": _LABELS, "creationTimestamp": made_at}
    statuses = [{"state": state}]
    status = {"phase": "Running", "containerStatuses": statuses}
    self.put(PODS, {"metadata": metadata, "spec": {}, "status": status})

  def live(self, *, offset: int = 0, follow: bool = True) -> Iterator[bytes]:
    return logs.live(self.cluster, _SPEC, offset=offset, follow=follow)

  @parameterized.parameters(
    (_ENDED, b"all", True, True),
    (_ENDED, b"all", False, True),
    (_RUNNING, b"some", False, False),
    (_ENDED, b"x" * 9 * 2**20, True, False),
  )
  def test_whether_it_was_all(
    self, state: object, printed: bytes, follow: bool, whole: bool
  ) -> None:
    """It was where the container has ended, and nothing of it is too old."""
    self.pod(state)
    self.server.logs["pod"] = printed
    self.assertEqual(self.read(follow=follow)[1], whole)

  def read(self, *, follow: bool) -> tuple[bytes, bool]:
    """What comes of it, and whether it is said to be all."""
    live = logs.live(self.cluster, _SPEC, offset=0, follow=follow)
    found = b""
    while True:
      try:
        found += next(live)
      except StopIteration as ended:
        return found, ended.value

  @parameterized.parameters(True, False)
  def test_a_connection_that_breaks(self, follow: bool) -> None:
    """What came is no more than a part: the rest is read elsewhere."""
    self.pod(_ENDED)
    self.server.logs["pod"] = b"one\ntwo\n"
    self.server.torn = 5
    self.assertEqual(self.read(follow=follow), (b"one\nt", False))

  @parameterized.product(offset=(0, 6), follow=(False, True))
  def test_a_container_that_was_removed(
    self, offset: int, follow: bool
  ) -> None:
    """What the node says of it is nothing that the job has printed."""
    self.pod(_ENDED)
    said = b"unable to retrieve container logs for containerd://4ca75c7e"
    self.server.logs["pod"] = said
    live = self.live(offset=offset, follow=follow)
    self.assertEqual(b"".join(live), b"")

  @parameterized.product(offset=(0, 3, 7, 12), follow=(False, True))
  def test_a_log_that_is_whole(self, offset: int, follow: bool) -> None:
    """It comes from any byte on."""
    self.pod(_ENDED)
    self.server.logs["pod"] = b"one\ntwo"
    found = b"".join(self.live(offset=offset, follow=follow))
    self.assertEqual(found, b"one\ntwo"[offset:])

  @parameterized.product(offset=(0, 5, 9, 11), follow=(False, True))
  def test_a_line_that_was_broken(self, offset: int, follow: bool) -> None:
    """It comes as it was printed, with every byte at its offset."""
    self.pod(_ENDED)
    printed = b"\r 50%\r 90%\x1b"
    self.server.logs["pod"] = b"\r 50%" + BREAK + b"\r 90%\x1b"
    found = b"".join(self.live(offset=offset, follow=follow))
    self.assertEqual(found, printed[offset:])

  def test_a_connection_that_is_lost(self) -> None:
    """The log goes on where it was, without loss or repetition."""
    self.pod(_RUNNING)
    self.server.logs["pod"] = b"one\n"
    pieces = self.live()
    self.assertEqual(next(pieces), b"one\n")
    self.server.cut()
    self.server.logs["pod"] = b"one\ntwo\n"
    self.assertEqual(next(pieces), b"two\n")
    self.server.logs["pod"] = b"one\ntwo\nthree"
    self.pod(_ENDED)
    self.server.cut()
    self.assertEqual(b"".join(pieces), b"three")

  def test_a_pod_that_is_to_come(self) -> None:
    """It is waited for, when that was asked for."""
    self.assertEmpty(list(self.live(follow=False)))
    self.server.logs["pod"] = b"one\n"
    begun = threading.Event()

    def start(request: Request) -> None:
      if "watch" in request.query and not begun.is_set():
        begun.set()
        self.pod(_ENDED)

    self.server.fault = start
    self.assertEqual(b"".join(self.live()), b"one\n")

  def test_the_last_start(self) -> None:
    """Of several pods the last that has started is shown."""
    self.server.logs = {"a": b"a", "b": b"b"}
    self.pod(_ENDED, name="a", made=1)
    self.pod(_ENDED, name="b", made=2)
    self.pod({"waiting": {}}, name="c", made=3)
    self.assertEqual(b"".join(self.live()), b"b")

  def test_a_long_log(self) -> None:
    """It ends before the node may drop its begin: the store has the rest."""
    self.pod(_ENDED)
    self.server.logs["pod"] = b"\n" * (1024 * 1024)
    shown = b"".join(self.live())
    self.assertBetween(len(shown), 100_000, 300_000)
    self.assertEmpty(list(self.live(offset=len(shown))))

  def test_a_job_that_is_gone(self) -> None:
    """There is nothing to wait for."""
    self.remove(JOBS, JOB_ID)
    self.assertEmpty(list(self.live()))


if __name__ == "__main__":
  absltest.main()
