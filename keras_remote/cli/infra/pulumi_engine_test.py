"""The engine with Pulumi's own program, where there is one.

On PATH, or where `make pulumi` puts it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pulumi
from absl.testing import absltest, parameterized
from pulumi import dynamic

from keras_remote import errors
from keras_remote.cli.infra.engine import (
  Event,
  Program,
  Stage,
  StoppedError,
)
from keras_remote.cli.infra.pulumi_engine import (
  PulumiEngine,
  exported,
  not_installed,
  retained,
)
from keras_remote.progress import Step
from tests import engine_contract
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server

# As Pulumi's releases have it; a build of its program alone lacks it.
_PLUGIN = "pulumi-resource-pulumi-python"
_SCRIPT = '#!/bin/sh\nexec "{python}" -u -m pulumi.dynamic "$@"\n'
_BUCKET = "my-project-keras-remote-state"
_HANGING = """
import json
import sys
from pathlib import Path

from keras_remote.cli.infra.pulumi_engine_test import hang

hang(Path(sys.argv[1]), json.loads(sys.argv[2]))
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

    if Path(f"{_id}.stays").exists():
      raise RuntimeError("googleapi: Error 400: it is in use")
    Path(_id).unlink()


class _Thing(dynamic.Resource):
  def __init__(
    self, name: str, props: dict[str, Any], after: Sequence["_Thing"]
  ) -> None:
    options = pulumi.ResourceOptions(depends_on=after)
    super().__init__(_Provider(), name, props, options)


_BUILT = Path("~/.cache/keras_remote-pulumi/pulumi").expanduser()
_PULUMI = shutil.which("pulumi") or (str(_BUILT) if _BUILT.exists() else None)


@unittest.skipUnless(_PULUMI, "there is no `pulumi`: `make pulumi` builds it")
class PulumiEngineTest(engine_contract.EngineContract):
  """Pulumi does what the seam says, with its state in a bucket."""

  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path)
    plugin = self.base / "bin" / _PLUGIN
    plugin.parent.mkdir()
    plugin.write_text(_SCRIPT.format(python=sys.executable))
    plugin.chmod(0o755)
    folders = [str(plugin.parent), os.path.dirname(str(_PULUMI))]
    server = self.enter_context(gcs_server(_BUCKET))
    self.enter_context(
      environment(
        PATH=os.pathsep.join([*folders, os.environ["PATH"]]),
        PULUMI_HOME=str(self.base / "home"),
        # As Go's client wants it, which also logs in: to anything.
        STORAGE_EMULATOR_HOST=server.removeprefix("http://"),
        GOOGLE_OAUTH_ACCESS_TOKEN="none",
      )
    )

  def engine(self) -> PulumiEngine:
    return _engine()

  def things(self, **wanted: dict[str, Any]) -> Program:
    self._wanted = wanted
    return _program(self.base, wanted)

  def exists(self, name: str) -> bool:
    return (self.base / name).exists()

  @contextlib.contextmanager
  def in_use(self, name: str) -> Generator[None]:
    stays = self.base / f"{name}.stays"
    stays.touch()
    yield
    stays.unlink()

  def killed_at(self, name: str, program: Program) -> None:
    child = self.hanging(name)
    self.wait_for_pending(child, name)
    _kill(child)

  @parameterized.parameters(False, True)
  def test_ctrl_c(self, twice: bool) -> None:
    """What has begun comes to its end; the second one waits for nothing.

    It reaches a Pulumi program that was too busy to see the first one.
    """
    child = self.hanging("a", a={})
    busy = psutil.Process(child.pid)
    assert child.stdout
    for line in child.stdout:
      if line == "begun\n":
        self.wait_for_pending(child, "a")
        (busy,) = busy.children()
        if twice:
          busy.suspend()
        os.killpg(child.pid, signal.SIGINT)
      elif line == "interrupted\n" and twice:
        os.killpg(child.pid, signal.SIGINT)
        busy.resume()
      elif line == "interrupted\n":
        (self.base / "hangs").unlink()
      else:
        self.assertEqual(line, f"{'Keyboard' if twice else 'Stopped'}\n")
    self.assertEqual(self.exists("a"), not twice)
    pending = ["a"] * twice
    self.engine().unlock()
    self.assertEqual([r.name for r in self.engine().pending()], pending)

  def hanging(
    self, name: str, **wanted: dict[str, Any]
  ) -> "subprocess.Popen[str]":
    """A process that makes the things, and hangs at one."""
    hangs = self.base / "hangs"
    hangs.touch()
    wanted = wanted or self._wanted
    wanted = {**wanted, name: {**wanted[name], "hangs": str(hangs)}}
    child = subprocess.Popen(
      [sys.executable, "-c", _HANGING, str(self.base), json.dumps(wanted)],
      stdout=subprocess.PIPE,
      text=True,
      # As a terminal has its foreground.
      start_new_session=True,
    )
    self.addCleanup(_kill, child)
    return child

  def wait_for_pending(self, child: "subprocess.Popen[str]", name: str) -> None:
    """Until the state says that it is being made."""
    while name not in [each.name for each in self.engine().pending()]:
      self.assertIsNone(child.poll())


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
    """It is missed before anything is done."""
    folder = self.create_tempdir().full_path
    missed = self.assertRaisesRegex(errors.ConfigError, "not installed here")
    with environment(PATH=folder, HOME=folder), missed:
      PulumiEngine(f"file://{folder}", "there")

  def test_it_is_too_old(self) -> None:
    """An old one is named, with how a new one is got."""
    folder = Path(self.create_tempdir().full_path)
    program = folder / "pulumi"
    program.write_text("#!/bin/sh\necho v3.0.0\n")
    program.chmod(0o755)
    named = self.assertRaisesRegex(errors.ConfigError, "3.0.0.*installs the")
    with environment(PATH=str(folder)), named:
      PulumiEngine(f"file://{folder}", "there")

  def test_where_its_script_puts_it(self) -> None:
    """It is found there before the shell that installed it is opened anew."""
    home = Path(self.create_tempdir().full_path)
    program = home / ".pulumi" / "bin" / "pulumi"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho v3.272.0\n")
    program.chmod(0o755)
    with environment(PATH=str(home), HOME=str(home)):
      PulumiEngine(f"file://{home}", "there")


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


def hang(base: Path, wanted: dict[str, dict[str, Any]]) -> None:
  """Makes things of which one hangs, and says how that ends."""

  def report(told: Event | Step) -> None:
    if isinstance(told, Step):
      _say("interrupted")
    elif told.stage is Stage.BEGUN:
      _say("begun")

  try:
    _engine().up(_program(base, wanted), report)
  except StoppedError:
    _say("Stopped")
  except KeyboardInterrupt:
    _say("Keyboard")


def _engine() -> PulumiEngine:
  return PulumiEngine(f"gs://{_BUCKET}", "there.us-central1-a")


def _program(base: Path, wanted: dict[str, dict[str, Any]]) -> Program:
  def program() -> None:
    made: list[_Thing] = []
    for name, inputs in wanted.items():
      props = {"path": str(base / name), **inputs}
      made.append(_Thing(name, props, tuple(made)))

  return program


def _say(word: str) -> None:
  sys.stdout.write(f"{word}\n")
  sys.stdout.flush()


def _kill(child: "subprocess.Popen[str]") -> None:
  """Kills it with all that it has started."""
  if child.poll() is None:
    process = psutil.Process(child.pid)
    for each in (*process.children(recursive=True), process):
      each.kill()
  with child:
    pass


if __name__ == "__main__":
  absltest.main()
