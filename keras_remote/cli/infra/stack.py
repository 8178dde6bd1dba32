"""What `up`, `down` and their kin do, whatever the engine is."""

import contextlib
from collections.abc import (
  Callable,
  Collection,
  Container,
  Generator,
  Iterable,
  Mapping,
  Sequence,
)
from dataclasses import dataclass
from typing import TypeVar

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import sharing
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
from keras_remote.cli.infra.explain import TAKEN, check_dead, explained, known
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER, IMAGES, REPOSITORY
from keras_remote.cli.infra.ledger import Ledger
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.cli.infra.words import named
from keras_remote.progress import Step

T = TypeVar("T")
_UP, _DOWN = "keras-remote up", "keras-remote down"
# What nobody loses unasked: all that runs, and all that jobs left.
_PRECIOUS = (CLUSTER, BUCKET)
_DATA = (BUCKET, REPOSITORY)


def _nothing(report: Report) -> None:
  """Leaves it at that."""


def _none(of: InfraConfig, where: InfraConfig) -> Collection[str]:
  """Shares nothing."""
  return ()


@dataclass(frozen=True)
class Parts:
  """What a cluster is made and known with.

  Attributes:
    program: makes the program that registers all its resources, from the
      names and ids of those that are somebody else's.
    ids: what Google knows those by that may be there before, by the program's
      names.
    finish: does what is left when all resources are there.
    shared: names of rights of one config's program that are to what another
      config has too.
  """

  config: InfraConfig
  program: Callable[[Mapping[str, str]], Program]
  ids: Mapping[str, str]
  engine: Engine
  state: State
  finish: Callable[[Report], object] = _nothing
  shared: sharing.Shared = _none


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


def lost(changes: Iterable[Change]) -> list[Change]:
  """Those that lose what nobody loses unasked."""
  return [
    change
    for change in changes
    if change.op in (Op.REPLACE, Op.DELETE)
    and change.resource.kind in _PRECIOUS
  ]


def check_plan(changes: Iterable[Change], config: InfraConfig) -> None:
  """Passes unless the plan loses what nobody loses unasked.

  Raises:
    ConfigError: it does; says how that is done.
  """
  found = lost(changes)
  if not found:
    return
  whats = " and ".join(named(change.resource) for change in found)
  raise errors.ConfigError(
    f"{whats} would be removed and made anew, with all that is in it: what "
    "you ask for cannot be changed of one that there is. `--replace` does it; "
    f"`--cluster` makes another beside {config.cluster}"
  )


def up(
  parts: Parts,
  report: Report,
  *,
  planned: Record | None,
  adopt: bool = False,
  refresh: bool = False,
  replace: bool = False,
  unlock: bool = False,
) -> tuple[Change, ...]:
  """Makes all that the config says; what happened to each resource.

  Args:
    planned: the record that the config was made from.
    adopt: takes over what has the same names, whoever made it.
    refresh: looks first at what has become of what there is.
    replace: may remove the cluster or its bucket to make it anew.
    unlock: takes away the lock of a process that died.

  Raises:
    InfraError: it could not; the next `up` goes on.
    ClusterError: what is left could not be done; the same.
    ConfigError: what is to be adopted cannot become what is asked for, or
      the cluster was changed since it was planned.
    StoreError: the state cannot be kept.
  """
  how = _How(planned, adopt, refresh, replace)
  _make_state(parts, report)
  return _unlocked(parts, lambda: _up(parts, report, how), _UP, unlock=unlock)


@dataclass(frozen=True)
class _How:
  planned: Record | None
  adopt: bool
  refresh: bool
  replace: bool


def _up(parts: Parts, report: Report, how: _How) -> tuple[Change, ...]:
  config, engine, planned = parts.config, parts.engine, how.planned
  ledger = Ledger(parts.state, config, planned)
  ledger.check()
  adopted = dict(planned.adopted) if planned else {}
  known = sharing.others(parts.state, config)
  ours = _resume(parts, report)
  if how.refresh:
    _look(engine, report)
  if (ours or how.refresh) and not how.replace:
    # The plan that was agreed to knew nothing of what has been found now.
    check_plan(engine.preview(parts.program(adopted)), config)
  _forget_rights(parts, known)
  # What `--keep-data` left.
  kept = _DATA if planned and planned.phase is Phase.KEPT else ()
  seen = _Seen(report)
  while True:
    try:
      program = ledger.noting(parts.program(adopted), adopted)
      changes = engine.up(program, seen)
      break
    except EngineError as error:
      if ledger.refused:
        raise ledger.refused from error
      for resource in _taken(error, parts, seen.done):
        identity = parts.ids[resource.name]
        if resource.kind in kept or resource.key in ours:
          engine.adopt(resource, identity, seen)
        elif resource.kind == REPOSITORY:
          # A build may have made it, for a cluster that `up` knows nothing of.
          engine.adopt(resource, identity, seen)
          if sharing.images_foreign(known, config, resource.name):
            adopted[resource.name] = identity
        elif how.adopt:
          _join(parts, resource, adopted, seen, replace=how.replace)
        else:
          raise
        ledger.note(Phase.UPDATING, adopted)
  parts.finish(report)
  ledger.end(Phase.READY, adopted)
  return tuple(seen.done.get(c.resource.key, c) for c in changes)


def _forget_rights(parts: Parts, known: Sequence[Record]) -> None:
  """Leaves to members of other clusters what goes from this one only."""
  there = parts.engine.resources()
  used = sharing.rights_used(there, known, parts.config, parts.shared)
  mine = set(parts.shared(parts.config, parts.config))
  gone = [each.key for each in used if each.name not in mine]
  if gone:
    parts.engine.forget(gone)


def down(
  parts: Parts,
  report: Report,
  *,
  keep_data: bool = False,
  unlock: bool = False,
) -> Removed:
  """Removes all that `up` made.

  What it has taken over stays, and the repository of images where another
  cluster of the project uses it.

  Args:
    keep_data: the bucket of jobs and the repository stay.
    unlock: takes away the lock of a process that died.

  Raises:
    InfraError: it could not; the next `down` goes on.
  """
  if not parts.state.exists():
    return Removed((), ())

  def work() -> Removed:
    return _down(parts, report, keep_data=keep_data)

  return _unlocked(parts, work, _DOWN, unlock=unlock)


def _down(parts: Parts, report: Report, *, keep_data: bool) -> Removed:
  config, engine, state = parts.config, parts.engine, parts.state
  before = state.record(config)
  adopted = before.adopted if before else {}
  ledger = Ledger(state, config, before)
  known = sharing.others(state, config)
  _resume(parts, report)
  there = engine.resources()
  shared = sharing.images_used(known, config)
  kept = [
    resource
    for resource in there
    if resource.name in adopted
    or (resource.kind in _DATA and keep_data)
    or (resource.kind == REPOSITORY and shared)
  ]
  rights = sharing.rights_used(there, known, config, parts.shared)
  if there:
    ledger.note(Phase.REMOVING, adopted)
  stay = {resource.key for resource in (*kept, *rights)}
  try:
    changes = engine.destroy(report, keep=stay)
  except LockedError:
    # Who holds the lock has said what the cluster becomes.
    if before:
      ledger.restore(before)
    raise
  if kept and keep_data:
    ledger.end(Phase.KEPT, {})
  else:
    state.remove(config)
  left = tuple(c for c in changes if c.resource.key not in stay)
  return Removed(left, tuple(kept))


def images_stay(state: State, record: Record) -> bool:
  """Whether `down` leaves the images: they are not this cluster's alone."""
  known = sharing.others(state, record.config)
  return IMAGES in record.adopted or sharing.images_used(known, record.config)


def _unlocked(
  parts: Parts, work: Callable[[], T], command: str, *, unlock: bool
) -> T:
  """The work's value, done again where a lock was in its way that may go."""
  with _explained(parts, command):
    try:
      return work()
    except LockedError as error:
      if not unlock:
        raise
      check_dead(error, parts.config)
      parts.engine.unlock()
      return work()


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
  """Takes over what there is, unless it would be made anew."""
  identity = parts.ids[resource.name]
  parts.engine.adopt(resource, identity, report)
  made = {each.key: each for each in parts.engine.resources()}
  # After a lost state even what `up` made looks like somebody else's.
  if not sharing.made_for(made[resource.key], parts.config):
    adopted[resource.name] = identity
  if not replace:
    try:
      plan = parts.engine.preview(parts.program(adopted))
      check_plan(plan, parts.config)
    except errors.ConfigError:
      # Else a later `down` might remove it.
      parts.engine.forget([resource.key])
      raise


def _adopted(parts: Parts) -> Mapping[str, str]:
  """What is somebody else's, by the program's names."""
  record = parts.state.record(parts.config)
  return record.adopted if record else {}


@contextlib.contextmanager
def _explained(parts: Parts, command: str) -> Generator[None]:
  try:
    yield
  except EngineError as error:
    raise explained(error, parts.config, command) from error
