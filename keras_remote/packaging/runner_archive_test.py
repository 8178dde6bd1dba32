"""The runner in one file: what is in it, how it starts, when it is made."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from absl.testing import absltest

from keras_remote.job.launch import (
  JOB_ID_VARIABLE,
  LAST_WORDS_VARIABLE,
  RELEASE_VARIABLE,
)
from keras_remote.packaging import runner_archive as subject
from keras_remote.packaging.runner_archive import runner_archive, write_archive
from tests.fakes import tls
from tests.fakes.api_server import ApiServer

_BOOT = b"""\
import traceback


def boot():
  import broken
  try:
    return broken.fail()
  except ValueError:
    traceback.print_exc()
"""


class _FolderTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = Path(folder.name)


class RunnerArchiveTest(_FolderTest):
  """The real one."""

  def test_holds_what_a_job_needs_and_no_more(self) -> None:
    """Modules with their bytecode; no tests, no command line."""
    archive = runner_archive(self.folder)
    with zipfile.ZipFile(archive.path) as file:
      names = set(file.namelist())
      flags = file.read("__main__.pyc")[4:8]
    for module in (
      "keras_remote/errors",
      "keras_remote/credentials",
      "keras_remote/storage/gcs",
      "cloudpickle/cloudpickle",
    ):
      self.assertContainsSubset({f"{module}.py", f"{module}.pyc"}, names)
    self.assertIn("__main__.pyc", names)
    # A function may ask for jobs; no start does.
    self.assertIn("keras_remote/backend/registry.py", names)
    self.assertNotIn("keras_remote/backend/registry.pyc", names)
    self.assertEqual(flags, b"\1\0\0\0")  # PEP 552: by hash, unchecked
    for name in names:
      self.assertNotStartsWith(name, "keras_remote/cli/")
      self.assertNotEndsWith(name, "_test.py")
    self.assertEqual(archive.size, archive.path.stat().st_size)
    self.assertLess(archive.size, subject.MAX_BYTES)
    self.assertEqual(archive.path.name, f"runner-{archive.digest}.pyz")

  def test_a_python_that_is_too_old(self) -> None:
    """It says so, and what to do, where whoever started it looks."""
    archive, words = runner_archive(self.folder), self.folder / "words"
    old = (
      "import runpy, sys; sys.version_info = (3, 9, 2, 'final', 0); "
      "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    ran = subprocess.run(
      [sys.executable, "-I", "-c", old, archive.path],
      env={LAST_WORDS_VARIABLE: str(words)},
      capture_output=True,
      text=True,
      timeout=30,
    )
    self.assertEqual(ran.returncode, 1, ran.stderr)
    self.assertIn("has Python 3.9", words.read_text())
    self.assertIn("container_image=", words.read_text())

  def test_a_python_that_is_too_old_for_a_group(self) -> None:
    """It frees the machines: it would be started again for ever."""
    old = (
      "import runpy, sys, time; sys.version_info = (3, 6, 2, 'final', 0); "
      "time.sleep = lambda seconds: None; "
      "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    identity = tls.identity()
    for name, text in (
      ("ca.crt", identity.certificate),
      ("namespace", "team"),
      ("token", "secret"),
    ):
      (self.folder / name).write_text(text)
    archive, words = runner_archive(self.folder), self.folder / "words"
    with ApiServer(identity.context) as server:
      url = urlsplit(server.url)
      left = [500]
      server.fault = lambda request: left.pop() if left else None
      ran = subprocess.run(
        [sys.executable, "-I", "-c", old, archive.path],
        env={
          LAST_WORDS_VARIABLE: str(words),
          RELEASE_VARIABLE: str(self.folder),
          JOB_ID_VARIABLE: "job-1",
          "KUBERNETES_SERVICE_HOST": f"{url.hostname}",
          "KUBERNETES_SERVICE_PORT": f"{url.port}",
        },
        capture_output=True,
        text=True,
        timeout=60,
      )
      asked = [(r.method, *r.path.split("/")[-2:]) for r in server.requests]
    self.assertEqual(ran.returncode, 1, ran.stderr)
    self.assertIn("has Python 3.6", words.read_text())
    sets = ("DELETE", "leaderworkersets", "job-1")
    self.assertEqual(asked, [sets, ("DELETE", "jobs", "job-1"), sets])

  def test_is_found_again(self) -> None:
    """Not written a second time, and made anew where it was touched."""
    first = runner_archive(self.folder)
    inode = first.path.stat().st_ino
    self.assertEqual(runner_archive(self.folder), first)
    self.assertEqual(first.path.stat().st_ino, inode)
    first.path.write_bytes(b"")
    self.assertEqual(runner_archive(self.folder), first)
    self.assertEqual(first.path.stat().st_size, first.size)

  def test_is_the_same_in_another_process(self) -> None:
    """Whatever that has imported, elsewhere, at another time."""
    program = (
      "import ast, asyncio, email.message, sqlite3, sys, pathlib;"
      "from keras_remote.packaging.runner_archive import runner_archive;"
      "print(runner_archive(pathlib.Path(sys.argv[1])).digest)"
    )
    package = Path(subject.__file__).resolve().parents[1]
    copy = self.folder / "copy"
    shutil.copytree(
      package, copy / "keras_remote", copy_function=shutil.copyfile
    )
    said = subprocess.check_output(
      (sys.executable, "-c", program, str(self.folder / "theirs")),
      env=os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), *sys.path])},
      text=True,
    )
    self.assertEqual(said.strip(), runner_archive(self.folder / "ours").digest)

  def test_its_modules_load_from_bytecode(self) -> None:
    """With a bare interpreter, and nothing else on the way."""
    archive = runner_archive(self.folder)
    program = (
      f"import sys; sys.path.insert(0, {str(archive.path)!r});"
      "import cloudpickle.cloudpickle as c, keras_remote.errors as e;"
      "print(c.dumps.__code__.co_filename, e.__file__)"
    )
    said = subprocess.check_output(
      (sys.executable, "-I", "-S", "-c", program), text=True
    )
    self.assertEqual(
      said.split(),
      [
        "keras-remote.pyz/cloudpickle/cloudpickle.py",
        f"{archive.path}/keras_remote/errors.pyc",
      ],
    )


class WriteArchiveTest(_FolderTest):
  """One with another runner."""

  def write(self, **modules: bytes) -> Path:
    sources = {"keras_remote/runner/boot.py": _BOOT}
    sources["keras_remote/__init__.py"] = b""
    sources["keras_remote/runner/__init__.py"] = b""
    sources |= {f"{name}.py": source for name, source in modules.items()}
    for name, source in sources.items():
      path = self.folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(source)
    archive = self.folder / "a.pyz"
    with open(archive, "w+b") as file:
      write_archive(file, {name: self.folder / name for name in sources})
    return archive

  def start(self, archive: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-I", "-S", str(archive))
    return subprocess.run(command, capture_output=True, text=True, check=False)

  def test_starts_the_runner_and_hands_its_exit_code_on(self) -> None:
    """What the runner gives back is how the process ends."""
    archive = self.write(broken=b"def fail():\n  return 7\n")
    self.assertEqual(self.start(archive).returncode, 7)

  def test_tracebacks_show_the_source(self) -> None:
    """Bytecode alone would hide it."""
    archive = self.write(broken=b"def fail():\n  raise ValueError  # so\n")
    said = self.start(archive).stderr
    self.assertIn('keras-remote.pyz/broken.py", line 2, in fail', said)
    self.assertIn("raise ValueError  # so", said)

  def test_starts_under_another_version_of_python(self) -> None:
    """Bytecode that this one cannot read is passed over."""
    archive = self.write(broken=b"def fail():\n  return 7\n")
    foreign = self.folder / "b.pyz"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(foreign, "w") as new:
      for name in old.namelist():
        data = old.read(name)
        new.writestr(
          name, b"\0\0\r\n" + data[4:] if name.endswith("c") else data
        )
    self.assertEqual(self.start(foreign).returncode, 7)


if __name__ == "__main__":
  absltest.main()
