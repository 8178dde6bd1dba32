"""The kinds of objects that a job is made of, as data."""

import enum
from dataclasses import dataclass
from typing import Any

# As the API writes it.
Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
  """A kind of object, as the API's paths name it."""

  group: str
  plural: str
  namespaced: bool = True

  @property
  def api_group(self) -> str:
    """The group's own name, which of the oldest kinds is empty."""
    return self.group.split("/")[1] if self.group.startswith("apis/") else ""


ACCOUNTS = Kind("api/v1", "serviceaccounts")
BINDINGS = Kind("apis/rbac.authorization.k8s.io/v1", "rolebindings")
CONFIG_MAPS = Kind("api/v1", "configmaps")
EVENTS = Kind("api/v1", "events")
JOBS = Kind("apis/batch/v1", "jobs")
NODES = Kind("api/v1", "nodes", namespaced=False)
PODS = Kind("api/v1", "pods")
QUOTAS = Kind("api/v1", "resourcequotas")
ROLES = Kind("apis/rbac.authorization.k8s.io/v1", "roles")
SECRETS = Kind("api/v1", "secrets")
SERVICES = Kind("api/v1", "services")
SETS = Kind("apis/leaderworkerset.x-k8s.io/v1", "leaderworkersets")


class Applied(enum.StrEnum):
  """What became of an object that was applied."""

  MADE = enum.auto()
  CHANGED = enum.auto()
  SAME = enum.auto()


@dataclass(frozen=True)
class Listing:
  """The objects that there are.

  Attributes:
    version: from where a watch goes on.
  """

  items: tuple[Object, ...]
  version: str
