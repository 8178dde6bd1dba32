"""What a cluster is to have no more: members, and quotas."""

from collections.abc import Collection
from dataclasses import replace

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.wanted import Asked
from keras_remote.core.options import nearest


def without(config: InfraConfig, asked: Asked) -> InfraConfig:
  """The same without what was asked to go.

  Args:
    config: with what was asked to be there.

  Raises:
    ConfigError: it is not there, or was asked to be there too.
  """
  quotas = dict(config.quota)
  for member in asked.without_members:
    _check(member, config.members, asked.members, f"member of {config.cluster}")
  for resource in asked.without_quotas:
    _check(resource, quotas, dict(asked.quota), f"quota of {config.cluster}")
  return replace(
    config,
    members=tuple(m for m in config.members if m not in asked.without_members),
    quota=tuple(q for q in config.quota if q[0] not in asked.without_quotas),
  )


def _check(
  name: str,
  there: Collection[str],
  wanted: Collection[str],
  what: str,
) -> None:
  if name in wanted:
    raise errors.ConfigError(
      f"{name} is to be there and to go at once: leave one of the two out"
    )
  if name not in there:
    has = nearest(name, there) if there else "there is none"
    raise errors.ConfigError(f"{name} is no {what}: {has}")
