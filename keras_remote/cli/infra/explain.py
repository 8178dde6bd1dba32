"""What engines and Google say when something fails, as what to do about it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_remote import errors
from keras_remote.accelerators import zones
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.engine import (
  EngineError,
  Failure,
  LockedError,
  Op,
  StoppedError,
)
from keras_remote.cli.infra.kinds import BUCKET, SERVICE
from keras_remote.cli.infra.locks import locked
from keras_remote.cli.infra.words import named

_CONSOLE = "https://console.cloud.google.com"
_LONGEST = 600
TAKEN = re.compile(
  r"\b409\b|already\s?exists|bucket name is not available|already own it|"
  r"existing object already found",
  re.I,
)


@dataclass(frozen=True)
class _Case:
  """One way to fail: how it reads, and what is then said."""

  pattern: re.Pattern[str]
  say: Callable[[Failure, InfraConfig, "re.Match[str]"], str]


def explained(
  error: EngineError, config: InfraConfig, command: str
) -> errors.KerasRemoteError:
  """What an engine's error is for whoever typed the command.

  Args:
    command: what was typed, such as "keras-remote up".
  """
  if isinstance(error, LockedError):
    return errors.InfraError(locked(error, config, command))
  if isinstance(error, StoppedError):
    return errors.InfraError(
      f"it was interrupted: what is there stays, and `{command}` goes on from "
      f"there{_costs(command)}"
    )
  failures = error.failures or (Failure(None, error.text),)
  sentences = dict.fromkeys(explain(each, config) for each in failures)
  # What is said of no resource often only repeats what is said of one.
  if any(each.change for each in error.failures):
    of_resources = [f for f in failures if f.change and f.text]
    sentences = dict.fromkeys(explain(f, config) for f in of_resources) or (
      sentences
    )
  told = "\n".join(f"- {sentence}" for sentence in sentences)
  if len(sentences) == 1:
    told = next(iter(sentences))
  return errors.InfraError(
    f"{told}\nWhat is there stays; `{command}` goes on from there"
    f"{_costs(command)}."
  )


def _costs(command: str) -> str:
  if command.endswith(" down"):
    return ""
  return "; it costs until `keras-remote down` removes it"


def explain(failure: Failure, config: InfraConfig) -> str:
  """Why it failed, and what helps, as one sentence."""
  said = known(failure, config)
  return said or f"{_what(failure)}: {_brief(failure.text)}"


def known(failure: Failure, config: InfraConfig) -> str | None:
  """The same of what is known to fail; None of anything else."""
  service = failure.change and failure.change.resource.kind == SERVICE
  for case in (*_FIRST, *([_CANNOT_ENABLE] * bool(service)), *_CASES):
    found = case.pattern.search(failure.text)
    if found:
      return case.say(failure, config, found)
  return None


def _billing(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"the project {config.project} has no billing account, without which "
    f"nothing can be made: {_CONSOLE}/billing/linkedaccount?project="
    f"{config.project} links one"
  )


def _api_off(failure: Failure, config: InfraConfig, _: object) -> str:
  service = re.search(r"[a-z-]+\.googleapis\.com", failure.text)
  if service and service[0] != "serviceusage.googleapis.com":
    # `up` has just enabled it.
    return (
      f"{_what(failure)}: the API {service[0]} is not enabled yet in project "
      f"{config.project}: that takes some minutes; type this again then"
    )
  name = service[0] if service else "serviceusage.googleapis.com"
  return (
    f"{_what(failure)}: an API is not enabled in project {config.project}, "
    f"with which others are: `gcloud services enable {name} "
    f"--project={config.project}`, and type this again some minutes later"
  )


def _cannot_enable(failure: Failure, config: InfraConfig, _: object) -> str:
  change = failure.change
  inputs = change.resource.inputs if change else {}
  name = str(inputs.get("service") or "that is needed")
  return (
    f"the API {name} cannot be enabled in project {config.project}: whoever is "
    "logged in may not, or the organisation forbids it; who owns the project can do it with `gcloud services "
    f"enable {name} --project={config.project}`, or allow you to with the role "
    f"roles/serviceusage.serviceUsageAdmin ({_brief(failure.text)})"
  )


def _quota(failure: Failure, config: InfraConfig, _: object) -> str:
  quota = re.search(r"Quota '([\w-]+)'|resource \"(\w+)\"", failure.text)
  name = (quota[1] or quota[2]) if quota else ""
  limit = re.search(
    r"(?:limit:?|a quota of)\s*'?(\d[\d.]*\d|\d)", failure.text, re.I
  )
  of = f", which is {limit[1]}," if limit else ""
  where = "" if name.endswith("_ALL_REGIONS") else f" in {config.region}"
  there = f" (look for {name}{where})" if name else ""
  return (
    f"{_what(failure)}: the quota {name or 'of the project'}{of} is not "
    f"enough: {_CONSOLE}/iam-admin/quotas?project={config.project} asks for "
    f"more{there}, or take fewer or other machines"
  )


def _stock_out(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: {config.zone} has no such machines left just now: try "
    f"again later, or elsewhere{_elsewhere(failure, config)}"
  )


def _no_such_machine(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: {config.zone} has no machines of this kind"
    f"{_elsewhere(failure, config)}; `--zone` says where the cluster is, and "
    "another needs another `--cluster`"
  )


def _no_such_place(
  failure: Failure, config: InfraConfig, found: "re.Match[str]"
) -> str:
  return (
    f"{_what(failure)}: {found[1]} is not there, or the project "
    f"{config.project} may not use it: `gcloud compute zones list --project="
    f"{config.project}` shows the zones there are, of which `--zone` takes one"
  )


def _not_there(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: the organisation of the project {config.project} "
    f"allows nothing in {config.region}: `--zone` takes another zone"
  )


def _at_once(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: somebody else changes rights there at the moment, in "
    "this project or with another `up`: type this again"
  )


def _taken(failure: Failure, config: InfraConfig, _: object) -> str:
  change = failure.change
  if change and change.resource.kind == BUCKET:
    return (
      f"{_what(failure)}: another one has this name already, here or in "
      "another project, as all buckets of Google share their names: "
      "`--adopt` takes it over if it is yours; else give the cluster another "
      "name with `--cluster`"
    )
  return (
    f"{_what(failure)}: there is one of this name that keras-remote has not "
    "made: `--adopt` takes it over, `--cluster` gives the new ones another "
    "name; to use a cluster as it is, without `up`: `keras-remote config set "
    f"cluster {config.cluster}`"
  )


def _forbidden(
  failure: Failure, config: InfraConfig, found: "re.Match[str]"
) -> str:
  named_permission = re.search(
    r"[Pp]ermission '([\w.]+)'|[Rr]equired '([\w.]+)'", failure.text
  )
  missing = ""
  if named_permission:
    missing = f" ({named_permission[1] or named_permission[2]})"
  return (
    f"{_what(failure)}: whoever is logged in may not do this in project "
    f"{config.project}{missing}: who owns it can allow it: `gcloud projects "
    f"add-iam-policy-binding {config.project} --member=user:YOU "
    f"--role=roles/owner`: {_brief(failure.text)}"
  )


def _logged_out(failure: Failure, config: InfraConfig, _: object) -> str:
  from keras_remote import credentials  # Without google.auth none is asked for.

  return credentials.CURE


def _no_state(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"the bucket gs://{config.state_bucket}, which has the state of the "
    f"project's clusters, is gone: `gcloud storage buckets list "
    f"--project={config.project}` shows those there are; `keras-remote up` "
    "makes it anew, and with `--adopt` takes over what is there"
  )


def _no_plugin(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    "the Pulumi program could not fetch its plugin for Google Cloud: look at "
    "this machine's network and proxies, or let `pulumi plugin install "
    f"resource gcp` fetch it where there is one ({_brief(failure.text)})"
  )


def _unreachable(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: Google's services cannot be reached: look at this "
    f"machine's network and proxies ({_brief(failure.text)})"
  )


def _in_error(failure: Failure, config: InfraConfig, _: object) -> str:
  what = named(failure.change.resource) if failure.change else "it"
  pool = _pool(failure, config.every_pool)
  which = "clusters describe "
  if pool:
    which = f"node-pools describe {pool.name} --cluster="
  again = "`keras-remote down`, and then `keras-remote up`, make it anew"
  if pool and pool.name != config.cpu_pool.name:
    again = (
      f"`keras-remote pool remove {pool.name}`, and then `keras-remote pool "
      f"add {pool.accelerator}`, make it anew"
    )
  return (
    f"{what} is there, but in error: `gcloud container {which}{config.cluster} "
    f"--location={config.location} --project={config.project} "
    f"--format='value(statusMessage)'` says why; {again}"
  )


def _in_use(
  failure: Failure, config: InfraConfig, found: "re.Match[str]"
) -> str:
  return (
    f"{_what(failure)}: it is used by {found[1]}, which keras-remote has not "
    "made: remove that, and type this again"
  )


def _not_empty(failure: Failure, config: InfraConfig, _: object) -> str:
  return (
    f"{_what(failure)}: it is not empty: `gcloud storage rm --recursive "
    f"'gs://{config.bucket}/**'` empties it, or `--keep-data` leaves it"
  )


def _what(failure: Failure) -> str:
  """What was to be done, such as "the cluster x was not made"."""
  if failure.change is None:
    return "it failed"
  done = {
    Op.CREATE: "made",
    Op.DELETE: "removed",
    Op.REPLACE: "replaced",
    Op.ADOPT: "taken over",
  }.get(failure.change.op, "changed")
  return f"{named(failure.change.resource)} was not {done}"


def _brief(text: str) -> str:
  """What is said, without what frames it, in one line."""
  lines = [line.strip() for line in text.splitlines()]
  kept = [
    line
    for line in lines
    if line and not re.match(r"code: |stdout:|Updating \(|\d+ error", line)
  ]
  joined = " ".join(kept)
  return joined if len(joined) <= _LONGEST else f"{joined[:_LONGEST]} …"


def _elsewhere(failure: Failure, config: InfraConfig) -> str:
  """Which zones have what the pool is made of, as the end of a sentence."""
  pool = _pool(failure, config.every_pool)
  if pool is None:
    return ""
  table = zones.offers()
  others = [z for z in table.zones(pool.kind) if z != config.zone]
  if not others:
    return ""
  where = zones.some(config.zone, others)
  return f" (as of {table.date} {pool.accelerator} is in {where})"


def _pool(failure: Failure, pools: Sequence[NodePool]) -> NodePool | None:
  if failure.change is None:
    return None
  resource = failure.change.resource
  names = {resource.name, str(resource.inputs.get("name"))}
  return next((pool for pool in pools if pool.name in names), None)


def _case(
  pattern: str, say: Callable[[Failure, InfraConfig, "re.Match[str]"], str]
) -> _Case:
  return _Case(re.compile(pattern, re.I | re.S), say)


_CANNOT_ENABLE = _case(
  r"\b403\b|PERMISSION_DENIED|forbidden|permission|SERVICE_CONFIG_NOT_FOUND|"
  r"not allowed|constraint",
  _cannot_enable,
)
# The first that fits: what is special comes before what is general.
_FIRST = (
  _case(
    r"BILLING_DISABLED|BILLING_NOT_FOUND|billing account.{0,80}"
    r"(disabled|closed|not found|absent)|billing (must|to) be enabled|"
    r"requires billing|billing has not been enabled",
    _billing,
  ),
  _case(
    r"could not find default credentials|invalid_grant|reauth related error|"
    r"Attempted to load application default credentials|UNAUTHENTICATED|"
    r"invalid authentication credentials",
    _logged_out,
  ),
  _case(
    r"SERVICE_DISABLED|has not been used in project|"
    r"API has not been enabled|it is disabled",
    _api_off,
  ),
)
_CASES = (
  _case(r"concurrent policy changes", _at_once),
  _case(
    r"Quota '[\w-]+' exceeded|GCE_QUOTA_EXCEEDED|"
    r"(regional|project) quota to satisfy|"
    r"RESOURCE_EXHAUSTED.{0,80}quota",
    _quota,
  ),
  _case(
    r"GCE_STOCKOUT|ZONE_RESOURCE_POOL_EXHAUSTED|"
    r"enough resources available|out of resources",
    _stock_out,
  ),
  _case(
    r"GCE_NOT_FOUND|Invalid machine type|does not exist in zone|"
    r"acceleratorTypes/\S+ was not found|machine type .{0,80}not found",
    _no_such_machine,
  ),
  _case(r"Permission denied on 'locations/([\w-]+)'", _no_such_place),
  _case(r"constraints/gcp\.resourceLocations", _not_there),
  _case(r"created in the error state", _in_error),
  _case(r"already being used by '([^']+)'", _in_use),
  _case(r"force_?destroy|bucket.{0,40}not empty", _not_empty),
  _case(TAKEN.pattern, _taken),
  _case(
    r"bucket.{0,60}(doesn't exist|does not exist)|"
    r"could not list bucket|blob \(code=NotFound\)",
    _no_state,
  ),
  _case(
    r"no resource plugin|could not (find|download|install) .{0,40}plugin|"
    r"failed to (install|download|load).{0,60}plugin",
    _no_plugin,
  ),
  _case(
    r"no such host|connection refused|i/o timeout|TLS handshake|"
    r"network is unreachable|context deadline exceeded",
    _unreachable,
  ),
  _case(r"\b403\b|PERMISSION_DENIED|forbidden|permission denied", _forbidden),
)
