"""The engine that is Pulumi, by its Automation API."""

import contextlib
import functools
import json
import re
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from pulumi import automation
from pulumi.automation import errors as pulumi_errors

from keras_remote import errors
from keras_remote.cli.infra.engine import (
  LABELS,
  Change,
  EngineError,
  Event,
  LockedError,
  Op,
  Program,
  Report,
  Resource,
  Stage,
  StoppedError,
)
from keras_remote.cli.infra.interrupts import interruptible
from keras_remote.cli.infra.pulumi_events import (
  INTERNAL,
  Listener,
  name_of,
  plain,
)
from keras_remote.progress import silent

PROJECT = "keras-remote"
# Where its own install script puts it, which a shell finds when it is opened
# anew.
_OWN_ROOT = Path("~/.pulumi")
_INSTALL = {
  "darwin": "`brew install pulumi/tap/pulumi`",
  "linux": "`curl -fsSL https://get.pulumi.com | sh`",
}
_ELSEWHERE = "see https://www.pulumi.com/docs/install/"
_PROTECTED = "deletionProtection"
_STOPPED = re.compile(r"update cancell?ed|BAIL: canceled", re.I)


class PulumiEngine:
  """A stack whose state is at an address.

  Args:
    backend: gs://… or file://…, where the state is.
    name: the stack's.
    environ: what Pulumi and its providers get beside our own environment.

  Raises:
    ConfigError: the Pulumi program is not installed, or too old.
  """

  def __init__(
    self, backend: str, name: str, environ: Mapping[str, str] | None = None
  ) -> None:
    self._backend, self._name = backend, name
    self._environ = {
      **(environ or {}),
      "PULUMI_BACKEND_URL": backend,
      # Nothing in the stack is secret.
      "PULUMI_CONFIG_PASSPHRASE": "",
      "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    self._command = _command()

  def preview(self, program: Program) -> tuple[Change, ...]:
    listener = Listener(silent)
    with _translated(listener):
      self._stack(program).preview(on_event=listener)
    return listener.changes

  def up(self, program: Program, report: Report) -> tuple[Change, ...]:
    stack = self._stack(program)
    return _run(
      report,
      lambda listener: stack.up(on_event=listener, show_secrets=False),
    )

  def refresh(self) -> tuple[Change, ...]:
    stack = self._stack()
    return _run(
      silent,
      lambda listener: stack.refresh(
        on_event=listener, clear_pending_creates=True, show_secrets=False
      ),
    )

  def destroy(
    self, report: Report, *, keep: Collection[str] = ()
  ) -> tuple[Change, ...]:
    stack = self._existing()
    if stack is None:
      return ()
    _retain(stack, keep)
    return _run(
      report,
      lambda listener: stack.destroy(
        on_event=listener, remove=True, show_secrets=False
      ),
    )

  def adopt(self, resource: Resource, identity: str, report: Report) -> None:
    change = Change(Op.ADOPT, resource)
    report(Event(change, Stage.BEGUN))
    wanted: Any = {
      "type": resource.kind,
      "name": resource.name,
      "id": identity,
      "version": _provider_version(resource.kind),
    }
    stack = self._stack()
    _run(
      report,
      lambda _: stack.import_resources(
        resources=[wanted],
        protect=False,
        generate_code=False,
        show_secrets=False,
      ),
    )
    report(Event(change, Stage.DONE))

  def forget(self, keys: Collection[str]) -> None:
    stack = self._existing()
    if stack is None:
      return
    how = ["--yes", "--force", "--target-dependents", "--stack", self._name]
    # By the command: an edited export would lose what others wrote meanwhile.
    for each in _custom(stack):
      if exported(each).key in keys:
        with _translated():
          self._command.run(
            ["state", "delete", each["urn"], *how],
            stack.workspace.work_dir,
            self._environ,
          )

  def resources(self) -> tuple[Resource, ...]:
    stack = self._existing()
    if stack is None:
      return ()
    return tuple(exported(each) for each in _custom(stack))

  def pending(self) -> tuple[Resource, ...]:
    stack = self._existing()
    if stack is None:
      return ()
    found = _deployment(stack).get("pending_operations") or ()
    return tuple(exported(each["resource"]) for each in found)

  def unlock(self) -> None:
    stack = self._existing()
    if stack is not None:
      with _translated():
        stack.cancel()

  @functools.cached_property
  def _folder(self) -> str:
    """What Pulumi takes for a project's folder, until this object is gone."""
    folder = tempfile.mkdtemp(prefix="keras-remote-up-")
    weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
    return folder

  def _workspace(self, program: Program | None) -> automation.LocalWorkspace:
    settings = automation.ProjectSettings(
      PROJECT, "python", backend=automation.ProjectBackend(self._backend)
    )
    return automation.LocalWorkspace(
      work_dir=self._folder,
      program=program,
      env_vars=self._environ,
      project_settings=settings,
      pulumi_command=self._command,
    )

  def _stack(self, program: Program | None = None) -> automation.Stack:
    workspace = self._workspace(program)
    with _translated():
      return automation.Stack.create_or_select(self._name, workspace)

  def _existing(self) -> automation.Stack | None:
    workspace = self._workspace(None)
    with _translated():
      try:
        return automation.Stack.select(self._name, workspace)
      except pulumi_errors.StackNotFoundError:
        return None


def _run(
  report: Report, work: Callable[[Listener], object]
) -> tuple[Change, ...]:
  """What changes; the first interrupt lets what has begun come to its end.

  A terminal's Ctrl-C reaches the Pulumi program too, which then begins nothing
  more, and stops at once at the second.
  """
  listener = Listener(report)
  with warnings.catch_warnings(), _translated(listener):
    # Of a Pulumi program that was killed; the error says it too.
    warnings.filterwarnings("ignore", "Error in event stream")
    interruptible(lambda: work(listener), report, _stop)
  return listener.changes


def _retain(stack: automation.Stack, keep: Collection[str]) -> None:
  """Lets `destroy` forget these, when what depends on them is gone.

  An earlier one that failed may have let it forget others.
  """
  with _translated():
    state = stack.export_stack()
    if retained((state.deployment or {}).get("resources") or (), keep):
      stack.import_stack(state)


def _stop() -> None:
  """Tells the Pulumi program, as a terminal may not have done.

  Of two SIGINT that come before it looks, it sees one; this is another signal,
  which it counts as well.
  """
  for child in psutil.Process().children():
    with contextlib.suppress(psutil.NoSuchProcess):
      if "pulumi" in child.name():
        child.terminate()


def retained(
  resources: Iterable[dict[str, Any]], keep: Collection[str]
) -> bool:
  """Marks of exported resources those to keep alone; whether one changed.

  The provider protects clusters that were taken over, even ours: not these.
  """
  changed = False
  for each in resources:
    kept = not _internal(each) and exported(each).key in keep
    if bool(each.get("retainOnDelete")) != kept:
      each["retainOnDelete"] = kept
      changed = True
    for values in (each.get("inputs") or {}, each.get("outputs") or {}):
      if values.get(_PROTECTED) and not kept:
        values[_PROTECTED] = False
        changed = True
  return changed


def _command() -> automation.PulumiCommand:
  root = None
  if not shutil.which("pulumi"):
    own = _OWN_ROOT.expanduser()
    if not (own / "bin" / "pulumi").is_file():
      raise not_installed(sys.platform)
    root = str(own)
  try:
    return automation.PulumiCommand(root)
  except pulumi_errors.InvalidVersionError as error:
    raise errors.ConfigError(
      f"the Pulumi program here does not suit: {error} {_upgrade()}"
    ) from error
  except OSError as error:
    raise errors.ConfigError(
      f"the Pulumi program cannot be started: {error}; {_upgrade()}"
    ) from error


def not_installed(platform: str) -> errors.ConfigError:
  """What is said where there is no Pulumi program.

  Args:
    platform: as sys.platform says it.
  """
  how = _INSTALL.get(platform, _ELSEWHERE)
  return errors.ConfigError(
    "the Pulumi program, which makes what a cluster needs, is not installed "
    f"here: {how} installs it, and then type this again"
  )


def _upgrade() -> str:
  return f"{_INSTALL.get(sys.platform, _ELSEWHERE)} installs the newest"


def _provider_version(kind: str) -> str:
  return metadata.version(f"pulumi-{kind.partition(':')[0]}")


@contextlib.contextmanager
def _translated(listener: Listener | None = None) -> Generator[None]:
  """Raises what Pulumi raises as the seam's errors."""
  try:
    yield
  except pulumi_errors.ConcurrentUpdateError as error:
    raise LockedError(plain(str(error))) from error
  except pulumi_errors.CommandError as error:
    text = plain(str(error))
    failures = listener.failures if listener else ()
    kind = StoppedError if _STOPPED.search(text) else EngineError
    raise kind(text, failures) from error


def _custom(stack: automation.Stack) -> list[Mapping[str, Any]]:
  """The resources of the exported stack without Pulumi's own."""
  found = _deployment(stack).get("resources") or ()
  return [each for each in found if not _internal(each)]


def _deployment(stack: automation.Stack) -> Mapping[str, Any]:
  with _translated():
    return stack.export_stack().deployment or {}


def _internal(resource: Mapping[str, Any]) -> bool:
  return resource["type"].startswith(INTERNAL)


def exported(resource: Mapping[str, Any]) -> Resource:
  """One of an exported stack."""
  inputs = resource.get("inputs") or {}
  # Those labels that no program has said are in no input.
  labels = (resource.get("outputs") or {}).get(LABELS)
  if labels:
    inputs = {**inputs, LABELS: _open(labels)}
  return Resource(resource["type"], name_of(resource["urn"]), inputs)


def _open(value: Any) -> Any:
  """The same where it is exported as a secret, with what it says."""
  if isinstance(value, Mapping) and "plaintext" in value:
    return json.loads(value["plaintext"])
  return value


def opened(backend: str, name: str, project: str) -> PulumiEngine:
  """The engine for resources of a project of Google Cloud."""
  return PulumiEngine(backend, name, {"GOOGLE_PROJECT": project})
