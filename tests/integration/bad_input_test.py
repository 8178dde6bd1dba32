"""Bad input: refused with the thing and the cure, before anything starts."""

import os
import shutil
import subprocess

import psutil
from absl.testing import absltest, parameterized

from tests.integration.harness import ProjectTest

_CALL = """
import keras_remote

@keras_remote.run
def train():
  return "called"

"""
_MAKE_JOBS = """
for tag in "abc":
  train.options(name=tag + "-same").submit()
"""
# Mounts a disk at $0, runs the rest, and lists the files that it left there.
_ON_DISK = """
mount -t tmpfs -o mode=700,{limits} tmpfs "$0" || exit
"$@"
code=$?
(cd "$0" && find . -type f) > "$0"/../left
exit $code
"""
# Where a job leaves its traces, in a home and in a store.
_OF_JOBS = ("contexts/", "index/", "jobs/", "local/", "preparing/")


class _RefusedTest(ProjectTest, parameterized.TestCase):
  def assert_refused(self, source: str, *parts: str, **variables: str) -> None:
    """It fails, says all of `parts`, and leaves neither file nor process."""
    before = self._of_jobs()
    ran = self.run_script(source, **variables)
    self.assertEqual(ran.returncode, 1, ran.stdout)
    raised = ran.stderr.rpartition("\nkeras_remote.errors.")[2]
    for part in parts:
      self.assertIn(part, raised)
    self.assertNotIn("called", ran.stdout)
    self.assertEqual(self._of_jobs(), before)
    self.assertEmpty(self.processes())

  def _of_jobs(self) -> list[str]:
    return [name for name in self.stored() if name.startswith(_OF_JOBS)]


class BadInputTest(_RefusedTest):
  @parameterized.named_parameters(
    ("name", "v9e-8", "'v9e-8'", "v5e"),
    ("near", "v5f-8", "v5e"),
    ("size", "v5e-7", "v5e-4", "v5e-8"),
    ("count", "l4x3", "l4x4"),
    ("no_tpu_v2", "v2-8", "v2", "v3"),
  )
  def test_accelerator(self, name: str, *parts: str) -> None:
    """An accelerator or size that is none is refused, naming those that are."""
    self.assert_refused(
      f"{_CALL}train.options(accelerator={name!r}).submit()",
      "AcceleratorError",
      *parts,
    )

  def test_too_many_hosts(self) -> None:
    """A slice of many hosts is emulated only where local is asked for."""
    call = f"{_CALL}train.options(accelerator='v5e-64').submit()"
    self.assert_refused(call, "16 hosts", 'backend="local"')
    call = f"{_CALL}train.options(accelerator='v5e-256', backend='local')()"
    self.assert_refused(call, "64 hosts are too many")

  @parameterized.named_parameters(
    ("variable", "train.submit()", {"KERAS_BACKEND": "torch"}),
    ("option", "train.options(env={'KERAS_BACKEND': 'torch'}).submit()", {}),
  )
  def test_hosts_without_jax(
    self, call: str, variables: dict[str, str]
  ) -> None:
    """Several hosts with a Keras backend that cannot use them are refused."""
    self.assert_refused(
      f"{_CALL}train = train.options(accelerator='v5e-16')\n{call}",
      "v5e-16 on 4 hosts",
      "KERAS_BACKEND=jax in place of torch",
      **variables,
    )

  @parameterized.named_parameters(
    (
      "argument",
      "call = keras_remote.run(lambda data: data)\n"
      "call.submit({'a': [1, threading.Lock()]})",
      "argument 'data' → ['a'] → [1] → _thread.lock",
    ),
    (
      "global",
      "log = open('log.txt', 'w')\n"
      "def train():\n  return log\n"
      "keras_remote.run(train).submit()",
      "train → global 'log' → _io.TextIOWrapper",
    ),
    (
      "closure",
      "def make(lock):\n  def train():\n    return lock\n  return train\n"
      "keras_remote.run(make(threading.Lock())).submit()",
      "train → closure 'lock' → _thread.lock",
    ),
    (
      "default",
      "def train(lock=threading.Lock()):\n  pass\n"
      "keras_remote.run(train).submit()",
      "train → default 'lock' → _thread.lock",
    ),
    (
      "instance",
      "class Model:\n  def __init__(self):\n    self.lock = threading.Lock()\n"
      "  @keras_remote.run\n  def train(self):\n    pass\n"
      "Model().train.submit()",
      "attribute 'lock' → _thread.lock",
    ),
  )
  def test_not_picklable(self, call: str, path: str) -> None:
    """What cannot be pickled is named, with the way to it and the cure."""
    self.assert_refused(
      f"import threading, keras_remote\n{call}",
      "PackagingError",
      path,
      "inside the function",
    )

  @parameterized.named_parameters(
    ("missing", "call()", "missing a required argument: 'lr'"),
    ("surplus", "call(1, 2)", "too many positional arguments"),
    ("unknown", "call(1, rate=2)", "unexpected keyword argument 'rate'"),
    ("twice", "call(1, lr=1)", "multiple values for argument 'lr'"),
  )
  def test_arguments(self, call: str, message: str) -> None:
    """Arguments that do not fit are a TypeError here, as in a plain call."""
    self.assert_refused(
      "import keras_remote\n"
      "@keras_remote.run\n"
      f"def call(lr):\n  print('called')\n{call}",
      "TypeError: ",
      message,
    )

  def test_large_payload(self) -> None:
    """A call over 100 MB goes, with a warning that names what is largest."""
    ran = self.run_script("""
      import keras_remote
      import numpy as np

      weights = np.zeros(15_000_000)

      @keras_remote.run
      def train(small, data):
        return len(weights) + len(small) + len(data["images"])

      print(train(np.zeros(10), {"images": np.zeros(200_000)}))
    """)
    self.assertEqual(ran.stdout, "15200010\n", ran.stderr)
    warning = ran.stderr.splitlines()[0]
    self.assertIn("the call is 122 MB, most of it", warning)
    self.assertIn("train → global 'weights' (120 MB)", warning)
    self.assertIn("argument 'data' → ['images'] (2 MB)", warning)
    self.assertIn("load large data inside the function", warning)

  def test_payload_in_limit(self) -> None:
    """A call of less than 100 MB goes without a warning."""
    ran = self.run_script(
      "import keras_remote\n"
      "print(keras_remote.run(lambda data: len(data))(bytes(90_000_000)))"
    )
    self.assertEqual(ran.stdout, "90000000\n", ran.stderr)
    self.assertNotIn("the call is", ran.stderr)

  @parameterized.named_parameters(
    ("disk", "/", "the working directory is /;"),
    ("home", "~", "holds your whole home directory"),
  )
  def test_working_directory(self, folder: str, what: str) -> None:
    """The whole disk or the home directory is no project; it names one."""
    home = {"HOME": str(self.base)}
    named = f"train.options(working_dir={folder!r}).submit()"
    there = f"import os\nos.chdir(os.path.expanduser({folder!r}))\ntrain()"
    for call in named, there:
      with self.subTest(call):
        self.assert_refused(
          _CALL + call,
          "PackagingError",
          what,
          f"working_dir= or --working-dir, such as {self.project}",
          **home,
        )

  def test_missing_working_directory(self) -> None:
    """A working directory that is not there, or a file, is refused."""
    for name, what in ("nowhere", "is not there"), ("main.py", "is a file"):
      with self.subTest(name):
        call = f"{_CALL}train.options(working_dir={name!r}).submit()"
        self.assert_refused(call, f"/{name} {what}", "working_dir=")

  def test_large_project(self) -> None:
    """A project over 500 MB names its largest files, and the rules' file."""
    large = self.write("data/large.bin", "")
    with large.open("r+b") as file:
      file.truncate(501_000_000)  # Sparse: it takes no room.
    self.assert_refused(
      f"{_CALL}train()",
      "501 MB after ignoring",
      "data/large.bin",
      ".kerasremoteignore",
    )
    self.write(".kerasremoteignore", "data/\n")
    self.assertEqual(self.output(f"{_CALL}print(train())"), "called\n")

  def test_much_is_sent(self) -> None:
    """A project over 100 MB goes, with a warning the first time."""
    (self.project / "weights.bin").write_bytes(os.urandom(101_000_000))
    ran = self.run_script(f"{_CALL}print(train())")
    self.assertEqual(ran.stdout, "called\n", ran.stderr)
    (warning,) = [line for line in ran.stderr.splitlines() if " MB" in line]
    self.assertIn("the project is 101 MB packed", warning)
    self.assertIn("weights.bin 101 MB", warning)
    self.assertIn(".kerasremoteignore", warning)
    ran = self.run_script(f"{_CALL}print(train())")
    self.assertNotIn("101 MB", ran.stderr)

  def test_nobody_asks(self) -> None:
    """A job that could not be sent is told of, where nobody asks for it too."""
    with self.write("large.bin", "").open("r+b") as file:
      file.truncate(501_000_000)
    ran = self.run_script(f"{_CALL}train.submit()")
    self.assertIn("501 MB after ignoring", ran.stderr)

  @parameterized.named_parameters(
    ("option", "train.options(acelerator='l4')()", "'acelerator'"),
    ("decorator", "keras_remote.run(acelerator='l4')", "'acelerator'"),
    (
      "settings",
      "with keras_remote.settings(acelerator='l4'): pass",
      "'acelerator'",
    ),
    ("value", "train.options(timeout='soon')()", "'soon'", "'30m'"),
    ("backend", "train.options(backend='locl')()", "'locl'", "'local'"),
    (
      "captured",
      "train.options(capture_env_vars=['NO_TOKEN'])()",
      "NO_TOKEN",
      "export NO_TOKEN=",
    ),
  )
  def test_option(self, call: str, *parts: str) -> None:
    """An option, value or backend that there is not is named, with the cure."""
    self.assert_refused(f"{_CALL}{call}", "ConfigError", *parts)

  @parameterized.named_parameters(
    ("in_toml", "[tool.keras_remote]\nacelerator = 'l4'\n", "acelerator"),
    ("spelling", "[tool.keras-remote]\nname = 'x'\n", "[tool.keras_remote]"),
  )
  def test_pyproject(self, text: str, *parts: str) -> None:
    """What pyproject.toml says wrongly is named with the file."""
    self.write("pyproject.toml", text)
    self.assert_refused(
      f"{_CALL}train()", "ConfigError", "pyproject.toml", *parts
    )

  def test_broken_file(self) -> None:
    """A file that is no TOML is named, with the line."""
    self.home.mkdir(mode=0o700)
    for path in self.home / "config.toml", self.project / "pyproject.toml":
      with self.subTest(path.name):
        path.write_text("[tool.x]\n\nname = \n")
        self.assert_refused(
          f"{_CALL}train.submit()", "ConfigError", str(path), "line 3"
        )
        path.write_text("")

  @parameterized.parameters(
    "KERAS_REMOTE_ACCELERATOR",
    "KERAS_REMOTE_BACKEND",
    "KERAS_REMOTE_HOME",
    "KERAS_REMOTE_PROFILE",
    "KERAS_REMOTE_STORE",
    "KERAS_REMOTE_TAGS",
  )
  def test_empty_variable(self, name: str) -> None:
    """A variable that is set but empty is an error, not the default."""
    self.assert_refused(
      f"{_CALL}train.submit()",
      "ConfigError",
      f"{name} is set but empty",
      "unset",
      **{name: ""},
    )

  def test_unknown_variable(self) -> None:
    """A variable of ours that there is not is refused, naming the nearest."""
    self.assert_refused(
      f"{_CALL}train.submit()",
      "KERAS_REMOTE_ACELERATOR",
      "'KERAS_REMOTE_ACCELERATOR'",
      KERAS_REMOTE_ACELERATOR="l4",
    )

  def test_ci(self) -> None:
    """In CI nobody emulates an accelerator without naming the backend."""
    call = f"{_CALL}train = train.options(accelerator='v5e-8')\n"
    self.assert_refused(
      f"{call}train.submit()",
      "ConfigError",
      "'v5e-8'",
      "KERAS_REMOTE_BACKEND",
      CI="true",
    )
    ran = self.output(
      f"{call}print(train())", CI="true", KERAS_REMOTE_BACKEND="local"
    )
    self.assertEqual(ran, "called\n")

  def test_job_id(self) -> None:
    """A job that there is not, or not alone, is named with the cure."""
    attach = "import keras_remote\nkeras_remote.attach({})"
    self.assert_refused(attach.format(""), "JobNotFoundError", "holds no job")
    self.output(f"{_CALL}{_MAKE_JOBS}")
    listed = self.output(
      "import keras_remote\n"
      "jobs = keras_remote.list_jobs()\n"
      "[keras_remote.attach(job.id).result() for job in jobs]\n"
      "print(*(job.id for job in jobs))"
    ).split()
    # The jobs have ended; their processes are about to.
    psutil.wait_procs(self.processes(), timeout=20)
    self.assert_refused(
      attach.format("'nowhere'"),
      "JobNotFoundError",
      "'nowhere'",
      "keras-remote jobs list",
    )
    self.assert_refused(
      attach.format("'-same-'"),
      "JobNotFoundError",
      "3 jobs go by '-same-'",
      *listed,
      "type more of the id",
    )


class StoreTest(_RefusedTest):
  def setUp(self) -> None:
    super().setUp()
    self.store = self.base / "store"
    self.store.mkdir(mode=0o700)
    self.left = self.base / "left"

  def _mount(self, limits: str) -> None:
    """Has scripts run where the store is a disk of its own, with limits."""
    if shutil.which("unshare") is None:
      self.skipTest("needs unshare, to mount a small disk")
    within = ("unshare", "-rm", "sh", "-c", _ON_DISK.format(limits=limits))
    if subprocess.run([*within, self.store, "true"]).returncode:
      self.skipTest("may not mount a small disk in a namespace of its own")
    self.within = (*within, str(self.store))

  def _jobs_on_disk(self) -> list[str]:
    names = self.left.read_text().splitlines()
    return [n for n in names if n.removeprefix("./").startswith(_OF_JOBS)]

  def test_no_space(self) -> None:
    """Where the store is full, the job is taken out of it again."""
    self._mount("size=256k")
    call = "keras_remote.run(lambda data: data)(random.randbytes(500_000))"
    self.assert_refused(
      f"import random, keras_remote\n{call}",
      "StoreError",
      str(self.store),
      "No space left on device",
      "free some space",
      KERAS_REMOTE_STORE=str(self.store),
    )
    self.assertEmpty(self._jobs_on_disk())

  def test_no_space_at_any_write(self) -> None:
    """Whichever file is the one too many, nothing of the job stays."""
    for files in range(2, 11):
      with self.subTest(files=files):
        self._mount(f"nr_inodes={files}")
        self.assert_refused(
          f"{_CALL}train()",
          "StoreError",
          "No space left on device",
          KERAS_REMOTE_STORE=str(self.store),
        )
        self.assertEmpty(self._jobs_on_disk())

  def test_no_space_at_home(self) -> None:
    """Where the home is full, the error says so too."""
    self.home = self.store
    self._mount("size=64k")
    self.assert_refused(
      f"{_CALL}train()",
      "No space left on device",
      "make room",
    )
    self.assertEmpty(self._jobs_on_disk())

  def assert_no_right(self, cure: str, **variables: str) -> None:
    """The store cannot be written to, and the error says so."""
    self.store.chmod(0o500)
    # Without its capabilities root has no more rights than others.
    if os.geteuid() == 0:
      self.within = ("setpriv", "--bounding-set", "-all")
    self.assert_refused(
      f"{_CALL}train()",
      "StoreError",
      str(self.store),
      "Permission denied",
      cure,
      **variables,
    )
    self.assertEmpty(list(self.store.iterdir()))

  def test_no_right_in_store(self) -> None:
    """A store to which this user may not write is named, with the cure."""
    self.assert_no_right(
      "choose a folder that you may write to",
      KERAS_REMOTE_STORE=str(self.store),
    )

  def test_no_right_at_home(self) -> None:
    """A home to which this user may not write is named, with the cure."""
    self.home = self.store
    self.assert_no_right("the right to write")

  def test_writable_by_others(self) -> None:
    """A store that others can write to is refused: what is in it is run."""
    self.store.chmod(0o777)
    self.assert_refused(
      f"{_CALL}train()",
      "StoreError",
      f"chmod go-w {self.store}",
      KERAS_REMOTE_STORE=str(self.store),
    )
    self.assertEmpty(list(self.store.iterdir()))


if __name__ == "__main__":
  absltest.main()
