"""Tests of a job that may delete its own objects in a cluster."""

from pathlib import Path
from urllib.parse import urlsplit

from absl.testing import parameterized

from tests.fakes import tls
from tests.fakes.api_server import ApiServer

JOB = "train-20260102-030405-abc234"
SETS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/team/leaderworkersets"
JOBS = "/apis/batch/v1/namespaces/team/jobs"
SECONDS = 30


class ReleaseCase(parameterized.TestCase):
  """Gives each test a server with the job's objects, and the right to them.

  Attributes:
    folder: proves the right.
    environ: names the server.
  """

  def setUp(self) -> None:
    super().setUp()
    identity = tls.identity()
    self.server = self.enter_context(ApiServer(identity.context))
    for place in (SETS, JOBS):
      self.server.put(place, {"metadata": {"name": JOB}})
    self.folder = Path(self.create_tempdir().full_path)
    self.write("ca.crt", identity.certificate)
    self.write("namespace", "team")
    self.write("token", "secret\n")
    url = urlsplit(self.server.url)
    self.environ = {
      "KUBERNETES_SERVICE_HOST": f"{url.hostname}",
      "KUBERNETES_SERVICE_PORT": f"{url.port}",
    }

  def write(self, name: str, text: str) -> None:
    (self.folder / name).write_text(text)
