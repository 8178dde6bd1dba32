"""Profiles that lead to clusters: what `up` and `init` save, `down` forgets."""

from collections.abc import Mapping
from typing import Any

from keras_remote.core.settings import (
  ACTIVE,
  DEFAULT_PROFILE,
  PROFILES,
  edited,
  profile_table,
  profiles,
)

# What leads to a cluster, or elsewhere.
_LEADING = (
  *("project", "zone", "cluster", "namespace", "store", "service_account"),
  *("build_service_account", "backend", "context"),
)


def save_profile(
  name: str,
  values: Mapping[str, str],
  *,
  environ: Mapping[str, str] | None = None,
) -> None:
  """Lets a profile lead to a cluster, and makes it the active one.

  Its other options stay.

  Raises:
    StoreError: config.toml cannot be written.
  """
  with edited(environ) as (document, _):
    document[ACTIVE] = name
    table = profile_table(document, name)
    for option in _LEADING:
      table.pop(option, None)
    for option, value in values.items():
      table[option] = value


def forget_cluster(
  project: str,
  cluster: str,
  location: str,
  *,
  environ: Mapping[str, str] | None = None,
) -> list[str]:
  """Lets no profile lead to that cluster any more; the names of those that did.

  What leads there is removed, and a profile that then says nothing.

  Args:
    location: where the cluster is; one elsewhere may have its name.

  Raises:
    StoreError: config.toml cannot be written.
  """
  wanted = {"project": project, "cluster": cluster}
  tables = profiles(environ=environ).tables
  found = [
    name
    for name, table in tables.items()
    if wanted.items() <= table.items()
    and table.get("zone", location) == location
  ]
  if not found:
    return []
  with edited(environ) as (document, _):
    for name in found:
      table = profile_table(document, name)
      for option in _LEADING:
        table.pop(option, None)
      if name != DEFAULT_PROFILE and not table:
        named: Any = document[PROFILES]
        del named[name]
    # What the environment chooses is another thing.
    if document.get(ACTIVE) in found:
      document[ACTIVE] = DEFAULT_PROFILE
  return found
