"""Jobs that install what they need: real processes, and a real uv.

The backend is left out: a folder is the store, and what is installed is a
wheel that lies in another.
"""

import dataclasses
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from absl.testing import absltest

from keras_remote import clock, home
from keras_remote.job import endings, environments, ids, layout, signing, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.launch import ENDED_EXIT, Launch
from keras_remote.job.outcome import Cause, Outcome
from keras_remote.job.spec import Entry, EntryKind, Image, JobSpec, Target
from keras_remote.job.state import State
from keras_remote.packaging import runner_archive
from keras_remote.runner import signals
from keras_remote.storage.folder import FolderStore
from tests.fakes.specs import job_spec

_KEY = bytes(32)
_PYTHON = "{}.{}.0".format(*sys.version_info)
_SCRIPT = "import tiny, sys; print('tiny', tiny.VERSION, sys.prefix)"
_SECONDS = 100.0


def _wheel(folder: Path, version: str) -> None:
  """Writes a wheel of a package that has a version and nothing else."""
  info = f"tiny-{version}.dist-info"
  files = {
    "tiny/__init__.py": f"VERSION = '{version}'\n",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
    f"{info}/WHEEL": (
      "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
      "Tag: py3-none-any\n"
    ),
  }
  record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
  path = folder / f"tiny-{version}-py3-none-any.whl"
  with zipfile.ZipFile(path, "w") as wheel:
    for name, text in {**files, f"{info}/RECORD": record}.items():
      wheel.writestr(name, text)


class InstallingTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.folder = Path(self.create_tempdir().full_path)
    self.wheels = self.folder / "wheels"
    self.wheels.mkdir()
    _wheel(self.wheels, "1.0")
    (self.folder / "store").mkdir(mode=0o700)
    self.store = FolderStore(str(self.folder / "store"))
    # The tests' own home: it is packed once.
    cache = home.ensure(home.Home(home.home()).cache)
    self.runner = runner_archive.runner_archive(cache).path
    self.python = sys.executable
    self.environ = {
      "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
      "UV_FIND_LINKS": str(self.wheels),
      "UV_NO_INDEX": "1",
    }

  def job(
    self,
    *lines: str,
    who: str = "ada@home",
    python: str = _PYTHON,
    base: str = "python:3",
  ) -> JobSpec:
    """A job that prints where tiny is from, in the store."""
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    context = layout.digest(packed.getvalue())
    self.store.write(layout.context(context), packed.getvalue())
    made = job_spec(ids.new_job_id("installs", clock.now()), accelerator="cpu")
    spec = dataclasses.replace(
      made,
      origin=dataclasses.replace(made.origin, who=who),
      entry=Entry(EntryKind.COMMAND, argv=("python", "-c", _SCRIPT)),
      environment=dataclasses.replace(
        made.environment, python=python, imports=()
      ),
      target=Target("here", self.store.uri, "here"),
      payload=None,
      context=context,
      image=Image(base, lines or ("tiny",)),
    )
    self.directory(spec).create_spec(spec, self.key(spec))
    return spec

  def start(self, spec: JobSpec) -> "subprocess.Popen[str]":
    """Its first process."""
    folder = self.place(spec)
    folder.mkdir()
    recipe = environments.recipe(spec, _KEY)
    assert recipe
    (folder / "recipe").write_bytes(wire.encode(recipe))
    (folder / "key").write_bytes(self.key(spec))
    stored = self.store.read(layout.job(spec.job_id, layout.SPEC))
    launch = Launch(
      store=self.store.uri,
      job_id=spec.job_id,
      spec_digest=layout.digest(stored),
      host=0,
      hosts=1,
      key_file=str(folder / "key"),
      scratch=str(folder / "scratch"),
      allocation=spec.job_id,
      leader="127.0.0.1",
      last_words=str(folder / "last-words"),
      recipe=str(folder / "recipe"),
    )
    return subprocess.Popen(
      [self.python, "-I", str(self.runner)],
      env={**self.environ, **launch.environ()},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  def run_job(self, spec: JobSpec, expected: int = 0) -> str:
    """What it prints, live and in the store."""
    process = self.start(spec)
    printed, _ = process.communicate(timeout=_SECONDS)
    self.assertEqual(process.returncode, expected, printed)
    stored = b"".join(self.directory(spec).log(1, 0)).decode()
    if expected in (0, ENDED_EXIT):
      self.assertEqual(printed, stored)
    return printed

  def place(self, spec: JobSpec) -> Path:
    return self.folder / spec.job_id

  def key(self, spec: JobSpec) -> bytes:
    return signing.job_key(_KEY, spec.job_id)

  def directory(self, spec: JobSpec) -> JobDirectory:
    return JobDirectory(self.store, spec.job_id)

  def outcome(self, spec: JobSpec) -> Outcome:
    found = self.directory(spec).outcome(self.key(spec))
    assert found
    return found

  def kept(self) -> list[str]:
    return [entry.key for entry in self.store.list(layout.ENVIRONMENTS)]

  def words(self, spec: JobSpec) -> str:
    return (self.place(spec) / "last-words").read_text()

  def test_the_next_job_finds_it(self) -> None:
    """It installs once; what it needed the next one of this user has."""
    first = self.job()
    printed = self.run_job(first)
    self.assertIn("installing tiny]\n", printed)
    environment = self.place(first) / "environment"
    self.assertIn(f"tiny 1.0 {environment}\n", printed)
    self.assertEqual(self.outcome(first).state, State.SUCCEEDED)
    shutil.rmtree(self.wheels)
    second = self.job(who="ada@elsewhere")
    printed = self.run_job(second)
    self.assertIn("its environment is an earlier job's", printed)
    self.assertIn("tiny 1.0 ", printed)
    self.assertLen(self.kept(), 1)

  def test_what_else_it_is_made_of(self) -> None:
    """Another owner, image or requirement is another environment."""
    self.run_job(self.job())
    for spec in (
      self.job(who="bob@home"),
      self.job(base="python:4"),
      self.job("tiny>=1"),
    ):
      self.assertIn("installing", self.run_job(spec))
    self.assertLen(set(self.kept()), 4)

  def test_a_forged_one(self) -> None:
    """Nothing of it is unpacked; it is installed anew, and replaced."""
    self.run_job(self.job())
    (key,) = self.kept()
    good = self.store.read(key)
    theirs = self.job(who="bob@home")
    self.run_job(theirs)
    (other,) = set(self.kept()) - {key}
    for forged in (
      b"",
      good[:-1],
      good[:-1] + bytes([good[-1] ^ 1]),
      self.store.read(other),
    ):
      self.store.write(key, forged)
      printed = self.run_job(self.job())
      self.assertIn("nothing of it was used", printed)
      self.assertIn("installing", printed)
      self.assertNotEqual(self.store.read(key), forged)
      self.assertNotIn("installing", self.run_job(self.job()))

  def test_a_requirement_that_does_not_exist(self) -> None:
    """The job fails with uv's words."""
    spec = self.job("tiny==7", "tiny")
    printed = self.run_job(spec, ENDED_EXIT)
    outcome = self.outcome(spec)
    self.assertEqual(outcome.cause, Cause.SETUP)
    self.assertEqual(
      outcome.exception_type, "keras_remote.errors.ImageBuildError"
    )
    self.assertIn("tiny==7", outcome.message)
    self.assertIn("tiny==7", printed)
    self.assertEmpty(self.kept())

  def test_an_index_that_nobody_reaches(self) -> None:
    """The job fails with uv's words, and shows no password."""
    self.environ["UV_HTTP_RETRIES"] = "0"
    self.environ["UV_DEFAULT_INDEX"] = "http://ada:hunter22@127.0.0.1:9/simple"
    self.environ["UV_NO_INDEX"] = "0"
    spec = self.job("tiny==7")
    printed = self.run_job(spec, ENDED_EXIT)
    message = self.outcome(spec).message
    self.assertIn("127.0.0.1:9", message)
    self.assertNotIn("hunter22", printed + message)

  def test_an_image_of_another_python(self) -> None:
    """The ending says which one is there, and which one to choose."""
    spec = self.job(python="3.99.0")
    self.run_job(spec, ENDED_EXIT)
    here = "{}.{}".format(*sys.version_info)
    self.assertIn(f"python:3 has Python {here}", self.outcome(spec).message)
    self.assertIn("python:3.99-slim", self.outcome(spec).message)

  def test_an_image_that_can_install_nothing(self) -> None:
    """Its last words say so, as nothing reaches the store.

    Of another Python they name that, as it is to be changed first.
    """
    bare = self.folder / "bare"
    subprocess.run(
      [sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True
    )
    self.python = str(bare / "bin" / "python")
    self.environ["PATH"] = "/usr/bin:/bin"
    spec = self.job()
    self.run_job(spec, 1)
    self.assertIn("neither pip nor uv", self.words(spec))
    spec = self.job(python="3.99.0")
    self.run_job(spec, 1)
    self.assertIn("base_image= to an image of that", self.words(spec))

  def test_a_store_that_cannot_be_reached_then(self) -> None:
    """Its last words are uv's, where not even the client could be had."""
    spec = self.job("google-cloud-storage==0.0.1", "tiny")
    self.run_job(spec, 1)
    self.assertIn("google-cloud-storage==0.0.1", self.words(spec))

  def test_what_has_ended_installs_and_calls_nothing(self) -> None:
    """A start that finds an outcome goes by that."""
    spec = self.job()
    endings.cancel(self.directory(spec), spec, self.key(spec), "ada")
    process = self.start(spec)
    printed, _ = process.communicate(timeout=_SECONDS)
    self.assertEqual(process.returncode, ENDED_EXIT, printed)
    self.assertNotIn("tiny 1.0", printed)

  def slow(self) -> JobSpec:
    """A job that waits for an index which does not answer."""
    listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = listener.getsockname()[1]
    self.environ["UV_DEFAULT_INDEX"] = f"http://127.0.0.1:{port}/simple"
    self.environ["UV_NO_INDEX"] = "0"
    self.addCleanup(listener.close)
    self.listener = listener
    return self.job("nobody-has-it")

  def test_sigterm(self) -> None:
    """It ends at once, with what it started, and stores no ending."""
    spec = self.slow()
    process = self.start(spec)
    self.enter_context(self.listener.accept()[0])
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=_SECONDS)
    self.assertLess(time.monotonic() - began, 5.0)
    self.assertEqual(process.returncode, signals.STOPPED_EXIT)
    self.assertIsNone(self.directory(spec).outcome())
    self.assertEmpty(self.directory(spec).attempts())

  def test_a_kill(self) -> None:
    """Whoever started it is told that what installs was killed."""
    spec = self.slow()
    process = self.start(spec)
    self.enter_context(self.listener.accept()[0])
    listed = subprocess.run(
      ["ps", "-o", "pid=", "--ppid", str(process.pid)],
      capture_output=True,
      text=True,
      check=True,
    )
    for pid in listed.stdout.split():
      os.kill(int(pid), signal.SIGKILL)
    process.communicate(timeout=_SECONDS)
    self.assertEqual(process.returncode, 1)
    self.assertIn("was killed", self.words(spec))


if __name__ == "__main__":
  absltest.main()
