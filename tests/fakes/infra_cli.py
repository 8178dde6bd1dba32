"""`keras-remote` on an engine whose cloud is a file: its first argument."""

import sys
from pathlib import Path

from keras_remote.backend.k8s.objects import Applied
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra import kubernetes
from keras_remote.cli.infra.kubernetes import Done
from keras_remote.cli.infra.program import import_ids, program
from keras_remote.cli.infra.tools import Provision, Tools
from keras_remote.cli.main import cli
from keras_remote.progress import Report
from tests.fakes.pulumi_engine import Cloud, opener


def provided(
  config: InfraConfig, report: Report, *, source: str = ""
) -> list[Done]:
  """As in a cluster that has all that jobs need."""
  return [
    Done(each["kind"], each["metadata"]["name"], "", Applied.SAME)
    for each in kubernetes.objects(config)
  ]


def tools(path: Path, provision: Provision = provided) -> Tools:
  """What commands take to work on that cloud."""
  return Tools(opener(Cloud(path)), program, import_ids, provision)


if __name__ == "__main__":
  cli(sys.argv[2:], prog_name="keras-remote", obj=tools(Path(sys.argv[1])))
