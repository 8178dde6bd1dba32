"""`keras-remote jobs why`: how a job stands, or why it ended as it did."""

from typing import TYPE_CHECKING

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import (
  Output,
  Table,
  faint,
  heading,
  prints,
  state,
)

if TYPE_CHECKING:
  from keras_remote.core.explain import Attempt
  from keras_remote.job.outcome import Frame, HostReport

_Blocks = list[str | Table]


@click.command(short_help="Explain how a job stands or ended.")
@parameters.job_argument
@prints
def command(out: Output, job_id: str | None) -> None:
  """Explains how a job stands, or why it ended as it did.

  Of the user's frames it shows each local as type, shape, dtype and count of
  NaN; what may be secret is left out.
  """
  from keras_remote.core.jobs import attach

  seen = attach(job_id).why()
  blocks: _Blocks = [f"{seen.job_id}  {state(str(seen.state))}"]
  reported = {report.message for a in seen.attempts for report in a.hosts}
  if seen.sentence and seen.sentence not in reported:
    blocks.append(seen.sentence)
  for attempt in seen.attempts:
    blocks += _attempt(attempt)
  out.show(seen, *blocks)


def _attempt(attempt: "Attempt") -> _Blocks:
  from keras_remote.cli import times

  blocks: _Blocks = []
  title = f"attempt {attempt.started.attempt}"
  for report in attempt.hosts:
    host = f", host {report.host}" if attempt.started.members else ""
    blocks += [f"\n{heading(title + host)}  {_cause(report)}"]
    for frame in report.frames:
      blocks += _frame(frame)
  if not attempt.hosts:
    blocks.append(
      f"\n{heading(title)}  started {times.stamp(attempt.started.at)}"
    )
  return blocks


def _cause(report: "HostReport") -> str:
  from keras_remote.core.console import duration, size

  kind = report.exception_type.removeprefix("builtins.")
  what = ": ".join(filter(None, [kind, report.message])) or report.cause
  echo = " (an echo of another host's end)" if report.collective else ""
  memory = f", peak {size(report.peak_memory)}" if report.peak_memory else ""
  after = f"(after {duration(report.seconds)}{memory})"
  return f"{what}{echo} {faint(after)}"


def _frame(frame: "Frame") -> _Blocks:
  blocks: _Blocks = [
    f"\n  {frame.file}:{frame.line} in {heading(frame.function)}"
  ]
  if frame.source:
    blocks.append(f"    {frame.source.strip()}")
  if frame.locals:
    rows = [(f"      {k}", v) for k, v in frame.locals.items()]
    blocks.append(Table((), rows, fold=1))
  return blocks
