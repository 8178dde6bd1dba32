import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from absl.testing import absltest, parameterized

from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import ENDED_EXIT, FAILED_EXIT, Launch
from keras_remote.runner import signals
from keras_remote.storage.folder import FolderStore
from tests.fakes import tls
from tests.fakes.api_server import ApiServer
from tests.fakes.specs import job_spec

_PACKAGE = Path(__file__).parents[1]
# Stands for the archive: it strikes itself at the first of some events.
_MAIN = """
import os, signal, sys
from keras_remote.runner.boot import boot
event, text = sys.argv.pop(), sys.argv.pop()
def strike(name, args):
  if name == "subprocess.Popen":
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    child = signal.getsignal(signal.SIGCHLD)
    print(name, "blocked", len(blocked), "SIGCHLD", int(child), flush=True)
  if name == event and text in str(args):
    os.kill(os.getpid(), signal.SIGTERM)
sys.addaudithook(strike)
sys.exit(boot())
"""


class BootTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    self.runner = base / "runner"
    self.runner.mkdir()
    (self.runner / "keras_remote").symlink_to(_PACKAGE)
    (self.runner / "__main__.py").write_text(_MAIN)
    (base / "key").write_bytes(bytes(32))
    (base / "store").mkdir(mode=0o700)
    self.launch = Launch(
      store=str(base / "store"),
      job_id="job-1",
      spec_digest="0" * 64,
      host=0,
      hosts=1,
      key_file=str(base / "key"),
      scratch=str(base / "scratch"),
      allocation="boot-test",
      leader="",
      last_words=str(base / "last-words"),
    )

  def boot(
    self, event: str = "", text: str = "", via: str = "", **environ: str
  ) -> subprocess.CompletedProcess[str]:
    before = ["-c", via] if via else []
    return subprocess.run(
      [sys.executable, *before, "-I", "-S", self.runner, text, event],
      env={**os.environ, **self.launch.environ(), **environ},
      capture_output=True,
      text=True,
      timeout=60,
    )

  def assert_nothing_left(self) -> None:
    deadline = time.monotonic() + 10
    while str(self.runner) in _commands():
      self.assertLess(time.monotonic(), deadline, "a process is left")
      time.sleep(0.01)
    self.assertFalse(Path(self.launch.scratch).exists())

  @parameterized.named_parameters(
    ("before_the_worker", "import", "keras_remote.runner.process"),
    ("with_the_worker", "subprocess.Popen", ""),
    ("before_the_rest", "import", "keras_remote.runner.remote_runner"),
    ("before_its_folder", "os.mkdir", "scratch"),
    ("before_the_store", "open", "key"),
  )
  def test_sigterm_at_once(self, event: str, text: str) -> None:
    """It exits with 143 at any point, stores no ending and leaves nothing."""
    done = self.boot(event, text)
    self.assertEqual(done.returncode, signals.STOPPED_EXIT, done.stderr)
    self.assertEqual(done.stderr, "")
    self.assertEmpty(list(Path(self.launch.store).rglob("outcome.json")))
    self.assert_nothing_left()

  def test_the_worker_is_started_first(self) -> None:
    """It begins to import while this process still does."""
    done = self.boot("import", "keras_remote.runner.remote_runner")
    self.assertIn("subprocess.Popen", done.stdout.split())

  def test_what_was_inherited(self) -> None:
    """A signal mask and an ignored SIGCHLD do not go on to the worker.

    Nor do they keep this process from being stopped.
    """
    waiting = (
      "import os, signal, sys\n"
      "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\n"
      "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
      "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    done = self.boot("open", "key", via=waiting)
    self.assertEqual(done.returncode, signals.STOPPED_EXIT, done.stderr)
    self.assertIn("blocked 0", done.stdout)
    self.assertIn("SIGCHLD 0", done.stdout)

  def test_a_store_that_holds_no_such_job(self) -> None:
    """The ending is stored all the same: whoever waits for it learns why."""
    done = self.boot()
    self.assertEqual(done.returncode, ENDED_EXIT, done.stderr)
    outcome = Path(self.launch.store, "jobs/job-1/outcome.json").read_text()
    self.assertIn("holds no job", outcome)
    self.assert_nothing_left()

  def test_what_cannot_be_said_through_the_store(self) -> None:
    """A store that cannot be used is told in the last words."""
    os.chmod(self.launch.store, 0o777)
    done = self.boot()
    self.assertEqual(done.returncode, 1)
    self.assertIn("chmod go-w", Path(self.launch.last_words).read_text())
    self.assertIn("chmod go-w", done.stderr)
    self.assert_nothing_left()

  def test_scratch_that_cannot_be_made(self) -> None:
    """That is told in the last words too."""
    Path(self.launch.scratch).parent.joinpath("file").touch()
    scratch = str(Path(self.launch.key_file, "scratch"))
    done = self.boot(KERAS_REMOTE_LAUNCH_SCRATCH=scratch)
    self.assertEqual(done.returncode, 1)
    words = Path(self.launch.last_words).read_text()
    self.assertIn("Not a directory", words)

  def test_it_stays(self) -> None:
    """After the end it waits to be told to stop, with nothing of it left.

    Then it exits at once, as it would have without.
    """
    staying = self.start(KERAS_REMOTE_LAUNCH_STAYS="True")
    self.wait_for(self.outcome.exists)
    self.wait_for(lambda: not Path(self.launch.scratch).exists())
    with self.assertRaises(subprocess.TimeoutExpired):
      staying.wait(0.5)
    staying.terminate()
    self.assertEqual(staying.wait(5), ENDED_EXIT)
    self.assert_nothing_left()

  def test_sigterm_while_the_ending_is_stored(self) -> None:
    """It is not lost on one that stays: it exits when all is stored."""
    done = self.boot("os.link", "outcome", KERAS_REMOTE_LAUNCH_STAYS="True")
    self.assertEqual(done.returncode, ENDED_EXIT, done.stderr)
    self.assertTrue(self.outcome.exists())
    self.assert_nothing_left()

  def test_one_that_cannot_store_does_not_stay(self) -> None:
    """Whoever starts it again has it tried again."""
    os.chmod(self.launch.store, 0o777)
    done = self.boot(KERAS_REMOTE_LAUNCH_STAYS="True")
    self.assertEqual(done.returncode, 1)

  def test_one_that_may_free_its_machines_waits_for_the_store(self) -> None:
    """It ends when that works, and not before: it is started again then.

    Whoever exits at once would be started again for ever.
    """
    JobDirectory(FolderStore(self.launch.store), "job-1").create_spec(
      job_spec("job-1"), bytes(32)
    )
    os.chmod(self.launch.store, 0o777)
    waiting = self.start(
      KERAS_REMOTE_LAUNCH_STAYS="True",
      KERAS_REMOTE_LAUNCH_RELEASE=str(self.create_tempdir().full_path),
    )
    words = Path(self.launch.last_words)
    self.wait_for(lambda: words.exists() and "chmod" in words.read_text())
    with self.assertRaises(subprocess.TimeoutExpired):
      waiting.wait(1)
    os.chmod(self.launch.store, 0o700)
    self.assertEqual(waiting.wait(30), FAILED_EXIT)
    self.assert_nothing_left()

  def test_one_that_cannot_begin_is_told_to_stop(self) -> None:
    """It does so at once, and what it said stays its reason."""
    waiting = self.start(
      KERAS_REMOTE_LAUNCH_STAYS="True",
      KERAS_REMOTE_LAUNCH_STORE="s3://bucket",
      KERAS_REMOTE_LAUNCH_RELEASE=str(self.create_tempdir().full_path),
    )
    words = Path(self.launch.last_words)
    self.wait_for(lambda: words.exists() and "s3://" in words.read_text())
    waiting.terminate()
    self.assertEqual(waiting.wait(10), FAILED_EXIT)
    self.assert_nothing_left()

  def test_it_frees_the_machines(self) -> None:
    """When the ending is stored, what runs the job is deleted from here."""
    identity = tls.identity()
    folder = Path(self.create_tempdir().full_path)
    for name, text in (
      ("ca.crt", identity.certificate),
      ("namespace", "team"),
      ("token", "secret"),
    ):
      (folder / name).write_text(text)
    with ApiServer(identity.context) as server:
      url = urlsplit(server.url)
      staying = self.start(
        KERAS_REMOTE_LAUNCH_STAYS="True",
        KERAS_REMOTE_LAUNCH_RELEASE=str(folder),
        KUBERNETES_SERVICE_HOST=f"{url.hostname}",
        KUBERNETES_SERVICE_PORT=f"{url.port}",
      )

      def deleted() -> list[str]:
        found = [r for r in server.requests if r.method == "DELETE"]
        return [request.path.split("/")[-2] for request in found]

      self.wait_for(lambda: len(deleted()) == 2)
      self.assertTrue(self.outcome.exists())
      self.assertEqual(deleted(), ["leaderworkersets", "jobs"])
      staying.terminate()
      self.assertEqual(staying.wait(5), ENDED_EXIT)

  def start(self, **environ: str) -> "subprocess.Popen[bytes]":
    """It, running."""
    process = subprocess.Popen(
      [sys.executable, "-I", "-S", self.runner, "", ""],
      env={**os.environ, **self.launch.environ(), **environ},
      stdout=subprocess.DEVNULL,
    )
    self.addCleanup(process.wait)
    self.addCleanup(process.kill)
    return process

  @property
  def outcome(self) -> Path:
    return Path(self.launch.store, "jobs/job-1/outcome.json")

  def wait_for(self, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.01)

  def test_by_hand(self) -> None:
    """Somebody who starts it without a backend is told so."""
    done = subprocess.run(
      [sys.executable, "-I", "-S", self.runner, "", ""],
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertEqual(done.returncode, 1)
    self.assertIn("started by a backend, not by hand", done.stderr)


class StoppedTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    before = signal.getsignal(signal.SIGTERM)
    self.addCleanup(signal.signal, signal.SIGTERM, before)

  def test_it_strikes_once(self) -> None:
    """A second SIGTERM does not disturb what follows from the first."""
    signals.install()
    with self.assertRaises(signals.Stopped):
      signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

  def test_ignored(self) -> None:
    """An ending that is being stored is not disturbed."""
    signals.install()
    signals.ignore()
    signal.raise_signal(signal.SIGTERM)


def _commands() -> str:
  """The command lines of everything that runs."""
  listing = ["ps", "-axww", "-o", "command="]
  return subprocess.run(listing, capture_output=True, text=True).stdout


if __name__ == "__main__":
  absltest.main()
