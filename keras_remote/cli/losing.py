"""What a plan removes, and who is asked before."""

from collections.abc import Iterable, Sequence

from keras_remote import errors
from keras_remote.cli import asking
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import losses
from keras_remote.cli.infra.engine import Change, Op
from keras_remote.cli.infra.kinds import POOL
from keras_remote.cli.infra.words import named, title


def agree(
  changing: Sequence[Change], config: InfraConfig, *, yes: bool
) -> None:
  """Passes where somebody agrees to all that is going to be changed.

  Enter alone removes nothing, and no single letter all that jobs left.

  Raises:
    CommandError: somebody does not.
    ConfigError: nobody is here, and `--yes` did not say so beforehand.
  """
  lost = losses.lost(changing)
  if lost:
    whats = " and ".join(named(change.resource) for change in lost)
    question = f"All that is in {whats} is lost"
    asking.typed(question, config.project, yes=yes)
    return
  removes = any(change.op in (Op.REPLACE, Op.DELETE) for change in changing)
  asking.agree("Do this", yes=yes, default=not removes)


def check_unused(
  changes: Iterable[Change], config: InfraConfig, flag: str
) -> None:
  """Passes where no job has a machine of a pool that is removed or made anew.

  Args:
    flag: does it in spite of jobs.

  Raises:
    ConfigError: some do; names them.
    ClusterError: that cannot be told.
  """
  for change in changes:
    if change.resource.kind == POOL and change.op in (Op.REPLACE, Op.DELETE):
      _check_pool(config, title(change.resource), flag)


def _check_pool(config: InfraConfig, pool: str, flag: str) -> None:
  from keras_remote.cli import live

  try:
    jobs = live.jobs_on(live.cluster_of(config), pool)
  except errors.KerasRemoteError as error:
    raise errors.ClusterError(
      f"whether jobs run on the pool {pool}, which would go, cannot be told: "
      f"{error}; `{flag}` removes it without knowing"
    ) from error
  if jobs:
    raise errors.ConfigError(
      f"the pool {pool} is used by {', '.join(jobs)}: wait for "
      f"{'them' if len(jobs) > 1 else 'it'}, or `keras-remote jobs cancel`, "
      f"or `{flag}`, which ends what runs there"
    )
