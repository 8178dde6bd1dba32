"""The engine with Pulumi's own program, where there is one.

On PATH, or where `make pulumi` puts it.
"""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest
import warnings
from pathlib import Path
from typing import Any

import psutil
from absl.testing import absltest, parameterized
from pulumi import dynamic

from keras_remote import errors
from keras_remote.cli.infra.engine import (
  EngineError,
  Event,
  Program,
  Stage,
  StoppedError,
)
from keras_remote.cli.infra.pulumi_engine import (
  PulumiEngine,
  exported,
  interruptible,
  not_installed,
  retained,
)
from keras_remote.progress import Step
from tests import engine_contract
from tests.fakes.environment import environment

# As Pulumi's releases have it; a build of its program alone lacks it.
_PLUGIN = "pulumi-resource-pulumi-python"
_SCRIPT = '#!/bin/sh\nexec "{python}" -u -m pulumi.dynamic "$@"\n'


_HANGING = """
import sys
from pathlib import Path

from keras_remote.cli.infra.pulumi_engine_test import hang

hang(Path(sys.argv[1]))
"""


class _Provider(dynamic.ResourceProvider):
  """Makes files."""

  def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
    import time
    from pathlib import Path

    if props.get("fails"):
      raise RuntimeError(props["fails"])
    while "hangs" in props and Path(props["hangs"]).exists():
      time.sleep(0.01)
    Path(props["path"]).touch()
    return dynamic.CreateResult(props["path"], outs=props)

  def diff(
    self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
  ) -> dynamic.DiffResult:
    names = {n for n in _news if not n.startswith("__")} - {"hangs"}
    changes = any(_olds.get(name) != _news[name] for name in names)
    return dynamic.DiffResult(changes=changes)

  def update(
    self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
  ) -> dynamic.UpdateResult:
    return dynamic.UpdateResult(outs=_news)

  def delete(self, _id: str, _props: dict[str, Any]) -> None:
    from pathlib import Path

    Path(_id).unlink()


class _Thing(dynamic.Resource):
  def __init__(self, name: str, props: dict[str, Any]) -> None:
    super().__init__(_Provider(), name, props)


_BUILT = Path("~/.cache/keras_remote-pulumi/pulumi").expanduser()
_PULUMI = shutil.which("pulumi") or (str(_BUILT) if _BUILT.exists() else None)


@unittest.skipUnless(_PULUMI, "there is no `pulumi`: `make pulumi` builds it")
class PulumiEngineTest(engine_contract.EngineContract):
  """Pulumi does what the seam says."""

  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path)
    plugin = self.base / "bin" / _PLUGIN
    plugin.parent.mkdir()
    plugin.write_text(_SCRIPT.format(python=sys.executable))
    plugin.chmod(0o755)
    (self.base / "state").mkdir()
    folders = [str(plugin.parent), os.path.dirname(str(_PULUMI))]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    self.enter_context(
      environment(PATH=path, PULUMI_HOME=str(self.base / "home"))
    )

  def tearDown(self) -> None:
    with warnings.catch_warnings():
      # Of a program that is killed Pulumi's library leaves its loop open.
      warnings.simplefilter("ignore", ResourceWarning)
      gc.collect()
    super().tearDown()

  def engine(self) -> PulumiEngine:
    return PulumiEngine(f"file://{self.base}/state", "there.us-central1-a")

  def things(self, **wanted: dict[str, Any]) -> Program:
    return self._program(wanted)

  def exists(self, name: str) -> bool:
    return (self.base / name).exists()

  def killed_at(self, name: str, program: Program) -> None:
    hangs = self.base / "hangs"
    hangs.touch()
    before = set(psutil.Process().children(recursive=True))
    begun = threading.Event()

    def report(told: Event | Step) -> None:
      if isinstance(told, Event) and told.change.resource.name == name:
        begun.set()

    def run() -> None:
      with self.assertRaises(EngineError):
        self.engine().up(self._hanging(name), report)

    thread = threading.Thread(target=run)
    thread.start()
    self.assertTrue(begun.wait(60))
    _wait_for_pending(self.base / "state", name)
    for process in psutil.Process().children(recursive=True):
      if process not in before and process.name() == "pulumi":
        process.kill()
    hangs.unlink()
    thread.join()

  @parameterized.parameters(False, True)
  def test_ctrl_c(self, twice: bool) -> None:
    """What has begun comes to its end; the second one waits for nothing."""
    hangs = self.base / "hangs"
    hangs.touch()
    child = subprocess.Popen(
      [sys.executable, "-c", _HANGING, str(self.base)],
      stdout=subprocess.PIPE,
      text=True,
      # As a terminal has its foreground.
      start_new_session=True,
    )
    self.addCleanup(child.wait)
    assert child.stdout
    with child, child.stdout as lines:
      for line in lines:
        if line == "begun\n":
          _wait_for_pending(self.base / "state", "a")
          os.killpg(child.pid, signal.SIGINT)
        elif line == "interrupted\n" and twice:
          os.killpg(child.pid, signal.SIGINT)
        elif line == "interrupted\n":
          hangs.unlink()
        else:
          self.assertEqual(line, f"{'Keyboard' if twice else 'Stopped'}\n")
    self.assertEqual(self.exists("a"), not twice)
    pending = ["a"] * twice
    self.engine().unlock()
    self.assertEqual([r.name for r in self.engine().pending()], pending)

  def _program(self, wanted: dict[str, dict[str, Any]]) -> Program:
    self._wanted = wanted

    def program() -> None:
      for name, inputs in wanted.items():
        _Thing(name, {"path": str(self.base / name), **inputs})

    return program

  def _hanging(self, name: str) -> Program:
    wanted = {key: dict(value) for key, value in self._wanted.items()}
    wanted[name]["hangs"] = str(self.base / "hangs")
    return self._program(wanted)


class NotInstalledTest(parameterized.TestCase):
  @parameterized.parameters(
    ("darwin", "brew install pulumi/tap/pulumi"),
    ("linux", "curl -fsSL https://get.pulumi.com | sh"),
    ("freebsd", "https://www.pulumi.com/docs/install/"),
  )
  def test_how_it_is_installed(self, platform: str, how: str) -> None:
    """The sentence has the command of that platform."""
    self.assertIn(how, str(not_installed(platform)))

  def test_there_is_none(self) -> None:
    """It is missed when the engine is checked, before anything is done."""
    folder = self.create_tempdir().full_path
    with environment(PATH=folder, HOME=folder):
      engine = PulumiEngine(f"file://{folder}", "there")
      with self.assertRaisesRegex(errors.ConfigError, "is not installed here"):
        engine.check()

  def test_it_is_too_old(self) -> None:
    """An old one is named, with how a new one is got."""
    folder = Path(self.create_tempdir().full_path)
    program = folder / "pulumi"
    program.write_text("#!/bin/sh\necho v3.0.0\n")
    program.chmod(0o755)
    with environment(PATH=str(folder)):
      engine = PulumiEngine(f"file://{folder}", "there")
      with self.assertRaisesRegex(errors.ConfigError, "3.0.0.*installs the"):
        engine.check()

  def test_where_its_script_puts_it(self) -> None:
    """It is found there before the shell that installed it is opened anew."""
    home = Path(self.create_tempdir().full_path)
    program = home / ".pulumi" / "bin" / "pulumi"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho v3.272.0\n")
    program.chmod(0o755)
    with environment(PATH=str(home), HOME=str(home)):
      PulumiEngine(f"file://{home}", "there").check()


class InterruptibleTest(parameterized.TestCase):
  """What Ctrl-C does while something runs."""

  def interrupted(self, *, fails: bool) -> None:
    said = threading.Event()

    def work() -> None:
      os.kill(os.getpid(), signal.SIGINT)
      said.wait()
      if fails:
        raise ValueError("of the work")

    interruptible(work, lambda sentence: said.set())

  @parameterized.parameters(False, True)
  def test_ctrl_c(self, fails: bool) -> None:
    """It stops there, however what was at work then ends."""
    with self.assertRaises(StoppedError):
      self.interrupted(fails=fails)

  def test_undisturbed(self) -> None:
    """The value is the work's."""
    self.assertEqual(interruptible(lambda: 7, self.fail), 7)


class RetainedTest(absltest.TestCase):
  def test_marks(self) -> None:
    """Those to keep are marked, and others no more, which were before."""
    stack = "urn:pulumi:s::keras-remote::"
    a, b = (
      {"type": "gcp:x/y:Y", "urn": f"{stack}gcp:x/y:Y::{name}"} for name in "ab"
    )
    own = {"type": "pulumi:pulumi:Stack", "urn": f"{stack}pulumi:Stack::s"}
    resources: list[dict[str, Any]] = [a, b, own]
    self.assertTrue(retained(resources, ["gcp:x/y:Y::a"]))
    self.assertEqual(
      [r.get("retainOnDelete") for r in resources], [1, None, None]
    )
    self.assertFalse(retained(resources, ["gcp:x/y:Y::a"]))
    self.assertTrue(retained(resources, []))
    self.assertFalse(any(r.get("retainOnDelete") for r in resources))

  def test_unprotects(self) -> None:
    """A cluster that was taken over is removed, unless it is kept."""
    kind = "gcp:container/cluster:Cluster"
    urn = f"urn:pulumi:s::keras-remote::{kind}::cluster"
    for keep in (True, False):
      held = {"deletionProtection": True}
      cluster = {
        "type": kind,
        "urn": urn,
        "inputs": dict(held),
        "outputs": dict(held),
      }
      self.assertTrue(retained([cluster], [f"{kind}::cluster"] * keep))
      self.assertEqual(cluster["inputs"]["deletionProtection"], keep)
      self.assertEqual(cluster["outputs"]["deletionProtection"], keep)


class LabelsTest(absltest.TestCase):
  def test_of_one_taken_over(self) -> None:
    """They are read where Pulumi has them, as a secret of the provider's."""
    labels = {"managed-by": "keras-remote"}
    found = exported(
      {
        "type": "gcp:x/y:Y",
        "urn": "urn:pulumi:s::keras-remote::gcp:x/y:Y::a",
        "inputs": {"name": "a"},
        "outputs": {
          "effectiveLabels": {
            "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
            "plaintext": json.dumps(labels),
          }
        },
      }
    )
    self.assertEqual(found.inputs, {"name": "a", "effectiveLabels": labels})


def hang(base: Path) -> None:
  """Makes a thing that hangs, and says how that ends."""

  def report(told: Event | Step) -> None:
    if isinstance(told, Step):
      _say("interrupted")
    elif told.stage is Stage.BEGUN:
      _say("begun")

  def program() -> None:
    _Thing("a", {"path": str(base / "a"), "hangs": str(base / "hangs")})

  try:
    PulumiEngine(f"file://{base}/state", "there.us-central1-a").up(
      program, report
    )
  except StoppedError:
    _say("Stopped")
  except KeyboardInterrupt:
    _say("Keyboard")


def _say(word: str) -> None:
  sys.stdout.write(f"{word}\n")
  sys.stdout.flush()


def _wait_for_pending(folder: Path, name: str) -> None:
  """Until the state says that it is being made."""
  import time

  while True:
    for path in folder.glob(".pulumi/stacks/**/*.json"):
      text = path.read_text()
      if "pending_operations" in text and f"::{name}" in text:
        return
    time.sleep(0.05)


if __name__ == "__main__":
  absltest.main()
