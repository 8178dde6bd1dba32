import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from absl.testing import absltest

from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.state import State
from keras_remote.runner import staying
from keras_remote.runner.release import Release
from tests.fakes import tls
from tests.fakes.api_server import ApiServer

_JOB = "train-20260102-030405-abc234"
_SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/team/leaderworkersets"
_JOBS = "/apis/batch/v1/namespaces/team/jobs"
_SECONDS = 30
_ENDED = Outcome(1, State.SUCCEEDED, Cause.RETURNED, "", "now", "host 0")


class StayTest(absltest.TestCase):
  """It ends with the outcome: nobody tells this process to stop."""

  def setUp(self) -> None:
    super().setUp()
    identity = tls.identity()
    self.server = self.enter_context(ApiServer(identity.context))
    for place in (_SETS, _JOBS):
      self.server.put(place, {"metadata": {"name": _JOB}})
    folder = Path(self.create_tempdir().full_path)
    for name, text in (
      ("ca.crt", identity.certificate),
      ("namespace", "team"),
      ("token", "secret"),
    ):
      (folder / name).write_text(text)
    url = urlsplit(self.server.url)
    environ = {
      "KUBERNETES_SERVICE_HOST": f"{url.hostname}",
      "KUBERNETES_SERVICE_PORT": f"{url.port}",
    }
    self.release = Release(folder, _JOB, print, environ=environ)
    self.outcome: Outcome | None = _ENDED

  def stay(self, *, leads: bool, before: float) -> threading.Thread:
    staying_thread = threading.Thread(
      target=lambda: staying.stay(
        lambda: self.outcome,
        self.release,
        leads=leads,
        patience=0.02,
        before=before,
      )
    )
    staying_thread.start()
    self.addCleanup(staying_thread.join, _SECONDS)
    self.addCleanup(self.end)
    return staying_thread

  def end(self) -> None:
    self.outcome = None

  def is_gone(self) -> bool:
    return not any(self.server.get(place, _JOB) for place in (_SETS, _JOBS))

  def wait(self, holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.01)

  def test_host_0(self) -> None:
    """It frees the machines at once."""
    self.stay(leads=True, before=_SECONDS)
    self.wait(self.is_gone)

  def test_another_host(self) -> None:
    """It does so, too: nobody may have come as host 0."""
    self.stay(leads=False, before=0.2)
    self.wait(self.is_gone)

  def test_another_host_lets_host_0_go_first(self) -> None:
    """Most often nothing is left for it to do."""
    self.stay(leads=False, before=_SECONDS)
    time.sleep(0.3)
    self.assertEmpty(self.server.requests)

  def test_no_outcome(self) -> None:
    """Nothing is deleted, and it does not stay for ever."""
    self.outcome = None
    self.stay(leads=True, before=0).join(_SECONDS)
    self.assertEmpty(self.server.requests)


if __name__ == "__main__":
  absltest.main()
