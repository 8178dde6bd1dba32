"""What mkdocs asks when it builds the site: the parts that are generated.

A line `<!-- generated: NAME -->` of a page becomes what PARTS has of that name.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from keras_remote.accelerators.config import GpuConfig, TpuConfig
from keras_remote.accelerators.prices import hourly
from keras_remote.accelerators.registry import GPUS, TPUS
from keras_remote.accelerators.zones import get_default_zone, near
from keras_remote.accelerators.zones import offers as _offers
from keras_remote.cli.main import cli
from keras_remote.core.options import OPTIONS

_SCHEMAS = Path(__file__).with_name("schemas")
_MARK = re.compile(r"<!-- generated: (\w+) -->")
_MOST_NAMES = 9
_SAID_ABOVE = {"--json", "--help"}


def on_page_markdown(markdown: str, **_: Any) -> str:
  """The page with its generated parts in the place of their marks.

  Raises:
    KeyError: there is no such part.
  """
  page = _MARK.sub(lambda mark: PARTS[mark[1]](), markdown)
  # What no test can run is a console's as well.
  return page.replace("```text\n$ ", "```console\n$ ")


def commands() -> str:
  """Each command with its usage, its help and its flags."""
  return "\n\n".join(_command(context) for context in leaves())


def accelerators() -> str:
  """Each kind with the names of its sizes."""
  rows = [("kind", "names", "memory"), ("---", "---", "---")]
  for tpu in TPUS.values():
    names = _some([str(one) for one in tpu.sizes.values()])
    rows.append((f"TPU {tpu.name}", names, f"{tpu.hbm_gib} GiB a chip"))
  for gpu in GPUS.values():
    names = _some([str(one) for one in gpu.counts.values()])
    rows.append((f"GPU {gpu.name}", names, f"{gpu.memory_gib} GiB"))
  rows.append(("CPU", "`cpu`, `cpu:8` for eight devices, …", ""))
  return _table(rows)


def offers() -> str:
  """Where each kind is, and what it costs, as far as our tables know."""
  rows: list[tuple[str, ...]] = [("", "zones", "USD an hour", "spot")]
  rows.append(("---",) * 4)
  origins: dict[str, None] = {}
  for one in _one_of_each():
    zones = _regions(near(get_default_zone(), _offers().zones(one)))
    prices = [hourly(each) for each in (one, replace(one, spot=True))]
    origins |= {f"{p.source} ({p.origin})": None for p in prices if p}
    if zones or any(prices):
      usd = (f"{price.usd:.2f}" if price else "" for price in prices)
      rows.append((f"`{one}`", zones, *usd))
  when = f"Zones as of {_offers().date}. Prices from {', '.join(origins)}."
  return f"{_table(rows)}\n\n{when}"


def documents() -> str:
  """Each JSON document that a command prints, with what it has."""
  return "\n\n".join(_document(path) for path in sorted(_SCHEMAS.iterdir()))


PARTS = {
  "accelerators": accelerators,
  "commands": commands,
  "documents": documents,
  "offers": offers,
}


def leaves(
  context: click.Context | None = None,
) -> Iterator[click.Context]:
  """A context for each command that can be run, in the order of the help."""
  context = context or click.Context(
    # Else `-h` is unknown, and stays so in this process.
    cli,
    info_name="keras-remote",
    **cli.context_settings,
  )
  group = context.command
  if not isinstance(group, click.Group):
    yield context
    return
  for name in group.list_commands(context):
    command = group.get_command(context, name)
    if command and not command.hidden:
      yield from leaves(click.Context(command, context, name))


def _one_of_each() -> Iterator[TpuConfig | GpuConfig]:
  """The smallest of each kind that has a price, else the smallest."""
  for tpu in TPUS.values():
    sizes = list(tpu.sizes.values())
    yield next(filter(hourly, sizes), sizes[0])
  for gpu in GPUS.values():
    counts = list(gpu.counts.values())
    yield next(filter(hourly, counts), counts[0])


def _command(context: click.Context) -> str:
  command = context.command
  usage = command.get_usage(context).removeprefix("Usage: ")
  parts = [
    f"## {context.command_path}",
    f"```text\n{' '.join(usage.split())}\n```",
    *_paragraphs(command.help or ""),
  ]
  params = [
    param
    for param in command.get_params(context)
    if not _SAID_ABOVE.intersection(param.opts)
  ]
  own = [param for param in params if not _is_of_calls(param)]
  records = [param.get_help_record(context) for param in own]
  flags = [
    (f"`{names}`", _escaped(text))
    for names, text in filter(None, records)
    if text
  ]
  if flags:
    parts.append(_table([("flag", ""), ("---", "---"), *flags]))
  of_calls = [param.opts[0] for param in params if _is_of_calls(param)]
  if of_calls:
    parts.append(f"[Options of a call](options.md): {_code(of_calls)}.")
  return "\n\n".join(parts)


def _document(path: Path) -> str:
  schema = json.loads(path.read_text())
  command, _, others = schema["title"].partition(" --json`")
  said = f"[{path.name}](../schemas/{path.name}){others.rstrip('.')}."
  if schema["type"] == "array":
    said += " An array, of which each item has:"
    schema = schema["items"]
  rows = [
    (f"`{name}`", _kind(each), _escaped(each.get("description", "")))
    for name, each in schema.get("properties", {}).items()
  ]
  if not rows and isinstance(schema.get("additionalProperties"), dict):
    each = schema["additionalProperties"]
    rows = [("each name", _kind(each), _escaped(each.get("description", "")))]
  parts = [f"## {command.removeprefix('`')}", said]
  if rows:
    parts.append(_table([("", "", ""), ("---", "---", "---"), *rows]))
  return "\n\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
  """What a value is, in JSON's words."""
  if "anyOf" in schema:
    return " or ".join(_kind(each) for each in schema["anyOf"])
  kind = schema.get("type", "string" if "enum" in schema else "anything")
  return kind if isinstance(kind, str) else " or ".join(kind)


def _is_of_calls(param: click.Parameter) -> bool:
  """Whether it is an option of a call, rather than one of the same name."""
  option = OPTIONS.get(param.name or "")
  text = getattr(param, "help", None) or ""
  return option is not None and text.startswith(option.doc)


def _paragraphs(text: str) -> Iterator[str]:
  """A command's help; what click keeps as it is becomes a block."""
  for paragraph in inspect.cleandoc(text).split("\n\n"):
    kept = paragraph.removeprefix("\b\n")
    if kept != paragraph:
      yield f"```text\n{inspect.cleandoc(kept)}\n```"
    else:
      yield _escaped(paragraph)


def _regions(zones: Iterable[str]) -> str:
  """Zones of one region together: `us-east1-b` c d, `us-west1-a`."""
  letters: dict[str, list[str]] = {}
  for zone in zones:
    region, _, letter = zone.rpartition("-")
    letters.setdefault(region, []).append(letter)
  return ", ".join(
    " ".join([f"`{region}-{first}`", *others])
    for region, (first, *others) in letters.items()
  )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
  return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code(names: Iterable[str]) -> str:
  return ", ".join(f"`{name}`" for name in names)


def _some(names: list[str]) -> str:
  """The names, of many the first ones and the last."""
  if len(names) <= _MOST_NAMES:
    return _code(names)
  return f"{_code(names[: _MOST_NAMES - 1])}, … {_code(names[-1:])}"


def _escaped(text: str) -> str:
  return re.sub(r"([|*_<\[])", r"\\\1", " ".join(text.split()))
