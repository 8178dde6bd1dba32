"""`keras-remote` on an engine whose cloud is a file: its first argument."""

import sys
from pathlib import Path

from keras_remote.cli.infra.grants import shared
from keras_remote.cli.infra.program import import_ids
from keras_remote.cli.infra.tools import Tools
from keras_remote.cli.main import cli
from tests.fakes.programs import whole
from tests.fakes.pulumi_engine import Cloud, opener


def tools(path: Path) -> Tools:
  """What commands take to work on that cloud, which has no Kubernetes."""
  return Tools(
    opener(Cloud(path)),
    whole,
    import_ids,
    lambda config, report, sets: "",
    lambda config, report: None,
    shared,
  )


if __name__ == "__main__":
  cli(sys.argv[2:], prog_name="keras-remote", obj=tools(Path(sys.argv[1])))
