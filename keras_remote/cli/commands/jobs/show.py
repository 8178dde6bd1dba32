"""`keras-remote jobs show`: what a job was asked, and how it stands."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, Table, heading, prints, state

if TYPE_CHECKING:
  from keras_remote.job.outcome import Outcome
  from keras_remote.job.spec import JobSpec


@click.command(short_help="Show all of a job.")
@parameters.job_argument
@prints
def command(out: Output, job_id: str | None) -> None:
  """Shows what a job was asked to do, how it stands, and what it left."""
  from keras_remote.core.jobs import attach

  job = attach(job_id)
  seen = job.why()
  files = {file.path: file.size for file in job.files()}
  content = {
    "id": job.id,
    "state": seen.state,
    "sentence": seen.sentence,
    "spec": job.spec,
    "outcome": seen.outcome,
    "hosts": seen.hosts,
    "files": files,
  }
  blocks: list[str | Table] = [f"{job.id}  {state(str(seen.state))}"]
  if seen.sentence:
    blocks.append(seen.sentence)
  sections = _sections(job.spec)
  if seen.hosts:
    sections["hosts"] = {
      str(host): sentence for host, sentence in enumerate(seen.hosts)
    }
  if seen.outcome:
    sections["outcome"] = _outcome(seen.outcome)
  if files:
    sections["files"] = {
      path: f"{count:,} bytes" for path, count in files.items()
    }
  for title, fields in sections.items():
    rows = [(f"  {name}", value or "–") for name, value in fields.items()]
    blocks += [f"\n{heading(title)}", Table((), rows, fold=1)]
  out.show(content, *blocks)


def _sections(spec: "JobSpec") -> dict[str, dict[str, str]]:
  """Every field of the spec, by the part that it belongs to."""
  sections: dict[str, dict[str, str]] = {}
  others: dict[str, str] = {}
  for field in dataclasses.fields(spec):
    part = getattr(spec, field.name)
    if dataclasses.is_dataclass(part):
      sections[field.name] = {
        inner.name: _text(inner.name, getattr(part, inner.name))
        for inner in dataclasses.fields(part)
      }
    else:
      others[field.name] = _text(field.name, part)
  return sections | {"digests": others}


def _outcome(outcome: "Outcome") -> dict[str, str]:
  """How it ended; what is long is left to `why`."""
  from keras_remote.core.console import duration, size

  seconds = outcome.seconds
  fields = {
    "cause": outcome.cause,
    "exception": outcome.exception_type,
    "exit_code": _text("", outcome.exit_code),
    "signal": _text("", outcome.signal),
    "attempt": str(outcome.attempt),
    "host": str(outcome.host),
    "started": _text("submitted", outcome.started),
    "ended": _text("submitted", outcome.ended),
    "took": "" if seconds is None else duration(seconds),
    "peak_memory": size(outcome.peak_memory) if outcome.peak_memory else "",
    "result": f"{outcome.result_size:,} bytes" if outcome.result else "",
    "writer": outcome.writer,
  }
  return {name: value for name, value in fields.items() if value}


def _text(name: str, value: object) -> str:
  from keras_remote.cli import times
  from keras_remote.core.console import duration

  if name == "argv" and isinstance(value, tuple):
    import shlex

    return shlex.join(value)
  if name == "submitted" and isinstance(value, str):
    return times.stamp(value)
  if isinstance(value, bool):
    return "yes" if value else "no"
  if isinstance(value, float):
    return duration(value)
  if isinstance(value, Mapping):
    return ", ".join(f"{key} = {item}" for key, item in value.items())
  if isinstance(value, tuple):
    return ", ".join(map(str, value))
  return "" if value is None else str(value)
