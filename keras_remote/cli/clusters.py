"""What several commands do with a cluster: make it, change it, show it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_remote import constants, errors
from keras_remote.cli import costs, losing, plans
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import losses, rights, stack
from keras_remote.cli.infra.engine import Change
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.cli.infra.tools import Tools, default_tools
from keras_remote.cli.output import Output, Table, heading
from keras_remote.cli.progress import showing
from keras_remote.core.console import Console, asker
from keras_remote.core.leading import save_profile
from keras_remote.core.settings import PROFILE_VARIABLE, profiles, resolve


@dataclass(frozen=True)
class How:
  """How a cluster is made or changed.

  Attributes:
    profile: that is saved; "" for none.
    preview: only tell what would be done.
    yes: ask nothing.
    adopt: take over what has the same names.
    refresh: look first at what others changed.
    replace: the cluster or its bucket may be made anew.
    unlock: take away the lock of a process that died.
    sets: where the manifest of LeaderWorkerSets is; "" for its project's page.
    force: pools go although jobs run there, or where that cannot be told.
    force_flag: what says so.
  """

  profile: str = ""
  preview: bool = False
  yes: bool = False
  adopt: bool = False
  refresh: bool = False
  replace: bool = False
  unlock: bool = False
  sets: str = ""
  force: bool = False
  force_flag: str = "keras-remote up --replace"


def ready(tools: Tools | None) -> Tools:
  """The tools, by which Pulumi is there; somebody is logged in then.

  Raises:
    ConfigError: a library is not installed.
    CredentialsError: nobody is logged in.
  """
  tools = tools or default_tools()
  log_in()
  return tools


def log_in() -> None:
  """Passes where somebody is logged in to Google Cloud, or does it now.

  Raises:
    ConfigError: the library for it is not installed.
    CredentialsError: nobody is.
  """
  try:
    from keras_remote import credentials
  except ModuleNotFoundError as error:
    raise errors.ConfigError(
      f"the clients of Google Cloud are not installed: {constants.install('gcp')}"
    ) from error
  credentials.ensure_credentials([credentials.link()], ask=asker())


def parts(
  tools: Tools,
  config: InfraConfig,
  *,
  backend: str | None = None,
  sets: str = "",
) -> Parts:
  """The stack of a cluster.

  Args:
    backend: where its state is; None for the project's bucket.
    sets: where the manifest of LeaderWorkerSets is, or "".

  Raises:
    ConfigError: the engine is not installed.
  """
  state = State(config.project)
  name = f"{config.cluster}.{config.location}"
  engine = tools.engine(backend or state.uri, name, config.project)
  return Parts(
    config,
    lambda adopted: tools.program(config, adopted=adopted),
    tools.ids(config),
    engine,
    state,
    lambda report: tools.finish(config, report, sets),
    lambda report: tools.leave(config, report),
    tools.shared,
  )


def raise_up(
  out: Output,
  tools: Tools,
  config: InfraConfig,
  how: How,
  *,
  before: Record | None,
) -> None:
  """Makes the cluster what the config says, after the plan is agreed to.

  Args:
    before: the record that the config was made from.

  Raises:
    KerasRemoteError: it could not.
  """
  changes, known = _plan(tools, config, how)
  if not how.replace:
    losses.check_plan(changes, config)
  changing = plans.changing(changes)
  nothing = known and not (changing or how.refresh)
  inside = ""
  if nothing and not how.preview:
    # Another version may need more there, or somebody has changed it.
    with showing(f"looking at what is in {config.cluster}") as report:
      inside = tools.finish(config, report, how.sets)
  _show_plan(out, config, changing, nothing=nothing, inside=inside)
  if before and before.phase is not Phase.KEPT:
    _tell_move(out, before.config.namespace, config)
  if how.preview:
    out.show(_document(config, changes, how, profile=None))
    return
  made: Sequence[Change] = changes
  if not how.adopt:
    # What is taken over is made by nobody.
    rights.check(changing, config)
  if not (how.replace or how.force):
    losing.check_unused(changing, config, how.force_flag)
  if changing:
    losing.agree(changing, config, yes=how.yes)
  if not nothing:
    with showing(f"making {config.cluster}", len(changing)) as report:
      made = stack.up(
        parts(tools, config, sets=how.sets),
        report,
        planned=before,
        adopt=how.adopt,
        refresh=how.refresh,
        replace=how.replace,
        unlock=how.unlock,
      )
  if how.profile:
    join(config, how.profile)
  out.show(
    _document(config, made, how, profile=how.profile or None, inside=inside),
    *_next(config, how, before),
  )


def join(config: InfraConfig, profile: str) -> None:
  """Saves the profile with which calls go to the cluster, as the active one.

  Raises:
    StoreError: it cannot be written.
  """
  save_profile(profile, profile_values(config))


def profile_values(config: InfraConfig) -> dict[str, str]:
  """The options with which calls go to the cluster."""
  return {
    "project": config.project,
    # The cluster's location: of a regional one its region.
    "zone": config.location,
    "cluster": config.cluster,
    "namespace": config.namespace,
    "store": f"gs://{config.bucket}",
    "service_account": config.kubernetes_account,
    "build_service_account": config.email(config.build_account),
  }


def first_job(config: InfraConfig) -> str:
  """A command for a first job there."""
  pools = [pool.accelerator for pool in config.pools]
  name = next((name for name in reversed(pools) if name != "cpu"), "cpu")
  return f"keras-remote run --accelerator {name} -- python train.py"


def _plan(
  tools: Tools, config: InfraConfig, how: How
) -> tuple[tuple[Change, ...], bool]:
  """What `up` would do, and whether all of the config was done before."""
  with Console().busy("looking at what there is"):
    state = State(config.project)
    if state.exists():
      there = parts(tools, config)
      changes = stack.plan(there)
      record = state.record(config)
      done = record and (record.config, record.phase) == (config, Phase.READY)
      return changes, bool(done)
    # Nothing is kept of what is only asked.
    with tempfile.TemporaryDirectory() as folder:
      fresh = parts(tools, config, backend=f"file://{folder}")
      return stack.plan(fresh), False


def _show_plan(
  out: Output,
  config: InfraConfig,
  changing: Sequence[Change],
  *,
  nothing: bool,
  inside: str = "",
) -> None:
  where = f"{config.cluster} in {config.location}, project {config.project}"
  if nothing:
    nothing_at_all = "nothing has changed, and nothing is to be done"
    out.tell(f"{where}: {inside or nothing_at_all}")
    return
  if not changing:
    out.tell(f"{where}: what is known of it is brought up to date")
    return
  costs_most = Table(
    (), [("costs", _most(config).at_most), ("", costs.BESIDE)], fold=1
  )
  out.tell(heading(where), plans.table(changing), "", costs_most)


def _tell_move(out: Output, old: str, config: InfraConfig) -> None:
  """Says that everybody's jobs are to be elsewhere, where they are."""
  if old != config.namespace:
    out.tell(
      "",
      f"everybody's jobs move from the namespace {old} to {config.namespace}:",
      "  jobs that run lose the bucket, and each colleague types",
      "  `keras-remote init` once more",
    )


def _most(config: InfraConfig) -> costs.Cost:
  return costs.cost(config, ((pool, pool.most) for pool in config.every_pool))


def _document(
  config: InfraConfig,
  changes: Sequence[Change],
  how: How,
  *,
  profile: str | None,
  inside: str = "",
) -> dict[str, Any]:
  return {
    "project": config.project,
    "zone": config.zone,
    "cluster": config.cluster,
    "namespace": config.namespace,
    "pools": pools_document(config),
    "preview": how.preview,
    "changed": bool(plans.changing(changes) or inside),
    "changes": plans.document(plans.changing(changes)),
    "most_an_hour": _most(config).document(),
    "profile": profile,
    "first_job": first_job(config),
  }


def pools_document(config: InfraConfig) -> list[dict[str, Any]]:
  """The pools for programs."""
  return [
    {
      "name": pool.name,
      "accelerator": pool.accelerator,
      "min_nodes": pool.min_nodes,
      "max_nodes": pool.most,
      "reservation": pool.reservation,
    }
    for pool in config.every_pool
  ]


def _next(config: InfraConfig, how: How, before: Record | None) -> list[str]:
  told = [*_of_groups(config), *_of_more_to_keep(config, before)]
  if not how.profile:
    return told
  return [*told, "", *leads(config, how.profile)]


def _of_more_to_keep(config: InfraConfig, before: Record | None) -> list[str]:
  """That machines to keep come late where there was a pool that kept fewer.

  GKE looks at a pool's least only before it takes machines away, and Pulumi
  sets how many there are but once.
  """
  if before is None or before.phase is Phase.KEPT:
    return []
  kept = {pool.name: pool.min_nodes for pool in before.config.every_pool}
  return [
    line
    for pool in config.every_pool
    if pool.min_nodes > kept.get(pool.name, pool.min_nodes)
    for line in (
      "",
      f"{pool.name} is to keep {pool.min_nodes} from now on:",
      "  those it lacks come when jobs ask for them, and stay then",
    )
  ]


def leads(config: InfraConfig, profile: str) -> list[str]:
  """Whether calls from here run there, now that the profile is saved.

  Raises:
    ConfigError: a source of settings is wrong.
  """
  first = f"a first job: {first_job(config)}"
  active = profiles().active
  if active != profile:
    return [
      f"profile '{profile}' is saved, but {PROFILE_VARIABLE} chooses "
      f"'{active}':",
      f"unset it, and calls run on {config.cluster}",
      first,
    ]
  found = resolve({})
  others = [
    f"  {name} is {value}: {found.origins[name].sentence}"
    for name, wanted in profile_values(config).items()
    if (value := getattr(found.options, name)) != wanted
  ]
  if others:
    return [
      f"profile '{profile}' is active, but here something else counts first:",
      *others,
      first,
    ]
  return [
    f"profile '{profile}' is active: calls run on {config.cluster}",
    first,
  ]


def _of_groups(config: InfraConfig) -> list[str]:
  """What only who administers the domain can do for members that are groups."""
  if not config.groups:
    return []
  return [
    "",
    f"the cluster knows {' and '.join(config.groups)} by {config.security_group}:",
    "  that has to be a group with these for members, and each has to let its",
    "  members view its members; https://groups.google.com makes and shows it",
  ]
