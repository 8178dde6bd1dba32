import json
import socket
import sys
import threading
from pathlib import Path

import urllib3
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import connection
from keras_remote.backend.k8s.cluster import Cluster, open_cluster, open_gke
from keras_remote.backend.k8s.names import GkeCluster
from keras_remote.backend.k8s.objects import PODS
from keras_remote.home import Home, ensure
from tests.fakes import tls
from tests.fakes.api_server import ApiServer, Request
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud
from tests.fakes.kubeconfig import kubeconfig

_GKE = GkeCluster("p", "us-central1-a", "train")
_PATH = "/v1/projects/p/locations/us-central1-a/clusters/train"


class GkeTest(parameterized.TestCase):
  """A project `p` whose cluster `train` takes the newest token only."""

  def setUp(self) -> None:
    super().setUp()
    # Each test is as a process of its own, which remembers nothing.
    self.addCleanup(connection.by_location.cache_clear)
    self.cloud = self.enter_context(GoogleCloud())
    self.server = self.enter_context(ApiServer(tls.identity().context))
    self.server.fault = self.refuse
    self.folder = self.create_tempdir().full_path
    self.home = Home(ensure(Path(self.folder, "home")))
    self.enter_context(environment(**self.cloud.login(self.folder)))
    self.move(self.server)

  def refuse(self, request: Request) -> int | None:
    bearer = request.headers.get("authorization")
    known = self.cloud.tokens and bearer == f"Bearer {self.cloud.tokens[-1]}"
    return None if known else 401

  def move(self, server: ApiServer) -> None:
    """The cluster answers at this server from now on."""
    self.cloud.projects["p"] = []
    authority = tls.identity().certificate
    self.cloud.add("p", "us-central1-a", "train", server.url, authority)

  def open(self, location: str | None = "us-central1-a") -> Cluster:
    """The cluster, as a new process opens it."""
    connection.by_location.cache_clear()
    return open_gke(self.home, GkeCluster("p", location, "train"), "team")

  def asked(self) -> int:
    """How often the Container API was asked."""
    return sum(path.startswith("/v1/") for path in self.cloud.requests)

  @parameterized.parameters("us-central1-a", None)
  def test_no_kubeconfig(self, location: str | None) -> None:
    """A project, a cluster's name and a log-in suffice, over TLS."""
    missing = {"KUBECONFIG": str(Path(self.folder, "none"))}
    with environment(**missing):
      cluster = self.open(location)
      self.assertEmpty(cluster.list(PODS, "job=1").items)
    self.assertEqual(cluster.name.place, "gke://p/us-central1-a/train")
    self.assertEqual(cluster.namespace, "team")
    self.assertFalse(Path(self.folder, "none").exists())

  def test_its_certificate(self) -> None:
    """A server that has another authority gets no request."""
    self.cloud.projects["p"][0]["masterAuth"] = {}
    with self.assertRaisesRegex(errors.ClusterError, "(?i)certificate"):
      self.open().list(PODS, "job=1", once=True)
    self.assertEmpty(self.server.requests)

  def test_the_address_is_remembered(self) -> None:
    """For a day, by every process of a home, readable by nobody else."""
    for _ in range(2):
      self.open().list(PODS, "job=1")
    self.assertEqual(self.asked(), 1)
    self.home.forget("endpoint", f"{self.cloud.url}/ {_GKE}")
    self.open().list(PODS, "job=1")
    self.assertEqual(self.asked(), 2)

  def test_a_note_that_cannot_be_read(self) -> None:
    """It is as none."""
    for note in (b"{", b"[]", json.dumps({"address": "x"}).encode()):
      self.home.remember("endpoint", f"{self.cloud.url}/ {_GKE}", note)
      self.assertEmpty(self.open().list(PODS, "job=1").items)

  def test_a_cluster_that_has_moved(self) -> None:
    """What is remembered fails once, and is looked up again at once."""
    self.open().list(PODS, "job=1")
    with ApiServer(tls.identity().context) as other:
      other.fault = self.refuse
      self.move(other)
      self.server.refuse()
      cluster = self.open()
      self.assertEmpty(cluster.list(PODS, "job=1").items)
      cluster.list(PODS, "job=1")
      self.assertLen(other.requests, 2)
    self.assertEqual(self.asked(), 2)

  def test_a_cluster_that_is_gone(self) -> None:
    """What is remembered of it does not hide that."""
    self.open().list(PODS, "job=1")
    self.cloud.projects["p"] = []
    self.server.refuse()
    with self.assertRaisesRegex(errors.ConfigError, "no cluster 'train'"):
      self.open().list(PODS, "job=1")

  def test_a_busy_server_has_not_moved(self) -> None:
    """It is asked again, with patience, and nobody else is."""
    self.open().list(PODS, "job=1")
    faults = [503, 503]

    def fault(request: Request) -> int | None:
      return faults.pop() if faults else None

    self.server.fault = fault
    self.open().list(PODS, "job=1")
    self.assertEqual(self.asked(), 1)

  def test_a_token_that_ends(self) -> None:
    """Another one is there before the server has to refuse it."""
    self.cloud.lifetime = 2  # What is near its end counts as ended.
    cluster = self.open()
    for _ in range(3):
      cluster.list(PODS, "job=1")
    self.assertGreaterEqual(len(self.cloud.tokens), 3)
    self.assertLen(self.server.requests, 3)

  def test_a_token_that_lasts(self) -> None:
    """It is asked for once, whatever is done with it."""
    cluster = self.open()
    for _ in range(3):
      cluster.list(PODS, "job=1")
    self.assertLen(self.cloud.tokens, 1)

  def test_a_token_that_is_refused(self) -> None:
    """One that the server knows no longer is renewed once."""
    cluster = self.open()
    cluster.list(PODS, "job=1")
    self.cloud.tokens.append("another")
    cluster.list(PODS, "job=1")
    self.assertLen(self.server.requests, 3)

  def test_a_connection_that_is_silent(self) -> None:
    """The system asks whether the other side is there, within a minute."""
    path = "/api/v1/namespaces/team/pods"
    timeout = urllib3.Timeout(10)
    response = self.open().connection.send("GET", path, timeout=timeout)
    used = response.connection.sock
    kept = used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    self.assertEqual(kept, 1)
    if sys.platform == "linux":
      idle, pause, probes = (
        used.getsockopt(socket.IPPROTO_TCP, each)
        for each in (
          socket.TCP_KEEPIDLE,
          socket.TCP_KEEPINTVL,
          socket.TCP_KEEPCNT,
        )
      )
      self.assertLess(idle + pause * probes, 60)
    response.close()

  def test_many_at_once(self) -> None:
    """Of many that are refused, one renews for all."""
    cluster = self.open()
    cluster.list(PODS, "job=1")
    self.cloud.tokens.append("another")
    together = threading.Barrier(8)

    def ask() -> None:
      together.wait(10)
      cluster.list(PODS, "job=1")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(30)
    statuses = [self.refuse(request) for request in self.server.requests[-8:]]
    self.assertEqual(statuses, [None] * 8)
    self.assertLen(self.cloud.tokens, 3)

  def test_a_log_in_that_ends(self) -> None:
    """Who was logged out is told to log in, and is let in then."""
    cluster = self.open()
    cluster.list(PODS, "job=1")
    self.cloud.revoked = True
    self.cloud.tokens.append("another")
    with self.assertRaisesRegex(errors.CredentialsError, "login"):
      cluster.list(PODS, "job=1")
    self.cloud.revoked = False
    cluster.list(PODS, "job=1")

  def test_nobody_is_logged_in(self) -> None:
    """The error says how to."""
    gone = {"GOOGLE_APPLICATION_CREDENTIALS": str(Path(self.folder, "none"))}
    with (
      environment(**gone),
      self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"),
    ):
      self.open().list(PODS, "job=1")
    self.open().list(PODS, "job=1")


class ContextTest(parameterized.TestCase):
  def test_a_plugin(self) -> None:
    """A token that is refused is asked of the context's plugin again."""
    folder = Path(self.create_tempdir().full_path)
    count = folder / "count"
    count.write_text("")
    # Prints one-token, then two-tokens, …
    plugin = folder / "plugin"
    plugin.write_text(
      f'#!/bin/sh\necho >> {count}\necho \'{{"apiVersion": '
      '"client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": '
      f'{{"token": "\'$(wc -l < {count})\'"}}}}\'\n'
    )
    plugin.chmod(0o700)
    with ApiServer() as server:
      path = Path(kubeconfig(str(folder), "here", server=server.url))
      document = json.loads(path.read_text())
      execute = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
      }
      document["users"] = [{"name": "user", "user": {"exec": execute}}]
      path.write_text(json.dumps(document))
      before = path.read_bytes()
      good = "1"

      def refuse(request: Request) -> int | None:
        known = request.headers.get("authorization") == f"Bearer {good}"
        return None if known else 401

      server.fault = refuse
      self.enter_context(environment(KUBECONFIG=str(path)))
      cluster = open_cluster("here", None)
      cluster.list(PODS, "job=1")
      good = "2"
      cluster.list(PODS, "job=1")
      good = "9"
      with self.assertRaises(errors.CredentialsError):
        cluster.list(PODS, "job=1")
      self.assertLen(server.requests, 5)
    self.assertEqual(path.read_bytes(), before)


if __name__ == "__main__":
  absltest.main()
