import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from absl.testing import absltest

from keras_remote.runner import process

_ROOT = Path(__file__).parents[2]
# Starts a child in a session of its own, which ignores SIGTERM, and says so.
_LEAVES_A_CHILD = """
import subprocess, sys
script = "import signal, time; signal.signal(15, 1); print(1); time.sleep(600)"
with open(sys.argv[1], "wb") as out:
  child = subprocess.Popen(
    [sys.executable, "-uc", script], start_new_session=True, stdout=out
  )
while not open(sys.argv[1]).read():
  pass
open(sys.argv[1] + ".pid", "w").write(str(child.pid))
"""


class WorkerTest(absltest.TestCase):
  """Each test's code runs in a first process: it has children of its own."""

  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)

  def worker(self, program: str) -> process.Worker:
    worker = process.Worker(
      str(self.folder / "file"), dict(os.environ), program
    )
    self.addCleanup(worker.end, 0)
    self.addCleanup(os.close, worker.log_fd)
    return worker

  def run_first(self, source: str) -> subprocess.CompletedProcess[str]:
    """Runs the source as a first process, a subreaper, with `start`."""
    script = f"""
import os, signal, subprocess, sys, time
from keras_remote.runner import process
process.become_subreaper()
FILE = {str(self.folder / "file")!r}
CHILD = {_LEAVES_A_CHILD!r}
def start(program):
  return process.Worker(FILE, dict(os.environ), program)
def child():
  while not (os.path.exists(FILE + ".pid") and os.stat(FILE + ".pid").st_size):
    time.sleep(0.002)
  return int(open(FILE + ".pid").read())
{source}
"""
    done = subprocess.run(
      [sys.executable, "-c", script],
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    return done

  def assert_gone(self) -> None:
    """The child that the worker left is gone, and no zombie."""
    pid = int((self.folder / "file.pid").read_text())
    self.assertEqual(_status(pid), "", "it is left")

  def test_exit_code(self) -> None:
    """Its own code, and what memory it took."""
    ended = self.worker("raise SystemExit(3)").wait(10)
    assert ended
    self.assertEqual((ended.code, ended.signal), (3, None))
    self.assertBetween(ended.peak_memory, 1 << 20, 1 << 30)

  def test_signal(self) -> None:
    """The signal's number rather than a code."""
    ended = self.worker("import os; os.kill(os.getpid(), 11)").wait(10)
    assert ended
    self.assertEqual((ended.code, ended.signal), (None, signal.SIGSEGV))

  def test_while_it_runs(self) -> None:
    """There is no exit yet; once there is, it stays the same."""
    worker = self.worker("import time; time.sleep(600)")
    self.assertIsNone(worker.wait(0))
    ended = worker.end(0, asked=False)
    self.assertEqual(ended.signal, signal.SIGKILL)
    self.assertEqual(worker.poll(), ended)
    self.assertEqual(worker.end(10), ended)

  def test_grace(self) -> None:
    """One that heeds SIGTERM ends in its own way; another one is killed."""
    heeds = "import signal, time; signal.signal(15, lambda *_: exit(5))"
    deaf = "import signal, time; signal.signal(15, 1)"
    for program, asked, expected in (
      (heeds, True, (5, None)),
      (deaf, True, (None, 9)),
      (heeds, False, (None, 9)),
    ):
      worker = self.worker(f"{program}; print(1, flush=True); time.sleep(600)")
      os.read(worker.log_fd, 1)
      grace = 10 if expected == (5, None) else 0.05
      ended = worker.end(grace, asked=asked)
      self.assertEqual((ended.code, ended.signal), expected)

  def test_the_whole_tree_is_asked(self) -> None:
    """Also a child in a session of its own: it may have something to save."""
    worker = self.worker(
      "import signal, subprocess, sys; signal.signal(15, signal.SIG_IGN)\n"
      "child = 'import signal, time; signal.signal(15, lambda *_: exit(5)); '\n"
      "child += 'print(1, flush=True); time.sleep(600)'\n"
      "sys.exit(subprocess.run([sys.executable, '-c', child],"
      " start_new_session=True).returncode)"
    )
    os.read(worker.log_fd, 1)
    self.assertEqual(worker.end(5).code, 5)

  def test_orders_and_answers(self) -> None:
    """A line each, also one that is longer than a pipe holds."""
    worker = self.worker(
      "import sys\n"
      "orders, answers = map(int, sys.argv[2:])\n"
      "line = open(orders, 'rb').readline()\n"
      "open(answers, 'wb').write(line)"
    )
    heard: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()
    worker.listen(heard.put)
    order = {"text": "é" * 300_000}
    worker.send(order)
    self.assertEqual(heard.get(timeout=10), order)
    worker.wait(10)
    self.assertEqual(worker.last_answer(10), order)
    worker.send(order)  # To nobody: that is noticed elsewhere.

  def test_the_answer_of_one_that_has_ended_is_not_missed(self) -> None:
    """However late its reading thread comes."""
    worker = self.worker(
      "import os, sys; os.write(int(sys.argv[3]), b'{\"a\": 1}\\n')"
    )
    worker.wait(10)
    worker.listen(lambda _: time.sleep(0.2))
    self.assertEqual(worker.last_answer(10), {"a": 1})

  def test_answers_that_are_none(self) -> None:
    """Half a line, or what is no object, counts as no answer."""
    for text in ('{"cause": "retu', "7\n", "[]x\n", "{'a'}\n"):
      worker = self.worker(
        f"import os, sys; os.write(int(sys.argv[3]), {text.encode()!r})"
      )
      worker.listen(self.fail)
      worker.wait(10)
      self.assertIsNone(worker.last_answer(10))

  def test_a_grandchild_that_holds_the_answers_open(self) -> None:
    """It is not waited for."""
    self.run_first("""
worker = start(
  "import subprocess, sys; "
  "subprocess.Popen(['sleep', '600'], pass_fds=[int(sys.argv[3])])"
)
worker.listen(print)
worker.wait(10)
began = time.monotonic()
assert worker.last_answer(0.02) is None
assert time.monotonic() - began < 5
process.end_descendants()
""")

  def test_orphans_are_reaped_and_the_status_is_not_stolen(self) -> None:
    """Whichever of the two ends first."""
    if sys.platform != "linux":
      self.skipTest("only Linux has subreapers")
    self.run_first("""
# Each leaves orphans that end before it, and with it.
orphan = "import subprocess; subprocess.Popen(['sleep', '%s'])"
for seconds in ("0", "0.05"):
  outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {orphan % seconds!r}]);"
  worker = start(outer + "import os, time; time.sleep(0.02); os.kill(os.getpid(), 11)")
  ended = worker.wait(10)
  assert ended.signal == 11, ended
process.end_descendants()
try:
  os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
  pass
else:
  raise AssertionError("a child is left")
""")

  def test_the_whole_tree_is_killed(self) -> None:
    """Also a child that left the session and does not heed SIGTERM."""
    self.run_first("""
worker = start(CHILD + "\\nimport time; time.sleep(600)")
pid = child()
assert pid in process.descendants()
assert worker.end(0.05).signal == signal.SIGTERM
process.end_descendants()
assert process.descendants() == []
""")
    self.assert_gone()

  def test_orphans_of_a_worker_that_has_ended(self) -> None:
    """They are found where it has left them."""
    if sys.platform != "linux":
      self.skipTest("only Linux has subreapers")
    self.run_first("""
worker = start(CHILD)
assert worker.wait(10).code == 0
assert process.descendants() == [child()]
process.end_descendants()
""")
    self.assert_gone()

  def test_a_process_whose_first_thread_has_ended(self) -> None:
    """It looks like a zombie and lives: it is killed all the same."""
    if sys.platform != "linux":
      self.skipTest("looks into /proc")
    self.run_first("""
threads = '''
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(600)).start()
print(1, flush=True)
ctypes.CDLL(None).pthread_exit(None)
'''
os.set_inheritable(1, True)
half = subprocess.Popen([sys.executable, "-c", threads], stdout=subprocess.PIPE)
half.stdout.read(1)
while open(f"/proc/{half.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
  time.sleep(0.002)
process.end_descendants()
assert process.descendants() == []
""")

  def test_nothing_to_end_costs_nothing(self) -> None:
    """Where no child is left the system's processes are not looked through."""
    done = self.run_first("""
def fail():
  raise AssertionError("looked")
process.descendants = fail
process.end_descendants()
print("ended")
""")
    self.assertEqual(done.stdout, "ended\n")

  def test_its_own_end_when_the_first_process_dies(self) -> None:
    """The worker ends itself, with its group, when nobody gives it orders."""
    script = f"""
import os, signal
from keras_remote.runner import process
worker = process.Worker({str(_ROOT)!r}, dict(os.environ))
worker.send({{"environ": {{}}, "imports": []}})
print(worker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
      [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    pid = int(done.stdout)
    _wait_until(lambda: _status(pid)[:1] in ("", "Z"))


def _status(pid: int) -> str:
  """Of the process, as `ps` shows it; Z for a zombie, "" for none."""
  listing = ["ps", "-o", "stat=", "-p", str(pid)]
  return subprocess.run(listing, capture_output=True, text=True).stdout.strip()


def _wait_until(holds: Callable[[], bool]) -> None:
  deadline = time.monotonic() + 10
  while not holds():
    if time.monotonic() > deadline:
      raise AssertionError("it never came to hold")
    time.sleep(0.005)


if __name__ == "__main__":
  absltest.main()
