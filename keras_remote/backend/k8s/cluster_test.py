import os
import threading

from absl.testing import absltest, parameterized
from kubernetes.client import Configuration

from keras_remote import errors
from keras_remote.backend.k8s.cluster import Cluster, open_cluster
from keras_remote.backend.k8s.connection import contexts
from keras_remote.backend.k8s.objects import CONFIG_MAPS, JOBS, PODS, SECRETS
from tests.fakes.api_server import Object
from tests.fakes.environment import environment
from tests.fakes.kubernetes_case import KubernetesCase


def _object(name: str, **labels: str) -> Object:
  return {"metadata": {"name": name, "labels": labels}}


class ObjectsTest(KubernetesCase):
  def test_an_object(self) -> None:
    """It is created once, read, changed and removed; again is no error."""
    self.assertIsNone(self.cluster.get(SECRETS, "a"))
    self.assertFalse(self.cluster.has(SECRETS, "a"))
    made = self.cluster.create(SECRETS, _object("a"))
    assert made
    self.assertEqual(made["metadata"]["name"], "a")
    self.assertIsNone(self.cluster.create(SECRETS, _object("a")))
    self.cluster.patch(SECRETS, "a", {"metadata": {"labels": {"x": "y"}}})
    self.cluster.patch(SECRETS, "b", {"metadata": {"labels": {"x": "y"}}})
    found = self.cluster.get(SECRETS, "a")
    assert found
    self.assertEqual(found["metadata"]["labels"], {"x": "y"})
    self.assertTrue(self.cluster.has(SECRETS, "a"))
    self.assertFalse(self.cluster.has(CONFIG_MAPS, "a"))
    for _ in range(2):
      self.cluster.delete(SECRETS, "a")
    self.assertIsNone(self.found(SECRETS, "a"))

  def test_labels(self) -> None:
    """Lists and removals are of what has the label."""
    for name, job in (("a", "1"), ("b", "2"), ("c", "1")):
      self.put(PODS, _object(name, job=job))
    listing = self.cluster.list(PODS, "job=1")
    self.assertEqual([i["metadata"]["name"] for i in listing.items], ["a", "c"])
    self.assertTrue(listing.version)
    self.cluster.kill(PODS, "job=1")
    self.assertEmpty(self.cluster.list(PODS, "job=1").items)
    self.assertLen(self.cluster.list(PODS, "job=2").items, 1)

  def test_removals(self) -> None:
    """A Job takes its pods with it; those of a listing end at once."""
    self.put(JOBS, _object("a"))
    self.cluster.delete(JOBS, "a")
    self.cluster.kill(PODS, "job=1")
    one, all_of_it = (request.body for request in self.server.requests)
    self.assertEqual(one, {"propagationPolicy": "Background"})
    self.assertEqual(
      all_of_it, {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    )

  def test_a_large_object(self) -> None:
    """Whether there is one is asked without reading it."""
    self.cluster.has(CONFIG_MAPS, "a")
    (request,) = self.server.requests
    self.assertIn("PartialObjectMetadata", request.headers["Accept"])

  def test_a_server_that_fails_for_a_moment(self) -> None:
    """What was asked is asked again, creations too."""
    faults = [503, 0, 429]
    self.server.fault = lambda request: faults.pop() if faults else None
    self.assertIsNotNone(self.cluster.create(SECRETS, _object("a")))
    self.assertLen(self.server.requests, 4)

  def test_others_that_create_at_the_same_time(self) -> None:
    """A quota that could not be counted is no sign that there is one."""
    faults = [409, 409]
    self.server.fault = lambda request: faults.pop() if faults else None
    self.assertIsNotNone(self.cluster.create(SECRETS, _object("a")))
    self.assertLen(self.server.requests, 3)
    self.assertIsNone(self.cluster.create(SECRETS, _object("a")))
    self.assertLen(self.server.requests, 4)

  @parameterized.parameters(
    (401, errors.CredentialsError, 2), (403, errors.ClusterAccessError, 1)
  )
  def test_refusals(
    self, status: int, kind: type[errors.KerasRemoteError], requests: int
  ) -> None:
    """They are told at once; a log-in is tried once more, read anew."""
    self.server.fault = lambda request: status
    with self.assertRaises(kind):
      self.cluster.get(PODS, "a")
    self.assertLen(self.server.requests, requests)

  def test_nobody_there(self) -> None:
    """The error says which cluster, and how to look."""
    self.server.fault = lambda request: 0
    with self.assertRaisesRegex(errors.ClusterError, "'here'.*kubectl"):
      self.cluster.list(PODS, "job=1", once=True)

  def test_a_log(self) -> None:
    """It comes as it is printed, whatever bytes; None where there is none."""
    self.put(PODS, _object("a"))
    self.server.logs["a"] = b"\xff one\ntwo"
    stream = self.cluster.log("a", follow=False)
    assert stream
    self.assertEqual(b"".join(stream.pieces()), b"\xff one\ntwo")
    stream.close()
    self.server.fault = lambda request: 400
    self.assertIsNone(self.cluster.log("a", follow=False))

  def test_stopping_a_stream(self) -> None:
    """Whoever reads it in another thread is let go."""
    self.put(PODS, _object("a"))
    self.server.logs["a"] = b"one\n"
    stream = self.cluster.log("a", follow=True)
    assert stream
    pieces = stream.pieces()
    self.assertEqual(next(pieces), b"one\n")
    reading = threading.Thread(target=lambda: list(pieces))
    reading.start()
    stream.stop()
    reading.join(10)
    self.assertFalse(reading.is_alive())
    stream.close()


class ContextsTest(KubernetesCase):
  def test_a_namespace(self) -> None:
    """The one that is named, else the context's."""
    self.assertEqual(self.cluster.namespace, "team")
    self.assertEqual(open_cluster("here", "mine").namespace, "mine")
    self.assertEqual(contexts(), {"here": "team", "other": "team"})

  def test_one_client(self) -> None:
    """A context's connections are shared, and no other's."""

    def connection(cluster: Cluster) -> object:
      return cluster.connection

    here = connection(self.cluster)
    self.assertIs(connection(open_cluster("here", "mine")), here)
    self.assertIsNot(connection(open_cluster("other", None)), here)

  def test_another_kubeconfig_later(self) -> None:
    """A cluster stays the one that it was when it was opened."""
    missing = os.path.join(self.create_tempdir().full_path, "none")
    opened = open_cluster("other", None)
    with environment(KUBECONFIG=missing):
      self.assertEmpty(opened.list(PODS, "job=1").items)

  def test_an_unknown_context(self) -> None:
    """Those that there are are named."""
    with self.assertRaisesRegex(errors.ConfigError, "there is here, other"):
      open_cluster("nowhere", None)

  @parameterized.parameters("", "{", "[]", "kind: Config")
  def test_a_broken_kubeconfig(self, text: str) -> None:
    """It cannot be read, and the error says so."""
    file = self.create_tempfile(content=text)
    self.enter_context(environment(KUBECONFIG=file.full_path))
    with self.assertRaisesRegex(errors.ConfigError, "kubeconfig"):
      open_cluster("here", None)

  def test_no_kubeconfig(self) -> None:
    """As on a machine that knows no cluster."""
    missing = os.path.join(self.create_tempdir().full_path, "none")
    self.enter_context(environment(KUBECONFIG=missing))
    with self.assertRaisesRegex(errors.ConfigError, "no cluster is known"):
      open_cluster("here", None)

  def test_the_users_own_client(self) -> None:
    """What other code made the default is neither used nor changed."""
    mine = Configuration(host="http://mine")
    Configuration.set_default(mine)
    self.addCleanup(Configuration.set_default, None)
    other = open_cluster("other", None)
    self.assertEmpty(other.list(PODS, "job=1").items)
    self.assertEqual(Configuration.get_default_copy().host, "http://mine")


if __name__ == "__main__":
  absltest.main()
