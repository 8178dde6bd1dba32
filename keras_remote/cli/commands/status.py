"""`keras-remote status`: what there is, what it does, what it costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from keras_remote.cli.output import Output, Table, heading, prints
from keras_remote.cli.parameters import place_flags

if TYPE_CHECKING:
  from keras_remote.cli.config import InfraConfig
  from keras_remote.cli.infra.state import Record
  from keras_remote.cli.overview import Part

_HEADER = ("POOL", "ACCELERATOR", "NODES", "MOST", "USD/HOUR NOW")
_ROWS = ("cluster", "nodes", "jobs", "bucket", "images")
_UNKNOWN = "?"


@click.command(short_help="Show a cluster, its jobs and what they cost.")
@place_flags
@prints
def command(out: Output, **texts: Any) -> None:
  """Shows what there is of a cluster, what it does, and what that costs.

  What cannot be reached says why, and the rest is shown.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State
  from keras_remote.core.console import Console

  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  clusters.log_in()
  # Only now it is known that the clients are installed.
  from keras_remote.cli import overview

  with Console().busy("looking at the cluster"):
    record = wanted.known_cluster(place, State(project))
    parts = overview.overview(record.config)
  _show(out, record, parts)


def _show(out: Output, record: "Record", parts: "Mapping[str, Part]") -> None:
  from keras_remote.cli import clusters, costs, long, overview
  from keras_remote.cli.infra.state import Phase

  config = record.config
  nodes: Mapping[str, int] | None = parts["nodes"].data
  cost = None if nodes is None else overview.running_cost(config, nodes)
  content = {
    "project": config.project,
    "zone": config.zone,
    "cluster": config.cluster,
    "namespace": config.namespace,
    "phase": record.phase,
    "changed_by": record.who,
    "changed_at": record.when,
    "pools": [
      {**pool, "nodes": None if nodes is None else nodes.get(pool["name"], 0)}
      for pool in clusters.pools_document(config)
    ],
    "parts": {
      name: {
        "ok": parts[name].well,
        "sentence": parts[name].sentence,
        "data": parts[name].data,
      }
      for name in _ROWS
    },
    "an_hour_now": cost.document() if cost else None,
  }
  title = f"{config.cluster} in {config.location}, project {config.project}"
  rows = [(name, parts[name].sentence) for name in _ROWS]
  if record.phase is not Phase.READY:
    said = f"{record.phase} by {record.who} since {record.when}"
    rows.insert(0, ("state", said))
  an_hour = cost.sentence if cost else "not known, as the nodes are not"
  rows += [("now", an_hour), ("", costs.BESIDE)]
  out.show(
    content,
    heading(title),
    Table((), rows, fold=1),
    "",
    Table(_HEADER, _pools(config, nodes), fold=1),
    *long.noted(parts["jobs"].lasting),
  )


def _pools(
  config: "InfraConfig", nodes: Mapping[str, int] | None
) -> list[tuple[str, ...]]:
  from keras_remote.cli import costs, overview

  rows: list[tuple[str, ...]] = []
  for pool in config.every_pool:
    count = None if nodes is None else nodes.get(pool.name, 0)
    price = costs.pool_cost(config, pool, count or 0)
    usd = "0" if count == 0 else _UNKNOWN
    if price:
      usd = f"{price.usd:.2f}"
    rows.append(
      (
        pool.name,
        pool.accelerator,
        _UNKNOWN if count is None else str(count),
        str(pool.most),
        usd,
      )
    )
  for name in overview.strangers(config, nodes or {}):
    count = str((nodes or {})[name])
    rows.append((name or "none", _UNKNOWN, count, "", _UNKNOWN))
  return rows
