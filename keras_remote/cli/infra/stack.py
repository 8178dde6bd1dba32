"""What `up`, `down` and their kin do, whatever the engine is."""

import contextlib
from collections.abc import Callable, Container, Generator, Iterable, Mapping
from dataclasses import dataclass

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import (
  Change,
  Engine,
  EngineError,
  Event,
  Failure,
  LockedError,
  Op,
  Program,
  Report,
  Resource,
  Stage,
)
from keras_remote.cli.infra.explain import TAKEN, explained, known
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER, REPOSITORY
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.cli.infra.words import named
from keras_remote.progress import Step

_UP, _DOWN = "keras-remote up", "keras-remote down"
# What nobody loses unasked: all that runs, and all that jobs left.
_PRECIOUS = (CLUSTER, BUCKET)
_DATA = (BUCKET, REPOSITORY)


def _nothing(report: Report) -> None:
  """Leaves it at that."""


@dataclass(frozen=True)
class Parts:
  """What a cluster is made and known with.

  Attributes:
    program: makes the program that registers all its resources, from the
      names and ids of those that are somebody else's.
    ids: what Google knows those by that may be there before, by the program's
      names.
    finish: does what is left when all resources are there.
  """

  config: InfraConfig
  program: Callable[[Mapping[str, str]], Program]
  ids: Mapping[str, str]
  engine: Engine
  state: State
  finish: Callable[[Report], object] = _nothing


@dataclass(frozen=True)
class Removed:
  """What `down` did.

  Attributes:
    kept: what is still there, and no longer known.
  """

  changes: tuple[Change, ...]
  kept: tuple[Resource, ...]


def plan(parts: Parts) -> tuple[Change, ...]:
  """What `up` would do to each resource.

  Raises:
    InfraError: that cannot be told.
  """
  with _explained(parts, _UP):
    return parts.engine.preview(parts.program(_adopted(parts)))


def check_plan(changes: Iterable[Change], config: InfraConfig) -> None:
  """Passes unless the plan loses what nobody loses unasked.

  Raises:
    ConfigError: it does; says how that is done.
  """
  lost = [
    change
    for change in changes
    if change.op in (Op.REPLACE, Op.DELETE)
    and change.resource.kind in _PRECIOUS
  ]
  if not lost:
    return
  whats = " and ".join(named(change.resource) for change in lost)
  raise errors.ConfigError(
    f"{whats} would be removed and made anew, with all that is in it: what "
    "you ask for cannot be changed of one that there is. `--replace` does it; "
    f"`--cluster` makes another beside {config.cluster}"
  )


def up(
  parts: Parts,
  report: Report,
  *,
  adopt: bool = False,
  refresh: bool = False,
  replace: bool = False,
) -> tuple[Change, ...]:
  """Makes all that the config says; what happened to each resource.

  Args:
    adopt: takes over what has the same names, whoever made it.
    refresh: looks first at what has become of what there is.
    replace: may remove the cluster or its bucket to make it anew.

  Raises:
    InfraError: it could not; the next `up` goes on.
    ClusterError: what is left could not be done; the same.
    ConfigError: what is to be adopted cannot become what is asked for.
    StoreError: the state cannot be kept.
  """
  config, engine, state = parts.config, parts.engine, parts.state
  _make_state(parts, report)
  before = state.record(config)
  adopted = dict(before.adopted) if before else {}
  with _recorded(parts, before), _explained(parts, _UP):
    ours = _resume(parts, report)
    if refresh:
      _look(engine, report)
    kinds = {REPOSITORY}
    if before and before.phase is Phase.KEPT:
      kinds.update(_DATA)
    seen = _Seen(report)
    while True:
      try:
        changes = engine.up(parts.program(adopted), seen)
        break
      except EngineError as error:
        for resource in _taken(error, parts, seen.done):
          if resource.kind in kinds or resource.key in ours:
            engine.adopt(resource, parts.ids[resource.name], seen)
          elif adopt:
            _join(parts, resource, adopted, seen, replace=replace)
          else:
            raise
  parts.finish(report)
  state.save(config, Phase.READY, adopted)
  return tuple(seen.done.get(c.resource.key, c) for c in changes)


def down(parts: Parts, report: Report, *, keep_data: bool = False) -> Removed:
  """Removes all that `up` made.

  What it has taken over stays, and the repository of images where another
  cluster of the project uses it.

  Args:
    keep_data: the bucket of jobs and the repository stay.

  Raises:
    InfraError: it could not; the next `down` goes on.
  """
  config, engine, state = parts.config, parts.engine, parts.state
  if not state.exists():
    return Removed((), ())
  with _explained(parts, _DOWN):
    _resume(parts, report)
    there = engine.resources()
    adopted = _adopted(parts)
    shared = _shared(state, config)
    kept = [
      resource
      for resource in there
      if resource.name in adopted
      or (resource.kind in _DATA and keep_data)
      or (resource.kind == REPOSITORY and shared)
    ]
    if there:
      state.save(config, Phase.REMOVING, adopted)
    changes = engine.destroy(report, keep=[r.key for r in kept])
  gone = {r.key for r in kept}
  if kept and keep_data:
    state.save(config, Phase.KEPT)
  else:
    state.remove(config)
  left = tuple(c for c in changes if c.resource.key not in gone)
  return Removed(left, tuple(kept))


def unlock(parts: Parts, command: str = _UP) -> None:
  """Takes away the lock of a process that died.

  Raises:
    InfraError: it could not.
  """
  with _explained(parts, command):
    parts.engine.unlock()


def _make_state(parts: Parts, report: Report) -> None:
  config, state = parts.config, parts.state
  try:
    if state.make(config.region):
      name = {"name": config.state_bucket}
      made = Change(Op.CREATE, Resource(BUCKET, "state", name))
      report(Event(made, Stage.DONE))
  except errors.StoreError as error:
    said = known(Failure(None, str(error)), config)
    raise type(error)(f"{error}: {said}" if said else str(error)) from error


class _Seen:
  """Remembers what was done to resources, also where an `up` failed then."""

  def __init__(self, report: Report) -> None:
    self._report = report
    self.done: dict[str, Change] = {}

  def __call__(self, told: Event | Step) -> None:
    if isinstance(told, Event) and told.stage is Stage.DONE:
      change = told.change
      if change.op is not Op.SAME:
        self.done.setdefault(change.resource.key, change)
    self._report(told)


def _look(engine: Engine, report: Report) -> None:
  """Takes over what has become of the resources; nothing is changed there."""
  report(Step("looking at what has become of what there is"))
  engine.refresh()


def _resume(parts: Parts, report: Report) -> set[str]:
  """Takes up what an interrupted process left; the keys of what it was at."""
  pending = parts.engine.pending()
  if not pending:
    return set()
  whats = ", ".join(named(each) for each in pending)
  report(
    Step(
      f"an earlier run was interrupted at {whats}: going on from there",
      warning=True,
    )
  )
  _look(parts.engine, report)
  there = {each.key for each in parts.engine.resources()}
  for each in pending:
    if each.name in parts.ids and each.key not in there:
      # It may never have been made.
      with contextlib.suppress(EngineError):
        parts.engine.adopt(each, parts.ids[each.name], report)
  return {each.key for each in pending}


def _taken(
  error: EngineError, parts: Parts, done: Container[str]
) -> list[Resource]:
  """What was to be made and is there.

  Raises:
    EngineError: the same, where something else failed.
  """
  found: list[Resource] = []
  for failure in error.failures:
    change = failure.change
    if change is None:  # It only repeats what is said of resources.
      continue
    taken = change.op is Op.CREATE and TAKEN.search(failure.text)
    again = change.resource.key in done
    if not taken or again or change.resource.name not in parts.ids:
      raise error
    found.append(change.resource)
  if not found:
    raise error
  return found


def _join(
  parts: Parts,
  resource: Resource,
  adopted: dict[str, str],
  report: Report,
  *,
  replace: bool,
) -> None:
  """Takes over what is somebody else's, unless it would be made anew."""
  identity = parts.ids[resource.name]
  parts.engine.adopt(resource, identity, report)
  adopted[resource.name] = identity
  if not replace:
    try:
      plan = parts.engine.preview(parts.program(adopted))
      check_plan(plan, parts.config)
    except errors.ConfigError:
      # Else a later `down` might remove it.
      parts.engine.forget([resource.key])
      raise
  parts.state.save(parts.config, Phase.UPDATING, adopted)


def _adopted(parts: Parts) -> Mapping[str, str]:
  """What is somebody else's, by the program's names."""
  record = parts.state.record(parts.config)
  return record.adopted if record else {}


def _shared(state: State, config: InfraConfig) -> bool:
  """Whether another cluster has its images in the same repository."""
  return any(
    other.config.repository_location == config.repository_location
    and other.phase is not Phase.KEPT
    for other in state.records()
    if (other.config.cluster, other.config.location)
    != (config.cluster, config.location)
  )


@contextlib.contextmanager
def _recorded(parts: Parts, before: Record | None) -> Generator[None]:
  """Says while the block runs that the cluster is being changed."""
  adopted = before.adopted if before else {}
  parts.state.save(parts.config, Phase.UPDATING, adopted)
  try:
    yield
  except errors.InfraError as error:
    # Who holds the lock has said what the cluster becomes.
    if isinstance(error.__cause__, LockedError) and before:
      parts.state.put(before)
    raise


@contextlib.contextmanager
def _explained(parts: Parts, command: str) -> Generator[None]:
  try:
    yield
  except EngineError as error:
    raise explained(error, parts.config, command) from error
