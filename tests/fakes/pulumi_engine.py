"""An engine without Pulumi's program, and the cloud that it works on.

Programs are really run, by `pulumi_monitor`. What the engine and the
cloud have is one JSON file, so that a test's processes share it: it passes
`tests/engine_contract.py` as Pulumi does.
"""

import contextlib
import dataclasses
import json
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

from keras_remote.cli.infra.engine import (
  Change,
  EngineError,
  Event,
  Failure,
  LockedError,
  Op,
  Program,
  Report,
  Resource,
  Stage,
  StoppedError,
)
from keras_remote.cli.infra.words import title
from tests.fakes import pulumi_monitor
from tests.fakes.pulumi_monitor import Registered

_LOCKED = (
  "error: the stack is currently locked by 1 lock(s). Either wait for the "
  "other process(es) to end or delete the lock file with `pulumi cancel`.\n"
  "  file:///locks/1.json: created by {} at 2026-11-26T04:00:00Z"
)
_ME = "ada@laptop (pid 4711)"
# What cannot be changed of what there is.
_FIXED = frozenset(
  {
    *("accountId", "location", "name", "network", "privateClusterConfig"),
    *("placementPolicy", "nodeConfig", "repositoryId"),
  }
)

# What makes a right another one, beside its role.
_RIGHT = ("bucket", "repository", "serviceAccountId", "member")
# What is there already may be made again.
_TWICE = (":Service", "IAMMember", "IamMember")


class Cloud:
  """All that there is, and what goes wrong; a file keeps it.

  Attributes:
    stacks: resources of each stack by their keys, in the order of creation.
    pending: of each stack, the keys of what was being changed.
    there: the inputs of what the cloud has, by kind and name.
    faults: what the cloud says instead of changing a resource, by its name.
    stops: the resource at which somebody presses Ctrl-C, by its name or the
      program's for it.
    dies: the same, at which the process is killed.
    locked: who holds the lock; "" where nobody does.
    log: every change that was made, such as "create cluster".
  """

  def __init__(self, path: Path) -> None:
    self._path = path
    self.stacks: dict[str, dict[str, Any]] = {}
    self.pending: dict[str, dict[str, Any]] = {}
    self.there: dict[str, Any] = {}
    self.faults: dict[str, str] = {}
    self.stops = self.dies = ""
    self.locked = ""
    self.log: list[str] = []
    self.load()

  def load(self) -> None:
    """Takes over what another process wrote."""
    with contextlib.suppress(FileNotFoundError):
      vars(self).update(json.loads(self._path.read_text()))

  def save(self) -> None:
    """Keeps all of it."""
    kept = {k: v for k, v in vars(self).items() if not k.startswith("_")}
    self._path.write_text(json.dumps(kept))

  def add(self, kind: str, **inputs: object) -> None:
    """Something that somebody made by hand."""
    self.load()
    self.there[place(Resource(kind, "", inputs))] = inputs
    self.save()


class FakeEngine:
  """A stack of a cloud that is a file."""

  def __init__(self, cloud: Cloud, name: str = "stack") -> None:
    self._cloud, self._name = cloud, name

  def preview(self, program: Program) -> tuple[Change, ...]:
    self._cloud.load()
    return tuple(self._plan(registered(program)))

  def up(self, program: Program, report: Report) -> tuple[Change, ...]:
    with self._locked():
      wanted = registered(program)
      changes = list(self._plan(wanted))
      for change in changes:
        self._apply(change, report)
      return tuple(changes)

  def refresh(self) -> tuple[Change, ...]:
    with self._locked():
      self._cloud.pending.pop(self._name, None)
      changes: list[Change] = []
      for resource in self._resources():
        there = self._cloud.there.get(place(resource))
        op = Op.SAME
        if there is None:
          op = Op.DELETE
          del self._stack[resource.key]
        elif there != resource.inputs:
          op = Op.UPDATE
          self._stack[resource.key]["inputs"] = there
        change = Change(op, resource)
        changes.append(change)
      return tuple(changes)

  def destroy(
    self, report: Report, *, keep: Collection[str] = ()
  ) -> tuple[Change, ...]:
    self._cloud.load()
    if self._name not in self._cloud.stacks:
      return ()
    with self._locked():
      changes = [Change(Op.DELETE, r) for r in reversed(self._resources())]
      for change in changes:
        self._apply(change, report, leave=change.resource.key in keep)
      del self._cloud.stacks[self._name]
      return tuple(changes)

  def adopt(self, resource: Resource, identity: str, report: Report) -> None:
    with self._locked():
      change = Change(Op.ADOPT, resource)
      report(Event(change, Stage.BEGUN))
      there = self._cloud.there.get(place(resource))
      if there is None:
        raise EngineError(
          f"error: resource '{identity}' does not exist",
          (Failure(change, f"resource '{identity}' does not exist"),),
        )
      self._put(dataclasses.replace(resource, inputs=there))
      self._cloud.log.append(f"adopt {title(resource)}")
      report(Event(change, Stage.DONE))

  def forget(self, keys: Collection[str]) -> None:
    with self._locked():
      for key in keys:
        self._stack.pop(key, None)

  def resources(self) -> tuple[Resource, ...]:
    self._cloud.load()
    return self._resources()

  def pending(self) -> tuple[Resource, ...]:
    self._cloud.load()
    found = self._cloud.pending.get(self._name, {})
    return tuple(Resource(**each) for each in found.values())

  def unlock(self) -> None:
    self._cloud.load()
    self._cloud.locked = ""
    self._cloud.save()

  @property
  def _stack(self) -> dict[str, Any]:
    return self._cloud.stacks.setdefault(self._name, {})

  def _resources(self) -> tuple[Resource, ...]:
    found = self._cloud.stacks.get(self._name, {})
    return tuple(Resource(**each) for each in found.values())

  @contextlib.contextmanager
  def _locked(self) -> Generator[None]:
    self._cloud.load()
    if self._cloud.locked:
      raise LockedError(_LOCKED.format(self._cloud.locked))
    self._cloud.locked = _ME
    self._cloud.save()
    try:
      yield
    except _KilledError:
      self._cloud.save()
      raise EngineError("code: -9") from None
    except BaseException:
      self._unlock()
      raise
    self._unlock()

  def _unlock(self) -> None:
    self._cloud.locked = ""
    self._cloud.save()

  def _plan(self, wanted: list[Registered]) -> Generator[Change]:
    known = {resource.key: resource for resource in self._resources()}
    for each in wanted:
      resource = Resource(each.type, each.name, each.inputs)
      old = known.pop(resource.key, None)
      resource = dataclasses.replace(resource, inputs=_inputs(old, each))
      yield Change(_op(old, resource), resource)
    for old in reversed(list(known.values())):
      yield Change(Op.DELETE, old)

  def _apply(
    self, change: Change, report: Report, *, leave: bool = False
  ) -> None:
    resource, cloud = change.resource, self._cloud
    report(Event(change, Stage.BEGUN))
    if change.op is not Op.SAME:
      self._interrupt(resource)
      if not leave:
        self._check(change, report)
      cloud.log.append(f"{change.op} {title(resource)}")
    if change.op is Op.DELETE:
      if not leave:
        cloud.there.pop(place(resource), None)
      del self._stack[resource.key]
    elif change.op is not Op.SAME:
      cloud.there[place(resource)] = dict(resource.inputs)
      self._put(resource)
    report(Event(change, Stage.DONE))

  def _interrupt(self, resource: Resource) -> None:
    cloud, names = self._cloud, (title(resource), resource.name)
    if cloud.stops not in names and cloud.dies not in names:
      return
    pending = cloud.pending.setdefault(self._name, {})
    pending[resource.key] = dataclasses.asdict(resource)
    if cloud.dies in names:
      cloud.dies = ""
      raise _KilledError
    cloud.stops = ""
    raise StoppedError("error: update canceled")

  def _check(self, change: Change, report: Report) -> None:
    """Fails as the cloud does."""
    resource = change.resource
    text = self._cloud.faults.get(title(resource), "")
    text = text or resource.inputs.get("fails", "")
    there = place(resource) in self._cloud.there
    if change.op is Op.CREATE and there and not resource.kind.endswith(_TWICE):
      text = text or (
        "googleapi: Error 409: Already exists: "
        f"{title(resource)}., alreadyExists"
      )
    if text:
      report(Event(change, Stage.FAILED))
      raise EngineError(
        f"error: update failed\n{text}", (Failure(change, text),)
      )

  def _put(self, resource: Resource) -> None:
    self._stack[resource.key] = dataclasses.asdict(resource)


def registered(program: Program) -> list[Registered]:
  """The resources that a program registers, each after what it needs.

  Raises:
    EngineError: the program raises.
  """
  try:
    found = list(pulumi_monitor.record(program).resources)
  except Exception as error:  # A program may raise anything.
    text = f"error: python inline source runtime error: {error}"
    raise EngineError(text, (Failure(None, text),)) from error
  ordered: list[Registered] = []
  while found:
    open_ends = {each.name for each in found}
    ready = [each for each in found if open_ends.isdisjoint(each.after)]
    ordered += ready
    found = [each for each in found if each not in ready]
  return ordered


class _KilledError(Exception):
  """The process has no time for anything any more."""


def _inputs(old: Resource | None, new: Registered) -> dict[str, Any]:
  """What it is to be: of what does not count, as it was."""
  if old is None:
    return dict(new.inputs)
  ignored = set(new.options.get("ignoreChanges", ()))
  wanted = {n: v for n, v in new.inputs.items() if n not in ignored}
  return wanted | {n: v for n, v in old.inputs.items() if n in ignored}


def _op(old: Resource | None, new: Resource) -> Op:
  if old is None:
    return Op.CREATE
  names = {*old.inputs, *new.inputs}
  changed = {n for n in names if old.inputs.get(n) != new.inputs.get(n)}
  if not changed:
    return Op.SAME
  return Op.REPLACE if changed & _FIXED else Op.UPDATE


def place(resource: Resource) -> str:
  """Where the cloud has it."""
  inputs = resource.inputs
  within = str(inputs.get("cluster", ""))
  if "member" in inputs:
    within = " ".join(str(inputs.get(name, "")) for name in _RIGHT)
  return f"{resource.kind}/{within}/{title(resource)}"


def opener(cloud: Cloud) -> Any:
  """What commands take to open engines."""

  def opened(backend: str, name: str, project: str) -> FakeEngine:
    return FakeEngine(cloud, f"{backend} {name}")

  return opened
