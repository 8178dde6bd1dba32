"""What a user has to be let do in a namespace, to have jobs there."""

from collections.abc import Iterable
from dataclasses import dataclass

from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  CONFIG_MAPS,
  EVENTS,
  JOBS,
  PODS,
  QUOTAS,
  ROLES,
  SECRETS,
  SERVICES,
  SETS,
  Kind,
  Object,
)


@dataclass(frozen=True)
class Right:
  """What a user has to be let do in a namespace."""

  verb: str
  kind: Kind
  part: str = ""

  def __str__(self) -> str:
    return f"{self.verb} {self.resource}"

  @property
  def resource(self) -> str:
    """What it is about, as roles write it."""
    return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural


def _rights_of(*rows: tuple[Kind, str]) -> tuple[Right, ...]:
  return tuple(
    Right(verb, kind) for kind, verbs in rows for verb in verbs.split()
  )


# Without these a call cannot be made, or its value not be had.
RIGHTS = _rights_of(
  (JOBS, "get list watch create delete"),
  (PODS, "list watch deletecollection"),
  (SECRETS, "get create patch delete"),
  (CONFIG_MAPS, "get create"),
)
# Nor without these one of pathways.
GROUP_RIGHTS = _rights_of(
  (SETS, "get list create delete"),
  (ACCOUNTS, "create"),
  (ROLES, "create"),
  (BINDINGS, "create"),
)
# Without these it is told less.
FURTHER = (
  Right("get", PODS, "log"),
  Right("list", EVENTS),
  Right("watch", EVENTS),
)
# What few calls take: a group that is one Job; one that is submitted twice; what
# was left behind long ago; and what `doctor` looks at.
_RARE = _rights_of(
  (SERVICES, "get create"),
  (ACCOUNTS, "get"),
  (ROLES, "get"),
  (BINDINGS, "get"),
  (SECRETS, "list"),
  (CONFIG_MAPS, "list delete"),
  (QUOTAS, "list"),
)
EVERY = (*RIGHTS, *GROUP_RIGHTS, *FURTHER, *_RARE)


def rules(rights: Iterable[Right] = EVERY) -> list[Object]:
  """The rules of a role that gives these rights, and no other."""
  verbs: dict[tuple[str, str], list[str]] = {}
  for right in rights:
    found = verbs.setdefault((right.kind.api_group, right.resource), [])
    if right.verb not in found:
      found.append(right.verb)
  return [
    {"apiGroups": [group], "resources": [resource], "verbs": each}
    for (group, resource), each in verbs.items()
  ]
