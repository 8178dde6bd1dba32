import threading
from collections.abc import Generator

from absl.testing import absltest, parameterized

from keras_remote.backend.base import Shown
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

  def pod(
    self,
    state: object,
    *,
    name: str = "pod",
    made: int = 1,
    host: int = 0,
    begun: int = 0,
  ) -> None:
    """The pod, with its container in this state, which began so often anew."""
    made_at = f"2026-01-02T03:04:0{made}Z"
    labels = {**_LABELS, "leaderworkerset.sigs.k8s.io/worker-index": str(host)}
    metadata = {"name": name, "labels": labels, "creationTimestamp": made_at}
    statuses = [{"state": state, "restartCount": begun}]
    status = {"phase": "Running", "containerStatuses": statuses}
    self.put(PODS, {"metadata": metadata, "spec": {}, "status": status})

  def live(
    self,
    *,
    host: int = 0,
    allocation: str | None = None,
    offset: int = 0,
    follow: bool = True,
  ) -> Generator[bytes, None, Shown]:
    return logs.live(
      self.cluster,
      _SPEC,
      host,
      allocation=allocation,
      offset=offset,
      follow=follow,
    )

  @parameterized.parameters(
    (_ENDED, b"all", True, True),
    (_ENDED, b"all", False, True),
    (_RUNNING, b"some", False, False),
    (_ENDED, b"x" * 9 * 2**20, True, False),
    ({"terminated": {"exitCode": 80}}, b"all", True, True),
    # Another start may come, which tells how the job ended.
    ({"terminated": {"exitCode": 143}}, b"all", True, False),
  )
  def test_whether_it_was_all(
    self, state: object, printed: bytes, follow: bool, whole: bool
  ) -> None:
    """It was where its end told the job's, and nothing of it is too old."""
    self.pod(state)
    self.server.logs["pod"] = printed
    self.assertEqual(self.read(follow=follow)[1], whole)

  def read(self, *, follow: bool) -> tuple[bytes, bool]:
    """What comes of it, and whether it is said to be all."""
    found, shown = self.ended(self.live(follow=follow))
    self.assertEqual(shown.allocation, "uid-pod")
    return found, shown.whole

  def ended(self, live: Generator[bytes, None, Shown]) -> tuple[bytes, Shown]:
    """What comes of it, and what it says at its end."""
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

  @parameterized.parameters(True, False)
  def test_one_start(self, follow: bool) -> None:
    """The one that is asked for, also where a later one has begun."""
    self.server.logs = {"a": b"a", "b": b"b"}
    self.pod(_ENDED, name="a", made=1)
    self.pod(_ENDED, name="b", made=2)
    live = self.live(allocation="uid-a", follow=follow)
    self.assertEqual(self.ended(live), (b"a", Shown("uid-a", whole=True)))

  def test_a_start_that_is_gone(self) -> None:
    """Nobody waits for it."""
    self.pod(_ENDED)
    live = self.live(allocation="another", follow=False)
    self.assertEqual(self.ended(live), (b"", Shown()))
    self.remove(JOBS, JOB_ID)
    live = self.live(allocation="another")
    self.assertEqual(self.ended(live), (b"", Shown()))

  @parameterized.parameters(True, False)
  def test_hosts(self, follow: bool) -> None:
    """Each has a log of its own; of an unknown one there is none."""
    self.server.logs = {"a": b"zero", "b": b"one"}
    self.pod(_ENDED, name="a")
    self.pod(_ENDED, name="b", host=1)
    for host, printed in enumerate((b"zero", b"one")):
      found = b"".join(self.live(host=host, follow=follow))
      self.assertEqual(found, printed)
    self.assertEmpty(list(self.live(host=7, follow=False)))

  def others_print(self) -> None:
    """Whoever asks for the log from now on reads another start's."""

    def look(request: Request) -> None:
      if request.path.endswith("/log"):
        self.server.logs["pod"] = b"another start's\n"

    self.server.fault = look

  def test_a_container_that_begins_anew(self) -> None:
    """What it prints then is another start's: the store has the rest."""
    self.pod(_RUNNING)
    self.server.logs["pod"] = b"one\n"
    live = self.live()
    self.assertEqual(next(live), b"one\n")
    self.others_print()
    self.pod(_RUNNING, begun=1)
    self.server.cut()
    self.assertEqual(self.ended(live), (b"", Shown("uid-pod")))

  def test_a_pod_that_is_made_anew(self) -> None:
    """In a set it has the same name, and prints for another attempt."""
    self.pod(_RUNNING)
    self.server.logs["pod"] = b"one\n"
    live = self.live()
    self.assertEqual(next(live), b"one\n")
    self.others_print()
    self.remove(PODS, "pod")
    self.put(
      PODS,
      {
        "metadata": {"name": "pod", "uid": "new", "labels": _LABELS},
        "status": {"containerStatuses": [{"state": _RUNNING}]},
      },
    )
    self.server.cut()
    self.assertEqual(self.ended(live), (b"", Shown("uid-pod")))

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
