"""`keras-remote doctor`: every link from here to a running job."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli import parameters
from keras_remote.cli.failure import JOB_FAILED, CommandError
from keras_remote.cli.output import Output, Table, faint, heading, prints

if TYPE_CHECKING:
  from keras_remote.checks import Check, Link
  from keras_remote.core.settings import Resolved

_MARKS = {True: "ok", False: "BROKEN", None: "–"}
# What says nothing of where a call runs.
_OF_ONE_CALL = (
  "capture_env_vars",
  "cpu",
  "distribution",
  "env",
  "max_preemptions",
  "memory",
  "name",
  "retries",
  "startup_timeout",
  "tags",
  "timeout",
  "working_dir",
)


@click.command(short_help="Look for what keeps calls from running.")
@click.option("--fix", is_flag=True, help="Mend what can be mended.")
@parameters.option_flags(without=_OF_ONE_CALL)
@prints
def command(out: Output, fix: bool, **texts: Any) -> None:
  """Looks at every link from here to a running job, and says what mends it.

  With --fix it makes a namespace that is missing, logs in to Google Cloud,
  and takes the rights to the home folder from others. It exits with 0 where
  nothing is broken, else with 1.
  """
  from keras_remote.core.chain import chain

  arguments = parameters.parsed(texts)
  resolved, links = chain(arguments)
  found, mended = _looked_at(links), list[str]()
  if fix:
    mended = list(_mend(links, found))
  if mended:  # Also what needs it may be well now.
    resolved, links = chain(arguments)
    found = _looked_at(links)
  _show(out, _settings(resolved), found, mended)
  if any(check.ok is False for check in found):
    raise CommandError("", JOB_FAILED)


def _looked_at(links: "Sequence[Link]") -> "list[Check]":
  from keras_remote.checks import look_at
  from keras_remote.core.console import Console

  with Console().busy("looking at every link"):
    return list(look_at(links))


def _mend(links: "Sequence[Link]", found: "Sequence[Check]") -> Iterator[str]:
  """Mends what is broken and can be; says what came of it."""
  from keras_remote.core.console import asker

  for link, check in zip(links, found, strict=True):
    if check.ok is not False or link.mend is None:
      continue
    if link.asks and asker() is None:
      yield f"{link.what}: nobody is here who could answer"
      continue
    try:
      link.mend()
    except (errors.KerasRemoteError, OSError) as error:
      yield f"{link.what}: {error}"
    else:
      yield f"{link.what}: mended"


def _settings(resolved: "Resolved | None") -> dict[str, tuple[object, str]]:
  """What somebody said, and who."""
  from keras_remote.core.settings import DEFAULT

  if resolved is None:
    return {}
  return {
    name: (getattr(resolved.options, name), origin.sentence)
    for name, origin in resolved.origins.items()
    if origin is not DEFAULT
  }


def _show(
  out: Output,
  settings: dict[str, tuple[object, str]],
  found: "Sequence[Check]",
  mended: Sequence[str],
) -> None:
  content = {
    "ok": all(check.ok is not False for check in found),
    "settings": {
      name: {"value": parameters.safe(value), "origin": origin}
      for name, (value, origin) in settings.items()
    },
    "checks": [
      {"what": c.what, "ok": c.ok, "sentence": c.sentence, "cure": c.cure}
      for c in found
    ],
    "mended": mended,
  }
  blocks: list[str | Table] = []
  if settings:
    rows = [
      (f"  {name}", parameters.shown(value), origin)
      for name, (value, origin) in settings.items()
    ]
    blocks += [heading("settings"), Table((), rows, fold=2), ""]
  blocks += [heading("links"), Table((), list(_rows(found)), fold=2)]
  blocks += [faint(f"--fix: {line}") for line in mended]
  broken = [check.what for check in found if check.ok is False]
  ending = f"broken: {', '.join(broken)}" if broken else "all is well"
  out.show(content, *blocks, f"\n{ending}")


def _rows(found: "Sequence[Check]") -> Iterator[tuple[str, str, str]]:
  for check in found:
    yield _MARKS[check.ok], check.what, check.sentence
    if check.cure:
      yield "", "", f"→ {check.cure}"
