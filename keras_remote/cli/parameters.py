"""What several commands take: a job, and the options of a call."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from keras_remote import errors
from keras_remote.core import options
from keras_remote.job import redact

F = TypeVar("F", bound=Callable[..., Any])
_Complete = Callable[[click.Context, click.Parameter, str], list[Any]]
_MOST_OFFERED = 50
# Which options of a call say where a cluster is.
PLACE = ("project", "zone", "cluster", "namespace")


def option_flags(without: Collection[str] = ()) -> Callable[[F], F]:
  """A flag for each option of a call but those; the texts come by its name."""

  def decorate(command: F) -> F:
    for option in reversed(list(options.OPTIONS.values())):
      if option.name not in without:
        flag = click.option(
          option.flag,
          option.name,
          multiple=option.kind.many,
          metavar=option.kind.metavar,
          help=option.doc + " May be repeated." * option.kind.many,
          shell_complete=_values_of(option),
        )
        command = flag(command)
    return command

  return decorate


def place_flags(command: F) -> F:
  """`--project`, `--zone`, `--cluster` and `--namespace`, as of a call."""
  return option_flags(without=set(options.OPTIONS) - set(PLACE))(command)


def plan_flags(command: F) -> F:
  """`--preview` and `--yes`, of what says first what it would do."""
  yes = click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
  preview = click.option(
    "--preview", is_flag=True, help="Only say what would be done."
  )
  return preview(yes(command))


def parsed(texts: Mapping[str, Any]) -> options.OptionArguments:
  """The options that were given, as `run` takes them, from their texts.

  Raises:
    ConfigError: a text is malformed, or names what is not there.
    AcceleratorError: there is no such accelerator.
  """
  arguments: dict[str, object] = {}
  for name, given in texts.items():
    option = options.OPTIONS[name]
    several: Sequence[str] = given if option.kind.many else [given]
    if given not in (None, ()):
      arguments[name] = option.parse(several, where=option.flag)
      option.read(arguments[name], base=Path(), where=option.flag)
      option.check(arguments[name], where=option.flag)
  return cast(options.OptionArguments, arguments)


def offered(values: Callable[[], Iterator[CompletionItem]]) -> _Complete:
  """A completion of these values, by any part of them; silent on errors."""

  def complete(
    ctx: click.Context, param: click.Parameter, incomplete: str
  ) -> list[CompletionItem]:
    with contextlib.suppress(errors.KerasRemoteError):
      return [item for item in values() if incomplete in item.value]
    return []

  return complete


def paths(kind: Literal["file", "dir"]) -> _Complete:
  """A completion that the shell does itself."""

  def complete(
    ctx: click.Context, param: click.Parameter, incomplete: str
  ) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type=kind)]

  return complete


def _values_of(option: options.Option) -> _Complete | None:
  if option.kind is options.FOLDER or option.kind is options.ADDRESS:
    return paths("dir")
  values = {
    "accelerator": _accelerators,
    "backend": _backends,
    "tags": _tags,
  }.get(option.name)
  return offered(values) if values else None


def _accelerators() -> Iterator[CompletionItem]:
  from keras_remote.accelerators.registry import accelerators

  for accelerator in accelerators():
    yield CompletionItem(str(accelerator), help=accelerator.describe())


def _backends() -> Iterator[CompletionItem]:
  from keras_remote.backend import registry

  yield from map(CompletionItem, registry.names())


def _tags() -> Iterator[CompletionItem]:
  from keras_remote.core.jobs import list_jobs

  tags = {tag for job in list_jobs(limit=_MOST_OFFERED) for tag in job.tags}
  yield from map(CompletionItem, sorted(tags))


def _jobs() -> Iterator[CompletionItem]:
  from keras_remote.core.jobs import list_jobs

  for job in list_jobs(limit=_MOST_OFFERED):
    yield CompletionItem(job.id, help=str(job.state))


def tag_option(command: F) -> F:
  """`--tag`: only jobs that bear it."""
  flag = click.option(
    "--tag", help="Only those that bear it.", shell_complete=offered(_tags)
  )
  return flag(command)


def job_argument(command: F) -> F:
  """`[JOB]`: any unique part of a job's id; without one the latest job."""
  argument = click.argument(
    "job_id", metavar="[JOB]", required=False, shell_complete=offered(_jobs)
  )
  return argument(command)


def _profiles() -> Iterator[CompletionItem]:
  from keras_remote.core.settings import profiles

  yield from map(CompletionItem, profiles().tables)


def profile_option(command: F) -> F:
  """`--profile`: the profile that is changed."""
  flag = click.option(
    "--profile",
    metavar="PROFILE",
    help="The profile; by default the active one.",
    shell_complete=offered(_profiles),
  )
  return flag(command)


def profile_argument(command: F) -> F:
  """`PROFILE`: the name of a profile."""
  return click.argument("profile", shell_complete=offered(_profiles))(command)


def option_argument(command: F) -> F:
  """`OPTION`: the name of an option, as config.toml has it."""
  argument = click.argument(
    "name",
    metavar="OPTION",
    shell_complete=offered(lambda: map(CompletionItem, options.OPTIONS)),
  )
  return argument(command)


def safe(value: object) -> object:
  """The value of an option; of what may be secret, the names or the place."""
  if isinstance(value, Mapping):
    return sorted(value)
  if isinstance(value, (list, tuple)):
    return [safe(item) for item in value]
  return redact.hide_log_in(value) if isinstance(value, str) else value


def shown(value: object) -> str:
  """The value of an option for people; of variables the names alone."""
  if isinstance(value, Mapping):
    return ", ".join(f"{name}=…" for name in value)
  if isinstance(value, (list, tuple)):
    return ", ".join(map(shown, value))
  if isinstance(value, float):
    return f"{value:g} s"
  return "" if value is None else redact.hide_log_in(str(value))
