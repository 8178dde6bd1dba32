"""Stands for Pulumi's engine: says what a program registers, makes nothing.

Beside Pulumi's own mocks it keeps what a resource depends on and how it is
made and ended, which they forget.
"""

import asyncio
import json
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from pulumi.runtime import mocks, stack

PROJECT, STACK = "keras-remote", "test"


@dataclass(frozen=True)
class Registered:
  """A resource as a program registered it.

  Attributes:
    type: such as "gcp:container/cluster:Cluster".
    inputs: as the provider gets them, in camelCase.
    after: names of those that must be there first.
    options: those that say how it is made and ended, without defaults.
  """

  type: str
  name: str
  inputs: Mapping[str, Any]
  after: tuple[str, ...]
  options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
  """What a program made."""

  resources: tuple[Registered, ...]

  def of(self, type_: str) -> dict[str, Registered]:
    """Those whose type ends so, by name."""
    return {r.name: r for r in self.resources if r.type.endswith(f":{type_}")}

  def __getitem__(self, name: str) -> Registered:
    (found,) = [r for r in self.resources if r.name == name]
    return found


class _Mocks(mocks.Mocks):
  """Gives each resource what a provider would say of it."""

  def call(self, args: mocks.MockCallArgs) -> Any:
    raise AssertionError(f"the program asks the provider: {args.token}")

  def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, Any]:
    return f"{args.name}-id", {**args.inputs, **_said(args.typ, args.inputs)}


def _said(type_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
  """What only the provider knows of a resource."""
  kind = type_.rpartition(":")[2]
  if kind == "Account":
    project, account = inputs["project"], inputs["accountId"]
    email = f"{account}@{project}.iam.gserviceaccount.com"
    name = f"projects/{project}/serviceAccounts/{email}"
    return {"email": email, "name": name, "member": f"serviceAccount:{email}"}
  if kind == "Repository":
    return {"name": inputs["repositoryId"]}
  if kind == "Bucket":
    return {"url": f"gs://{inputs['name']}"}
  return {}


class _Monitor(mocks.MockMonitor):
  def __init__(self) -> None:
    super().__init__(_Mocks())
    self.registered: list[Registered] = []
    self.key: Hashable = None

  def RegisterResource(self, request: Any) -> Any:  # noqa: N802
    if not request.custom:
      return super().RegisterResource(request)
    self.registered.append(_registered(request))
    try:
      return super().RegisterResource(request)
    finally:
      # It makes one for the thread that it is called in, and leaves it open.
      asyncio.get_event_loop().close()
      asyncio.set_event_loop(None)


def _registered(request: Any) -> Registered:
  options = {
    "import": request.importId,
    "ignoreChanges": sorted(request.ignoreChanges),
    "retainOnDelete": request.retainOnDelete,
    "deleteBeforeReplace": request.deleteBeforeReplace,
    "protect": request.protect,
  }
  inputs = json_format.MessageToDict(request.object)
  return Registered(
    type=request.type,
    name=request.name,
    inputs=json.loads(json.dumps(inputs, sort_keys=True), parse_float=_whole),
    after=tuple(
      sorted(urn.rpartition("::")[2] for urn in request.dependencies)
    ),
    options={name: value for name, value in options.items() if value},
  )


def _whole(text: str) -> float:
  """The wire has floats only."""
  return int(float(text)) if float(text).is_integer() else float(text)


_running: ContextVar[_Monitor] = ContextVar("_running")
_known: dict[Hashable, list[Registered]] = {}


def once(program: Callable[[], object], key: Hashable) -> Callable[[], None]:
  """The program, which Pulumi's library runs once: it takes 0.2 s to do so.

  Where it runs again, it has registered what it did then.

  Args:
    key: what it is made from: another one with it does the same.
  """

  def run() -> None:
    monitor = _running.get()
    monitor.key = key
    if key in _known:
      monitor.registered += _known[key]
    else:
      program()

  return run


def record(program: Callable[[], object]) -> Recorded:
  """What the program registers, in the order of their names."""
  monitor = _Monitor()

  async def run() -> None:
    _running.set(monitor)
    mocks.set_mocks(
      monitor.mocks, PROJECT, STACK, preview=False, monitor=monitor
    )

    def called() -> None:
      program()

    await stack.run_pulumi_func(called)

  asyncio.run(run())
  if monitor.key is not None:
    _known[monitor.key] = monitor.registered
  ordered = sorted(monitor.registered, key=lambda each: (each.type, each.name))
  return Recorded(tuple(ordered))
