"""`keras-remote up`: a cluster with all that jobs need."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from keras_remote import errors
from keras_remote.cli.output import Output, prints
from keras_remote.cli.parameters import option_flags, plan_flags
from keras_remote.core.options import OPTIONS

if TYPE_CHECKING:
  from keras_remote.cli.config import InfraConfig
  from keras_remote.cli.infra.state import Record
  from keras_remote.cli.infra.tools import Tools
  from keras_remote.cli.wanted import Asked


@click.command(short_help="Make a cluster, or change it.")
@option_flags(without=set(OPTIONS) - {"project", "cluster"})
@click.option(
  "--zone",
  metavar="ZONE",
  help="Where its machines are; else us-central1-a, or a zone that has the "
  "accelerators.",
)
@click.option(
  "--namespace", metavar="NAME", help="Where its jobs are; else default."
)
@click.option(
  "--accelerator",
  "accelerators",
  multiple=True,
  metavar="NAME",
  help="What jobs can ask for, such as v5e-8 or l4:spot; cpu for nothing "
  "else. May be repeated.",
)
@click.option(
  "--min-nodes",
  type=int,
  metavar="N",
  help="Machines of each accelerator that stay without jobs too; else 0. "
  "A pool that is there keeps those that jobs bring.",
)
@click.option(
  "--max-nodes",
  type=int,
  metavar="N",
  help="Machines of each accelerator at most; else 4.",
)
@click.option(
  "--reservation",
  metavar="NAME",
  help="A reservation whose machines those of the accelerators are.",
)
@click.option(
  "--member",
  "members",
  multiple=True,
  metavar="WHO",
  help="Who may run jobs, such as user:ada@example.com. May be repeated.",
)
@click.option(
  "--without-member",
  "gone",
  multiple=True,
  metavar="WHO",
  help="Who may run jobs no more. May be repeated.",
)
@click.option(
  "--quota",
  "quotas",
  multiple=True,
  metavar="RESOURCE=AMOUNT",
  help="What all jobs together may ask for; without an amount, all of it. "
  "May be repeated.",
)
@click.option(
  "--retention-days",
  type=int,
  metavar="DAYS",
  help="How long the bucket keeps what jobs left, 14 at least; else 30.",
)
@click.option(
  "--regional/--zonal",
  default=None,
  help="Whether the control plane is in the whole region.",
)
@click.option(
  "--private-nodes/--public-nodes",
  default=None,
  help="Whether machines have no address of the internet.",
)
@click.option(
  "--release-channel",
  metavar="NAME",
  help="When GKE upgrades it: RAPID, REGULAR, STABLE or EXTENDED.",
)
@click.option(
  "--sets-manifest",
  "sets",
  default="",
  metavar="FILE|URL",
  help="The manifest of LeaderWorkerSets; else of its project's page.",
)
@click.option(
  "--profile",
  metavar="NAME",
  help="The profile that is saved; else it has the cluster's name.",
)
@plan_flags
@click.option(
  "--adopt", is_flag=True, help="Take over what has the same names."
)
@click.option(
  "--refresh", is_flag=True, help="Look first at what others changed."
)
@click.option(
  "--replace", is_flag=True, help="Let the cluster or bucket be made anew."
)
@click.option(
  "--unlock",
  is_flag=True,
  help="Take away the lock that a process left which died.",
)
@prints
@click.pass_obj
def command(tools: "Tools | None", out: Output, **flags: Any) -> None:
  """Makes a cluster with all that jobs need, or changes the one there is.

  \b
    keras-remote up --project my-project --accelerator v5e-8

  Typed again it changes nothing. What is not asked for stays as it is: pools
  are removed with `keras-remote pool remove`, all of it with `keras-remote
  down`. Machines come when jobs need them, and go after.
  """
  from keras_remote.cli import clusters, wanted
  from keras_remote.cli.infra.state import State
  from keras_remote.cli.infra.tools import default_tools

  asked = _asked(flags)
  # What is wrong, or not installed, is said before anything is asked.
  anywhere = wanted.anywhere(asked)
  wanted.config_of(asked, anywhere.project, anywhere)
  tools = tools or default_tools()
  project = wanted.project_of(asked.place)
  clusters.log_in()
  state = State(project)
  record = wanted.found(asked.place, state)
  config = _config(asked, project, record)
  clusters.raise_up(
    out,
    tools,
    config,
    clusters.How(
      profile=flags["profile"] or config.cluster,
      **{
        name: flags[name]
        for name in (
          *("preview", "yes", "adopt", "refresh", "replace", "unlock", "sets"),
        )
      },
    ),
    before=record,
  )


def _asked(flags: dict[str, Any]) -> "Asked":
  """What the flags say, checked as far as it can be without asking anyone."""
  from keras_remote.cli import wanted

  for name in ("min_nodes", "max_nodes", "reservation"):
    if flags[name] is not None and not flags["accelerators"]:
      flag = f"--{name.replace('_', '-')}"
      raise errors.ConfigError(
        f"{flag} says nothing without --accelerator: name the one that it is of"
      )
  if flags["reservation"] and len(flags["accelerators"]) > 1:
    raise errors.ConfigError(
      "--reservation is of one accelerator, and several are named: `pool add` "
      "makes each with its own"
    )
  pools = tuple(
    wanted.AskedPool(
      name, flags["min_nodes"], flags["max_nodes"], flags["reservation"]
    )
    for name in flags["accelerators"]
  )
  quotas = [_quota(text) for text in flags["quotas"]]
  return wanted.Asked(
    wanted.place_of(flags),
    pools=pools,
    namespace=flags["namespace"],
    regional=flags["regional"],
    private_nodes=flags["private_nodes"],
    retention_days=flags["retention_days"],
    quota=tuple(each for each in quotas if each[1]),
    members=flags["members"],
    release_channel=flags["release_channel"],
    without_members=flags["gone"],
    without_quotas=tuple(each[0] for each in quotas if not each[1]),
  )


def _quota(text: str) -> tuple[str, str]:
  resource, equals, amount = text.partition("=")
  if not equals:
    raise errors.ConfigError(
      f"--quota: '{text}' says no amount: write such as "
      "requests.google.com/tpu=16, or nothing after the = for no limit"
    )
  return resource.strip(), amount.strip()


def _config(
  asked: "Asked", project: str, record: "Record | None"
) -> "InfraConfig":
  """What is to be there; what nobody says is asked for."""
  from keras_remote.cli import less, wanted
  from keras_remote.cli.infra.state import Phase

  before = record.config if record else None
  there = before if record and record.phase is not Phase.KEPT else None
  if before and not there:
    # Nobody's jobs are there: they may be in another one now.
    namespace = asked.place.namespace or before.namespace
    before = replace(before, pools=(), namespace=namespace)
  if not (asked.pools or there):
    asked = replace(asked, pools=wanted.pools_asked())
  if before is None:
    asked = wanted.zone_asked(asked)
  config = less.without(wanted.config_of(asked, project, before), asked)
  config.check_zone()
  for pool in config.pools:
    if before is None or pool not in before.pools:
      pool.check_offered()
  if there:
    there.check_change(config)
  return config
