"""`keras-remote init`: joins the cluster that a colleague made."""

from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import place_flags

if TYPE_CHECKING:
  from keras_remote.cli.infra.state import Record, State
  from keras_remote.core.options import Options


@click.command(short_help="Join a cluster that a colleague made.")
@place_flags
@click.option(
  "--profile",
  metavar="NAME",
  help="The profile that is saved; else it has the cluster's name.",
)
@prints
def command(out: Output, profile: str | None, **texts: Any) -> None:
  """Joins the cluster that a colleague made with `keras-remote up`.

  It is found in the project. Calls run there from then on.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State
  from keras_remote.core.console import Console

  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  clusters.log_in()
  state = State(project)
  with Console().busy("looking for clusters"):
    known = _known(state)
  record = _chosen(place, state, known)
  config = record.config
  # Whoever took the names of the project's buckets first can have written this.
  if not state.has(config.bucket):
    raise errors.ConfigError(
      f"the bucket gs://{config.bucket}, which the jobs of {config.cluster} go "
      "to, is not there: `keras-remote up` makes it"
    )
  name = profile or config.cluster
  clusters.join(config, name)
  content = {
    "project": config.project,
    "zone": config.zone,
    "cluster": config.cluster,
    "namespace": config.namespace,
    "pools": clusters.pools_document(config),
    "profile": name,
    "first_job": clusters.first_job(config),
  }
  out.show(
    content,
    f"joined {config.cluster} in {config.location}, which {record.who} made "
    f"or changed last",
    *clusters.leads(config, name),
  )


def _known(state: "State") -> "list[Record]":
  from keras_remote.cli.infra.state import Phase

  return [
    record
    for record in state.records()
    if record.phase in (Phase.READY, Phase.UPDATING)
  ]


def _chosen(
  place: "Options", state: "State", known: "list[Record]"
) -> "Record":
  """The one that is meant: the only one, or the one that is named.

  Raises:
    ConfigError: there is none, or several and nobody says which.
  """
  from keras_remote.cli import asking, wanted

  if place.cluster:
    return wanted.known_cluster(place, state)
  if not known:
    raise errors.ConfigError(
      f"the project {state.project} has no cluster that `keras-remote up` made: "
      f"`keras-remote up --project {state.project}` makes one"
    )
  if len(known) == 1:
    return known[0]
  names = [f"{r.config.cluster} in {r.config.location}" for r in known]
  if not asking.someone():
    raise errors.ConfigError(
      f"the project {state.project} has {len(known)} clusters: "
      f"{', '.join(names)}: --cluster names one"
    )
  return known[asking.choose("Which one", names)]
