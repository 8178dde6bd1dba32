"""What `up` and `down` take over: what is there, but not in their stack."""

from collections.abc import Collection, Container, Generator, Mapping
from contextlib import contextmanager, suppress

from keras_remote import errors
from keras_remote.cli.infra import sharing
from keras_remote.cli.infra.engine import (
  Change,
  EngineError,
  Event,
  LockedError,
  Op,
  Report,
  Resource,
  Stage,
  StoppedError,
)
from keras_remote.cli.infra.explain import TAKEN
from keras_remote.cli.infra.kinds import BUCKET, NAT, REPOSITORY
from keras_remote.cli.infra.ledger import Ledger
from keras_remote.cli.infra.losses import check_plan
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.state import Phase
from keras_remote.cli.infra.words import named
from keras_remote.progress import Step


class Seen:
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


class Takeover:
  """What one `up` takes over, each noted as whose it is.

  What is somebody else's is noted before the stack has it: a later `down`
  leaves it, wherever this process ends.

  Args:
    ledger: its record says what earlier ones found.
    report: gets what is told.
  """

  def __init__(self, parts: Parts, ledger: Ledger, report: Report) -> None:
    self._parts, self._ledger, self._report = parts, ledger, report
    self._pending: Collection[str] = ()  # Keys of what an earlier one was at.

  @property
  def adopted(self) -> Mapping[str, str]:
    """What of the stack is somebody else's, as programs take it."""
    return in_stack(self._parts, self._ledger.adopted)

  def resume(self, report: Report) -> bool:
    """Takes up what an interrupted process left; False where none did."""
    self._pending = resume(self._parts, report)
    return bool(self._pending)

  def take(self, resource: Resource, *, adopt: bool, replace: bool) -> bool:
    """Whether it may be taken over, which then is done.

    Args:
      adopt: it may also where it is somebody else's.
      replace: it may be made anew then.

    Raises:
      ConfigError: it would be made anew, or somebody else has changed the
        cluster.
    """
    name, key = resource.name, resource.key
    agreed = name in self._ledger.adopted  # With an earlier one.
    if key in self._ledger.kept or (agreed and resource.kind == REPOSITORY):
      self._adopt(resource)
    elif key in self._pending and claim(self._parts, resource, self._report):
      pass  # An earlier one was making it.
    elif resource.kind == REPOSITORY:
      # A build may have made it, for a cluster that `up` knows nothing of.
      known = sharing.others(self._parts.state, self._parts.config)
      if sharing.images_foreign(known, self._parts.config, name):
        self._note({name: self._identity(resource)})
      self._adopt(resource)
    elif adopt or agreed:
      self._join(resource, replace=replace)
    else:
      return False
    return True

  def _join(self, resource: Resource, *, replace: bool) -> None:
    """Takes over what there is, unless it would be made anew."""
    before = dict(self._ledger.adopted)
    self._note({resource.name: self._identity(resource)})
    try:
      self._adopt(resource)
      # After a lost state even what `up` made looks like somebody else's.
      if _made_by_us(self._parts, resource):
        others = {n: i for n, i in before.items() if n != resource.name}
        self._ledger.note(Phase.UPDATING, adopted=others)
      if not replace:
        program = self._parts.program(self.adopted)
        check_plan(self._parts.engine.preview(program), self._parts.config)
    except BaseException:
      self._parts.engine.forget([resource.key])
      self._ledger.end(Phase.UPDATING, adopted=before)
      raise

  def _note(self, more: Mapping[str, str]) -> None:
    self._ledger.note(Phase.UPDATING, adopted={**self._ledger.adopted, **more})

  def _adopt(self, resource: Resource) -> None:
    _adopt(self._parts, resource, self._report)

  def _identity(self, resource: Resource) -> str:
    return self._parts.ids[resource.name]


def look(parts: Parts, report: Report) -> None:
  """Takes over what has become of the resources; nothing is changed there."""
  report(Step("looking at what has become of what there is"))
  parts.engine.refresh()


def resume(parts: Parts, report: Report) -> Collection[str]:
  """Takes up what an interrupted process left; the keys of what it was at.

  What somebody else has made of the same name is left alone.
  """
  pending = parts.engine.pending()
  if not pending:
    return ()
  whats = ", ".join(named(each) for each in pending)
  report(
    Step(
      f"an earlier run was interrupted at {whats}: going on from there",
      warning=True,
    )
  )
  look(parts, report)
  there = {each.key for each in parts.engine.resources()}
  for each in pending:
    if each.name in parts.ids and each.key not in there:
      with _unless_absent(), suppress(errors.StoreAccessError):
        claim(parts, each, report)
  return [each.key for each in pending]


def claim(parts: Parts, resource: Resource, report: Report) -> bool:
  """Takes over what a process was making; False where it is not its."""
  _adopt(parts, resource, report)
  try:
    # That of addresses bears no mark, and is part of a router that does.
    ours = resource.kind == NAT or _made_by_us(parts, resource)
  except BaseException:
    parts.engine.forget([resource.key])
    raise
  if not ours:
    parts.engine.forget([resource.key])
  return ours


def _adopt(parts: Parts, resource: Resource, report: Report) -> None:
  """Takes over what there is, which may only not be another project's.

  Raises:
    StoreAccessError: it is; the names of buckets are everybody's.
  """
  if resource.kind == BUCKET:
    parts.state.has(parts.config.bucket)
  parts.engine.adopt(resource, parts.ids[resource.name], report)


def in_stack(parts: Parts, adopted: Mapping[str, str]) -> Mapping[str, str]:
  """What of the adopted the stack has.

  The rest was to be adopted, or is left of one that is removed: an engine
  would take it over only where it is exactly what a program says.
  """
  if not adopted:
    return {}
  there = {each.name for each in parts.engine.resources()}
  return {name: adopted[name] for name in adopted if name in there}


def taken(
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


def _made_by_us(parts: Parts, resource: Resource) -> bool:
  made = {each.key: each for each in parts.engine.resources()}
  return sharing.made_for(made[resource.key], parts.config)


@contextmanager
def _unless_absent() -> Generator[None]:
  """Passes over what the provider does not have: it was never made."""
  try:
    yield
  except (LockedError, StoppedError):
    raise
  except EngineError:
    pass
