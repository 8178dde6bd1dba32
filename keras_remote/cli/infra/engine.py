"""The seam before Pulumi: what makes, changes and removes resources."""

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keras_remote.progress import Step

# What registers resources with the engine that calls it.
Program = Callable[[], None]

# What a resource has of labels, whoever has said them.
LABELS = "effectiveLabels"


class Op(enum.StrEnum):
  """What happens to a resource."""

  CREATE = "create"
  UPDATE = "update"
  REPLACE = "replace"
  DELETE = "delete"
  ADOPT = "adopt"
  SAME = "same"


class Stage(enum.StrEnum):
  """How far it is."""

  BEGUN = "begun"
  DONE = "done"
  FAILED = "failed"


@dataclass(frozen=True)
class Resource:
  """One resource of a stack.

  Attributes:
    kind: Pulumi's type, such as "gcp:container/cluster:Cluster".
    name: the program's, which is unique within its kind.
    inputs: what the program says of it, named as Pulumi does: `nodeCount`;
      and what labels it has, where that is known.
  """

  kind: str
  name: str
  inputs: Mapping[str, Any] = field(
    default_factory=dict, compare=False, repr=False
  )

  @property
  def key(self) -> str:
    """What tells it from every other of its stack."""
    return f"{self.kind}::{self.name}"


@dataclass(frozen=True)
class Change:
  """What happens, or would happen, to a resource."""

  op: Op
  resource: Resource


@dataclass(frozen=True)
class Event:
  """News of a resource while an engine works."""

  change: Change
  stage: Stage


@dataclass(frozen=True)
class Failure:
  """Why a resource could not be changed, in the words of its provider.

  Attributes:
    change: None where nothing that fails is a resource.
  """

  change: Change | None
  text: str


# What an engine, and what is built upon it, tells while it works.
Report = Callable[[Event | Step], None]


class EngineError(Exception):
  """The engine could not do what was asked.

  Attributes:
    text: all that it says.
    failures: what failed, one by one; may be empty.
  """

  def __init__(self, text: str, failures: tuple[Failure, ...] = ()) -> None:
    super().__init__(text)
    self.text = text
    self.failures = failures


class LockedError(EngineError):
  """Another process changes the stack, or did when it died."""


class StoppedError(EngineError):
  """Somebody ended it before its end: what had begun may be half there."""


class Engine(Protocol):
  """A stack of resources, and what changes it.

  Each method raises EngineError, LockedError and StoppedError.
  """

  def preview(self, program: Program) -> tuple[Change, ...]:
    """What `up` would do; nothing is changed."""
    ...

  def up(self, program: Program, report: Report) -> tuple[Change, ...]:
    """Makes the stack what the program says."""
    ...

  def refresh(self) -> tuple[Change, ...]:
    """Takes over what has become of the resources meanwhile.

    What was being made when an earlier process was interrupted is forgotten.
    """
    ...

  def destroy(
    self, report: Report, *, keep: Collection[str] = ()
  ) -> tuple[Change, ...]:
    """Removes all resources, and the stack; none is no error.

    Args:
      keep: keys of resources that are only forgotten.
    """
    ...

  def adopt(self, resource: Resource, identity: str, report: Report) -> None:
    """Takes over a resource that there is.

    Args:
      identity: what its provider knows it by.
    """
    ...

  def forget(self, keys: Collection[str]) -> None:
    """Knows the resources no longer, and leaves them as they are.

    Args:
      keys: of resources that no other of the stack needs.
    """
    ...

  def resources(self) -> tuple[Resource, ...]:
    """Those that the stack has; none where there is no stack."""
    ...

  def pending(self) -> tuple[Resource, ...]:
    """Those that were being changed when a process was interrupted."""
    ...

  def unlock(self) -> None:
    """Takes the locks of other processes away; it does not end those."""
    ...
