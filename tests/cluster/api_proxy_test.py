"""The proxy before the API server is as good as the server, until told."""

import ssl
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from absl.testing import absltest
from kubernetes import client, config

from tests.cluster.api_proxy import ApiProxy, creates, watches
from tests.cluster.namespace import REQUEST_SECONDS, NamespaceTest
from tests.fakes.http_proxy import Fault, times

_SECONDS = 30.0


class ApiProxyTest(NamespaceTest):
  def setUp(self) -> None:
    super().setUp()
    self.proxy = self.enter_context(ApiProxy(self.create_tempdir().full_path))
    settings: Any = client.Configuration()
    config.load_kube_config(
      str(self.proxy.kubeconfig), client_configuration=settings
    )
    settings.retries = False
    api: Any = client.ApiClient(settings)
    self.addCleanup(api.close)
    self.proxied: Any = client.CoreV1Api(api)

  def create(self, name: str) -> Any:
    body: Any = {"metadata": {"name": name}}
    return self.proxied.create_namespaced_config_map(
      self.namespace, body, _request_timeout=REQUEST_SECONDS
    )

  def exists(self, name: str) -> bool:
    found = self.core.list_namespaced_config_map(
      self.namespace, _request_timeout=REQUEST_SECONDS
    )
    return name in {each.metadata.name for each in found.items}

  def watch(self) -> Callable[[], bytes]:
    """Begins a watch of config maps; what it got is there when it ends."""
    version = self.core.list_namespaced_config_map(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).metadata.resource_version
    got: list[bytes] = []

    def read() -> None:
      response = self.proxied.list_namespaced_config_map(
        self.namespace,
        watch=True,
        resource_version=version,
        _preload_content=False,
        _request_timeout=_SECONDS,
      )
      try:
        while piece := response.read1():
          got.append(piece)
          self.told.set()
      except urllib3.exceptions.ProtocolError:
        pass
      finally:
        response.close()

    self.told = threading.Event()
    thread = threading.Thread(target=read)
    thread.start()

    def end() -> bytes:
      thread.join(_SECONDS)
      self.assertFalse(thread.is_alive())
      return b"".join(got)

    return end

  def test_passing(self) -> None:
    """Requests arrive as the user's; they are told, with when they came."""
    self.create("one")
    self.assertTrue(self.exists("one"))
    (request,) = self.proxy.requests
    self.assertTrue(creates("configmaps")(request))
    self.assertFalse(creates("jobs")(request) or request.watches)

  def test_credentials_of_the_clients_own(self) -> None:
    """They are the ones that count."""
    self.proxied.api_client.set_default_header("Authorization", "Bearer odd")
    with self.assertRaises(client.ApiException) as caught:
      self.create("one")
    self.assertEqual(caught.exception.status, 401)

  def test_faults(self) -> None:
    """As often as said, and only where they are wanted."""
    wanted = creates("configmaps")
    self.proxy.fault = times(2, Fault(503, body=b"{}"), wanted)
    for _ in range(2):
      with self.assertRaises(client.ApiException) as caught:
        self.create("one")
      self.assertEqual(caught.exception.status, 503)
    self.assertFalse(self.exists("one"))
    self.create("one")

  def test_an_answer_that_is_lost(self) -> None:
    """The server has done it, and the client does not know."""
    self.proxy.fault = times(1, Fault(None, arrives=True))
    with self.assertRaises((urllib3.exceptions.HTTPError, ssl.SSLError)):
      self.create("one")
    self.assertTrue(self.exists("one"))

  def test_cutting_watches(self) -> None:
    """What goes on comes as it comes; it ends when it is cut."""
    end = self.watch()
    while not self.proxy.open:
      threading.Event().wait(0.01)
    self.create("one")
    self.assertTrue(self.told.wait(_SECONDS))
    self.assertEqual(self.proxy.cut(watches), 1)
    self.assertIn(b'"ADDED"', end())
    self.create("two")

  def test_a_client_that_leaves_a_watch(self) -> None:
    """The watch ends at the server too."""
    response = self.proxied.list_namespaced_config_map(
      self.namespace,
      watch=True,
      _preload_content=False,
      _request_timeout=_SECONDS,
    )
    self.assertLen(self.proxy.open, 1)
    response.shutdown()
    response.close()
    while self.proxy.open:
      threading.Event().wait(0.01)

  def test_nobody_there(self) -> None:
    """Connections are refused, watches end; later all is well again."""
    end = self.watch()
    while not self.proxy.open:
      threading.Event().wait(0.01)
    with self.proxy.away():
      end()
      with self.assertRaises(urllib3.exceptions.HTTPError) as caught:
        self.create("one")
      self.assertIn("refused", str(caught.exception))
    self.create("one")


if __name__ == "__main__":
  absltest.main()
