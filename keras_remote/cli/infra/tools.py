"""What commands make clusters with: Pulumi, unless a test brings its own."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from keras_remote import constants, errors
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.engine import Engine, Program, Report
from keras_remote.cli.infra.sharing import Shared
from keras_remote.progress import Step


class MakeProgram(Protocol):
  """Makes the program that registers all that a config says."""

  def __call__(
    self, config: InfraConfig, *, adopted: Mapping[str, str] | None = None
  ) -> Program:
    """The program.

    Args:
      adopted: ids of what is somebody else's, by the program's names.
    """
    ...


@dataclass(frozen=True)
class Tools:
  """How a stack is opened, and what it is made of.

  Attributes:
    engine: opens a stack by the address of its state, its name and the
      project.
    program: what it is made of.
    ids: what Google knows the resources by that may be there before, by the
      program's names.
    finish: does what is left when all resources are there, and says what it
      changed, or ""; it is also given where the manifest of LeaderWorkerSets
      is, or "".
    leave: takes what it did out of a cluster that stays.
    shared: which rights of a config's program another config has too.
  """

  engine: Callable[[str, str, str], Engine]
  program: MakeProgram
  ids: Callable[[InfraConfig], Mapping[str, str]]
  finish: Callable[[InfraConfig, Report, str], str]
  leave: Callable[[InfraConfig, Report], object]
  shared: Shared


def default_tools() -> Tools:
  """Those that need Pulumi; they are imported for the first who asks.

  Raises:
    ConfigError: Pulumi's library is not installed.
  """
  try:
    from keras_remote.cli.infra import grants, program, pulumi_engine
  except ModuleNotFoundError as error:
    raise errors.ConfigError(
      f"{error.name}, with which clusters are made, is not installed: "
      f"{constants.install('cli,gcp')}"
    ) from error
  return Tools(
    pulumi_engine.opened,
    program.program,
    program.import_ids,
    provision,
    withdraw,
    grants.shared,
  )


def provision(config: InfraConfig, report: Report, source: str) -> str:
  """Has all that jobs need be in the cluster itself; says what it changed.

  Raises:
    ClusterError: it cannot be reached, or refuses.
    ConfigError: the manifest of LeaderWorkerSets cannot be had.
  """
  from keras_remote.backend.k8s.objects import Applied
  from keras_remote.cli import live
  from keras_remote.cli.infra import kubernetes

  cluster = live.cluster_of(config)
  done = kubernetes.provision(cluster, config, report, source=source)
  said = kubernetes.summary(done)
  report(Step(said))
  return said if any(each.how is not Applied.SAME for each in done) else ""


def withdraw(config: InfraConfig, report: Report) -> None:
  """Takes what jobs and members had out of a cluster that stays.

  Raises:
    ClusterError: it cannot be reached, or refuses.
  """
  from keras_remote.cli import live
  from keras_remote.cli.infra import kubernetes

  with contextlib.suppress(errors.ConfigError):  # Its owner has removed it.
    kubernetes.withdraw(live.cluster_of(config), config, report)
