"""`keras-remote down`: removes a cluster with all that `up` made."""

from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli.output import Output, Table, faint, heading, prints
from keras_remote.cli.parameters import place_flags

if TYPE_CHECKING:
  from keras_remote.cli.config import InfraConfig
  from keras_remote.cli.infra.stack import Removed
  from keras_remote.cli.infra.state import Record, State
  from keras_remote.cli.infra.tools import Tools


@click.command(short_help="Remove a cluster with all that `up` made.")
@place_flags
@click.option(
  "--keep-data", is_flag=True, help="Keep the bucket of jobs and the images."
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option(
  "--unlock",
  is_flag=True,
  help="Take away the lock that a process left which died.",
)
@prints
@click.pass_obj
def command(
  tools: "Tools | None",
  out: Output,
  keep_data: bool,
  yes: bool,
  unlock: bool,
  **texts: Any,
) -> None:
  """Removes a cluster with all that `keras-remote up` made, jobs' data too.

  It asks for the project's name. Typed again it goes on where it failed.
  """
  from keras_remote.cli import asking, clusters, wanted
  from keras_remote.cli.infra import stack
  from keras_remote.cli.infra.state import Phase, State
  from keras_remote.cli.progress import showing
  from keras_remote.core.leading import forget_cluster
  from keras_remote.home import ENDPOINTS, IMAGES, Home, home

  place = wanted.place_of(texts)
  project = wanted.project_of(place)
  tools = clusters.ready(tools)
  state = State(project)
  record = wanted.found(place, state)
  if record is None:
    name = place.cluster or wanted.CLUSTER
    out.show(
      _document(project, name, None),
      f"the project {project} has no cluster '{name}' that `keras-remote up` "
      "made: there is nothing to remove",
    )
    return
  config = record.config
  shared = stack.images_stay(state, record)
  if record.phase is Phase.KEPT:
    there = _there(state, config)
    if not there:
      state.remove(config)
    left = _left(record, there=there, shared=shared)
    out.show(_document(project, config.cluster, None), *left)
    return
  parts = clusters.parts(tools, config)
  _warn(out, record, keep_data=keep_data, images=not (keep_data or shared))
  question = f"This removes {config.cluster} from project {project}"
  asking.typed(question, project, yes=yes)
  with showing(f"removing {config.cluster}") as report:
    removed = stack.down(parts, report, keep_data=keep_data, unlock=unlock)
  forgotten = forget_cluster(project, config.cluster, config.location)
  for kind in (IMAGES, ENDPOINTS):
    # A later cluster of this name has neither.
    Home(home()).forget_all(kind)
  _show(out, record, removed, forgotten)


def _there(state: "State", config: "InfraConfig") -> bool:
  """Whether the bucket of jobs may still be there."""
  try:
    return state.has(config.bucket)
  except errors.KerasRemoteError:
    return True


def _left(record: "Record", *, there: bool, shared: bool) -> list[str]:
  """What an earlier `--keep-data` kept, and how what is ours goes.

  Args:
    there: the bucket is.
    shared: others use the images, or made their repository.
  """
  from keras_remote.cli.infra.kinds import JOBS

  config = record.config
  bucket = (
    f"  gs://{config.bucket}: `gcloud storage rm --recursive "
    f"gs://{config.bucket}` removes it"
  )
  if JOBS in record.adopted:
    bucket = f"  gs://{config.bucket}, which keras-remote has not made"
  images = (
    f"  the images of jobs: `gcloud artifacts repositories delete "
    f"{config.repository} --location={config.repository_location} "
    f"--project={config.project}` removes them"
  )
  if shared:
    images = "  the images of jobs, which are not this cluster's alone"
  if not there:
    # Nobody asks for it again: what it kept is gone.
    return [
      f"{config.cluster} and gs://{config.bucket} are removed already; an "
      "earlier `--keep-data` kept",
      images,
    ]
  return [
    f"{config.cluster} is removed already; an earlier `--keep-data` kept",
    bucket,
    images,
  ]


def _warn(
  out: Output, record: "Record", *, keep_data: bool, images: bool
) -> None:
  from keras_remote.cli.infra.kinds import GKE, JOBS

  config = record.config
  out.tell(
    heading(f"{config.cluster} in {config.location}, project {config.project}")
  )
  remove, keep = "- remove", "  keep"
  cluster = [(remove, "the cluster, its pools, and jobs that run")]
  if GKE in record.adopted:
    cluster = [
      (remove, "the pools that `up` made, and jobs that run there"),
      (remove, "what members may do in the cluster, and the accounts of jobs"),
      (keep, "the cluster, which was there before, with LeaderWorkerSets"),
    ]
  stays = keep_data or JOBS in record.adopted
  rows = [
    *cluster,
    (
      keep if stays else remove,
      f"gs://{config.bucket} with all that jobs left",
    ),
    (remove if images else keep, "the images of jobs"),
    (keep, "what was enabled: other things may use the same APIs"),
    (keep, f"gs://{config.state_bucket}, which knows of other clusters"),
  ]
  out.tell(Table((), rows, fold=1), "")


def _show(
  out: Output,
  record: "Record",
  removed: "Removed",
  forgotten: list[str],
) -> None:
  from keras_remote.cli.infra.kinds import GKE
  from keras_remote.cli.infra.words import named

  config = record.config
  gone = config.cluster
  if GKE in record.adopted:
    gone = f"what `keras-remote up` made for {gone}"
  lines = [f"{gone} is removed"]
  lines += [f"kept: {named(each)}" for each in removed.kept]
  lines += [f"profile '{name}' leads there no more" for name in forgotten]
  if removed.kept:
    flag = " --adopt" if record.adopted else ""
    lines.append(
      faint(
        f"`keras-remote up{flag}` with the same names takes over what is kept"
      )
    )
  out.show(_document(config.project, config.cluster, removed), *lines)


def _document(
  project: str, cluster: str, removed: "Removed | None"
) -> dict[str, Any]:
  from keras_remote.cli import plans
  from keras_remote.cli.infra.words import noun, title

  changes = removed.changes if removed else ()
  kept = removed.kept if removed else ()
  return {
    "project": project,
    "cluster": cluster,
    "there": removed is not None,
    "changes": plans.document(changes),
    "kept": [{"what": noun(r.kind), "name": title(r)} for r in kept],
  }
