"""What `up`, `down` and their kin do, whatever the engine is."""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import sharing
from keras_remote.cli.infra.engine import (
  Change,
  EngineError,
  Event,
  Failure,
  LockedError,
  Op,
  Report,
  Resource,
  Stage,
)
from keras_remote.cli.infra.explain import explained, known
from keras_remote.cli.infra.kinds import BUCKET, GKE, IMAGES, REPOSITORY
from keras_remote.cli.infra.ledger import Ledger
from keras_remote.cli.infra.locks import check_dead
from keras_remote.cli.infra.losses import check_plan
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.cli.infra.takeover import (
  Seen,
  Takeover,
  in_stack,
  look,
  resume,
  taken,
)
from keras_remote.progress import Step

T = TypeVar("T")
_UP, _DOWN = "keras-remote up", "keras-remote down"
_DATA = (BUCKET, REPOSITORY)


@dataclass(frozen=True)
class Removed:
  """What `down` did.

  Attributes:
    changes: what was removed.
    kept: what is still there, and no longer in the stack.
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
  config, engine = parts.config, parts.engine
  ledger = Ledger(parts.state, config, how.planned)
  ledger.check()
  known = sharing.others(parts.state, config)
  seen = Seen(report)
  takeover = Takeover(parts, ledger, seen)
  resumed = takeover.resume(report)
  if how.refresh:
    look(parts, report)
  if (resumed or how.refresh) and not how.replace:
    # The plan that was agreed to knew nothing of what has been found now.
    check_plan(engine.preview(parts.program(takeover.adopted)), config)
  _forget_rights(parts, known)
  while True:
    try:
      program = ledger.noting(parts.program(takeover.adopted))
      changes = engine.up(program, seen)
      break
    except EngineError as error:
      if ledger.refused:
        raise ledger.refused from error
      for resource in taken(error, parts, seen.done):
        if not takeover.take(resource, adopt=how.adopt, replace=how.replace):
          raise
  parts.finish(report)
  made = {c.resource.name for c in seen.done.values() if c.op is Op.CREATE}
  adopted = {n: i for n, i in ledger.adopted.items() if n not in made}
  if not ledger.end(Phase.READY, adopted=adopted, kept=()):
    meanwhile = (
      f"all of {config.cluster} is there, but somebody has begun to change or "
      "remove it: `keras-remote status` says who"
    )
    report(Step(meanwhile, warning=True))
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
    ClusterError: members could not be taken out of a cluster that stays; the
      same.
  """
  if not parts.state.exists():
    return Removed((), ())

  def work() -> Removed:
    return _down(parts, report, keep_data=keep_data)

  return _unlocked(parts, work, _DOWN, unlock=unlock)


def _down(parts: Parts, report: Report, *, keep_data: bool) -> Removed:
  config, engine, state = parts.config, parts.engine, parts.state
  before = state.record(config)
  ledger = Ledger(state, config, before)
  known = sharing.others(state, config)
  resume(parts, report)
  there = engine.resources()
  shared = sharing.images_used(known, config)
  kept = [
    resource
    for resource in there
    if resource.name in ledger.adopted
    or (resource.kind in _DATA and keep_data)
    or (resource.kind == REPOSITORY and shared)
  ]
  rights = sharing.rights_used(there, known, config, parts.shared)
  # The stack may have lost what an earlier `--keep-data` left.
  gone = set(ledger.kept).difference(each.key for each in there)
  data = [each for each in kept if each.kind in _DATA and keep_data]
  left = gone.union(each.key for each in data)
  if there:
    ledger.note(Phase.REMOVING, kept=left)
  stay = {resource.key for resource in (*kept, *rights)}
  try:
    changes = engine.destroy(report, keep=stay)
  except LockedError:
    # Who holds the lock has said what the cluster becomes.
    if before:
      ledger.restore(before)
    raise
  if GKE in ledger.adopted:
    parts.leave(report)
  if left:
    names = {_of_key(key, config).name for key in left}
    adopted = {n: i for n, i in ledger.adopted.items() if n in names}
    ledger.end(Phase.KEPT, adopted=adopted, kept=left)
  else:
    ledger.remove()
  done = tuple(c for c in changes if c.resource.key not in stay)
  return Removed(done, (*kept, *(_of_key(key, config) for key in sorted(gone))))


def _of_key(key: str, config: InfraConfig) -> Resource:
  """One that the stack has lost, as it is named."""
  kind, _, name = key.partition("::")
  called = {
    BUCKET: {"name": config.bucket},
    REPOSITORY: {"repositoryId": config.repository},
  }
  return Resource(kind, name, called.get(kind, {}))


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
    if not state.exists() and state.make(config.region):
      name = {"name": config.state_bucket}
      made = Change(Op.CREATE, Resource(BUCKET, "state", name))
      report(Event(made, Stage.DONE))
  except errors.StoreError as error:
    said = known(Failure(None, str(error)), config)
    raise type(error)(f"{error}: {said}" if said else str(error)) from error


def _adopted(parts: Parts) -> Mapping[str, str]:
  """What of the stack is somebody else's, by the program's names."""
  record = parts.state.record(parts.config)
  return in_stack(parts, record.adopted) if record else {}


@contextlib.contextmanager
def _explained(parts: Parts, command: str) -> Generator[None]:
  try:
    yield
  except EngineError as error:
    raise explained(error, parts.config, command) from error
