"""Environments that one job leaves to the next, as folders."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.job import layout
from keras_remote.job.environments import Recipe
from keras_remote.runner import kept
from keras_remote.storage.folder import FolderStore

_RECIPE = Recipe(("a",), "3.11", "python:3", "cpu", "ada", "00" * 32)
# A pipe that nobody writes to is in the environment: so it is never packed.
_HANGS = """
import os, sys, time
from pathlib import Path
from keras_remote.job.environments import Recipe
from keras_remote.runner import kept, signals
store, folder, worth = sys.argv[1:]
recipe = Recipe(("a",), "3.11", "python:3", "cpu", "ada", "00" * 32)
keeping = kept.Keeping(
  store, recipe, Path(folder), anew=False, worth=float(worth), note=print
)
signals.ignore()
began = time.monotonic()
print("begun", flush=True)
print(keeping.finish(), time.monotonic() - began, flush=True)
os.kill(os.getpid(), 15)
os._exit(7)
"""


class KeptTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path)
    (self.root / "store").mkdir(mode=0o700)
    self.store = FolderStore(str(self.root / "store"))
    self.folder = self.root / "environment"
    site = self.folder / "lib" / "site"
    site.mkdir(parents=True)
    self.module = site / "a.py"
    self.module.write_text("one")
    (site / "run").write_text("run")
    (site / "run").chmod(0o755)
    (site / "link").symlink_to("a.py")
    os.link(self.module, site / "b.py")

  def keep(self, seen: dict[str, str]) -> bool:
    return kept.keep(self.store.uri, _RECIPE, self.folder, seen, anew=False)

  def fetched(self) -> Path:
    to = self.root / "fetched"
    kept.fetch(self.store.uri, _RECIPE, to)
    return to / "lib" / "site"

  def test_as_it_was(self) -> None:
    """Texts, modes and links are the next job's, and nothing is left here."""
    self.assertTrue(self.keep(kept.look(self.folder)))
    site = self.fetched()
    self.assertEqual(kept.look(site.parents[1]), kept.look(self.folder))
    self.assertEqual((site / "b.py").read_text(), "one")
    self.assertFalse(self.keep(kept.look(self.folder)))
    left = {path.name for path in self.root.iterdir()}
    self.assertEqual(left, {"store", "environment", "fetched"})

  def test_what_was_added(self) -> None:
    """It is left out, such as caches of bytecode."""
    seen = kept.look(self.folder)
    (self.module.parent / "evil.pth").write_text("import evil")
    self.keep(seen)
    self.assertFalse((self.fetched() / "evil.pth").exists())

  @parameterized.parameters(
    *("echo two > a.py", "chmod 777 a.py", "rm a.py", "ln -sf /etc a.py"),
    *("rm a.py && mkdir a.py", "ln -f run a.py", "ln -sfn run link"),
    "rm -r ../site",
  )
  def test_what_was_changed(self, command: str) -> None:
    """Nothing of it is signed, nor comes into the store."""
    seen = kept.look(self.folder)
    site = self.module.parent
    subprocess.run(command, shell=True, check=True, cwd=site)
    with self.assertRaisesRegex(errors.IntegrityError, "the job has"):
      self.keep(seen)
    self.assertEmpty(list(self.store.list(layout.ENVIRONMENTS)))

  def start(self, worth: float) -> "subprocess.Popen[str]":
    """A process whose environment is never packed, and which has ended."""
    os.mkfifo(self.folder / "pipe")
    return subprocess.Popen(
      [
        *(sys.executable, "-c", _HANGS),
        *(self.store.uri, str(self.folder), str(worth)),
      ],
      stdout=subprocess.PIPE,
      text=True,
    )

  def test_what_takes_long(self) -> None:
    """It is waited for a while, which is said; SIGTERM does nothing then."""
    process = self.start(0)
    printed, _ = process.communicate(timeout=60)
    self.assertEqual(process.returncode, 7, printed)
    _, said, given_up, ended = printed.splitlines()
    self.assertIn("still on its way", said)
    self.assertIn("was not kept", given_up)
    done, seconds = ended.split()
    self.assertEqual(done, "False")
    self.assertBetween(float(seconds), 5.0, 20.0)

  def test_sigterm(self) -> None:
    """It is not waited for any longer."""
    process = self.start(1000)
    assert process.stdout
    while "still on its way" not in process.stdout.readline():
      pass
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    self.assertEqual(process.returncode, 7, printed)
    self.assertIn("False", printed)


if __name__ == "__main__":
  absltest.main()
