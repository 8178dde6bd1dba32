"""What Pulumi tells while it works, as the seam says it."""

import re
from typing import Any

from pulumi import automation
from pulumi.automation import events

from keras_remote.cli.infra.engine import (
  Change,
  Event,
  Failure,
  Op,
  Report,
  Resource,
  Stage,
)

# Of Pulumi's own: the stack itself, and providers.
INTERNAL = "pulumi:"
_STYLE = re.compile(r"<\{%.*?%\}>")
_OPS = {
  "create": Op.CREATE,
  "update": Op.UPDATE,
  "delete": Op.DELETE,
  "replace": Op.REPLACE,
  "create-replacement": Op.REPLACE,
  "delete-replaced": Op.REPLACE,
  "import": Op.ADOPT,
  "import-replacement": Op.ADOPT,
  "same": Op.SAME,
}


class Listener:
  """Takes what Pulumi tells, and tells it on."""

  def __init__(self, report: Report) -> None:
    self._report = report
    self._changes: dict[str, Change] = {}
    self._errors: dict[str, list[str]] = {}
    self._failed: dict[str, Change] = {}

  def __call__(self, event: automation.EngineEvent) -> None:
    if event.resource_pre_event:
      self._step(event.resource_pre_event.metadata, Stage.BEGUN)
    elif event.res_outputs_event:
      self._step(event.res_outputs_event.metadata, Stage.DONE)
    elif event.res_op_failed_event:
      self._step(event.res_op_failed_event.metadata, Stage.FAILED)
    elif event.diagnostic_event and event.diagnostic_event.severity == "error":
      diagnostic = event.diagnostic_event
      text = plain(diagnostic.message)
      self._errors.setdefault(diagnostic.urn or "", []).append(text)

  @property
  def changes(self) -> tuple[Change, ...]:
    """What happened, or would, to each resource, in the order of its steps."""
    return tuple(self._changes.values())

  @property
  def failures(self) -> tuple[Failure, ...]:
    """What went wrong, that of resources first."""
    found = [
      Failure(change, "\n".join(self._errors.get(urn, [])))
      for urn, change in self._failed.items()
    ]
    rest = [
      text
      for urn, texts in self._errors.items()
      if urn not in self._failed
      for text in texts
    ]
    return (*found, *(Failure(None, text) for text in rest))

  def _step(self, step: events.StepEventMetadata, stage: Stage) -> None:
    op = _OPS.get(step.op.value)
    if op is None or step.type.startswith(INTERNAL):
      return
    state = step.new or step.old
    inputs: Any = (state.inputs if state else None) or {}
    resource = Resource(step.type, name_of(step.urn), dict(inputs))
    change = Change(op, resource)
    self._report(Event(change, stage))
    known = self._changes.get(step.urn)
    if known is None or known.op is Op.SAME:
      self._changes[step.urn] = change
    if stage is Stage.FAILED:
      self._failed[step.urn] = change


def name_of(urn: str) -> str:
  """The program's name of a resource."""
  return urn.rpartition("::")[2]


def plain(text: str) -> str:
  """The text without what colours it."""
  return _STYLE.sub("", text).strip()
