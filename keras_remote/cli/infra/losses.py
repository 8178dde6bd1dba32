"""What a plan loses that nobody loses unasked."""

from collections.abc import Iterable

from keras_remote import errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Change, Op
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER
from keras_remote.cli.infra.words import named

# All that runs, and all that jobs left.
_PRECIOUS = (CLUSTER, BUCKET)


def lost(changes: Iterable[Change]) -> list[Change]:
  """Those that lose what nobody loses unasked."""
  return [
    change
    for change in changes
    if change.op in (Op.REPLACE, Op.DELETE)
    and change.resource.kind in _PRECIOUS
  ]


def check_plan(changes: Iterable[Change], config: InfraConfig) -> None:
  """Passes unless the plan loses what nobody loses unasked.

  Raises:
    ConfigError: it does; says how that is done.
  """
  found = lost(changes)
  if not found:
    return
  whats = " and ".join(named(change.resource) for change in found)
  raise errors.ConfigError(
    f"{whats} would be removed and made anew, with all that is in it: what "
    "you ask for cannot be changed of one that there is. `keras-remote up "
    f"--replace` does it; `--cluster` makes another beside {config.cluster}"
  )
