"""What a cluster is made and known with, whatever the engine is."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import sharing
from keras_remote.cli.infra.engine import Engine, Program, Report
from keras_remote.cli.infra.state import State


def _nothing(report: Report) -> None:
  """Leaves it at that."""


def _none(of: InfraConfig, where: InfraConfig) -> Collection[str]:
  """Shares nothing."""
  return ()


@dataclass(frozen=True)
class Parts:
  """What a cluster is made and known with.

  Attributes:
    program: makes the program that registers all its resources, from the
      names and ids of those that are somebody else's.
    ids: what Google knows those by that may be there before, by the program's
      names.
    finish: does what is left when all resources are there.
    leave: takes out of a cluster that stays what `finish` did there.
    shared: names of rights of one config's program that are to what another
      config has too.
  """

  config: InfraConfig
  program: Callable[[Mapping[str, str]], Program]
  ids: Mapping[str, str]
  engine: Engine
  state: State
  finish: Callable[[Report], object] = _nothing
  leave: Callable[[Report], object] = _nothing
  shared: sharing.Shared = _none
