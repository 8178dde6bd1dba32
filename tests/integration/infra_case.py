"""Tests of commands that make clusters, on fakes of all that is Google's."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from absl.testing import parameterized
from click.testing import CliRunner, Result

from keras_remote.backend.k8s import shared
from keras_remote.backend.k8s.objects import NODES, PODS
from keras_remote.cli.config import InfraConfig
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.cli.main import cli
from keras_remote.core.settings import Profiles, profiles
from keras_remote.storage.buckets import make_bucket
from tests.fakes import tls
from tests.fakes.api_server import ApiServer
from tests.fakes.cloud_build import CloudBuildServer, MemoryWorker
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.google_cloud import GoogleCloud
from tests.fakes.infra_cli import tools
from tests.fakes.memory_store import MemoryStore
from tests.fakes.pulumi_engine import Cloud

PROJECT, ZONE = "my-project", "us-central1-a"
_SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
_POOL = "cloud.google.com/gke-nodepool"


class InfraCase(parameterized.TestCase):
  """Each test has an empty project, and somebody who is logged in to it.

  Attributes:
    cloud: what the engine makes, and what goes wrong there.
    google: where clusters are found.
    path: the file that has the cloud.
  """

  def setUp(self) -> None:
    super().setUp()
    self.base = Path(self.create_tempdir().full_path).resolve()
    self.path = self.base / "cloud.json"
    self.cloud = Cloud(self.path)
    self.enter_context(gcs_server(f"{PROJECT}-keras-remote-jobs"))
    self.google = self.enter_context(GoogleCloud())
    self.enter_context(
      environment(
        **self.google.login(self.base),
        KERAS_REMOTE_HOME=str(self.base / "home"),
        # Nobody listens there.
        CLOUD_BUILD_EMULATOR_HOST="127.0.0.1:9",
      )
    )
    self.addCleanup(shared.close_all)

  def type(self, *arguments: str, code: int = 0) -> Result:
    """What `keras-remote` with these arguments does, ending with that code."""
    result = CliRunner().invoke(
      cli, arguments, prog_name="keras-remote", obj=tools(self.path)
    )
    self.assertEqual(result.exit_code, code, result.output)
    return result

  def refused(self, *arguments: str, code: int = 2) -> str:
    """What it says on stderr when it fails."""
    return self.type(*arguments, code=code).stderr

  def document(self, schema: str, *arguments: str) -> Any:
    """What a command prints as JSON, which is as its schema says."""
    found = json.loads(self.type(*arguments, "--json").stdout)
    wanted = json.loads((_SCHEMAS / f"{schema}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(wanted)
    jsonschema.validate(
      found, wanted, format_checker=jsonschema.FormatChecker()
    )
    return found

  def up(self, *arguments: str) -> None:
    """Makes a cluster."""
    self.type("up", "--project", PROJECT, *arguments, "--yes")

  def note(self, config: InfraConfig) -> None:
    """Lets the project know of a cluster that an earlier version made."""
    state = State(PROJECT)
    state.make(config.region)
    state.exchange(None, state.written(config, Phase.READY, {}, ()))

  def change(self, **fields: Any) -> None:
    """Lets the cloud be otherwise."""
    self.cloud.load()
    vars(self.cloud).update(fields)
    self.cloud.save()

  def add_bucket(self, cluster: str) -> None:
    """The bucket of its jobs, which the cloud's engine does not make."""
    name = f"{PROJECT}-{cluster}-jobs"
    make_bucket(name, project=PROJECT, location="us", labels={})

  @property
  def log(self) -> list[str]:
    """All that was changed."""
    self.cloud.load()
    return self.cloud.log

  @property
  def profiles(self) -> Profiles:
    """Those that are saved."""
    return profiles()

  def record(self, cluster: str = "keras-remote") -> Record:
    """What is known of a cluster."""
    record = State(PROJECT).record(InfraConfig(PROJECT, ZONE, cluster))
    assert record
    return record

  def images(self) -> CloudBuildServer:
    """What has images; a process that has it must not fork."""
    server = self.enter_context(
      CloudBuildServer(MemoryWorker(), lambda uri: MemoryStore())
    )
    self.enter_context(environment(CLOUD_BUILD_EMULATOR_HOST=server.address))
    return server

  def kubernetes(self) -> ApiServer:
    """The API of the cluster that was made."""
    mine = tls.identity()
    api = self.enter_context(ApiServer(mine.context))
    self.google.add(PROJECT, ZONE, "keras-remote", api.url, mine.certificate)
    return api


def add_node(api: ApiServer, name: str, pool: str) -> None:
  """A machine of a pool."""
  metadata = {"name": name, "labels": {_POOL: pool}}
  api.put(f"/{NODES.group}/{NODES.plural}", {"metadata": metadata})


def add_pod(
  api: ApiServer, job: str, node: str, *, namespace: str, phase: str
) -> None:
  """A job's pod on a machine."""
  metadata = {"name": job, "labels": {"keras-remote/job": job}}
  api.put(
    f"/{PODS.group}/namespaces/{namespace}/{PODS.plural}",
    {
      "metadata": metadata,
      "spec": {"nodeName": node},
      "status": {"phase": phase},
    },
  )
