"""Tests that have a fake API server, and a client of it."""

from typing import Any

from absl.testing import parameterized

from keras_remote.backend.k8s import shared
from keras_remote.backend.k8s.cluster import open_cluster
from keras_remote.backend.k8s.objects import Kind
from tests.fakes.api_server import ApiServer, Object
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig

CONTEXT, NAMESPACE = "here", "team"


class KubernetesCase(parameterized.TestCase):
  """Gives each test an empty server.

  Attributes:
    cluster: the namespace that the kubeconfig's context names.
  """

  def setUp(self) -> None:
    super().setUp()
    self.server: ApiServer = self.enter_context(ApiServer())
    folder = self.create_tempdir().full_path
    path = kubeconfig(folder, CONTEXT, "other", server=self.server.url)
    self.enter_context(environment(KUBECONFIG=path))
    self.cluster = open_cluster(CONTEXT, None)
    self.addCleanup(shared.close_all)

  def put(self, kind: Kind, body: Object) -> Object:
    """Creates or replaces an object, behind the client's back."""
    return self.server.put(_path(kind), body)

  def remove(self, kind: Kind, name: str) -> None:
    """Removes an object, behind the client's back."""
    self.server.remove(_path(kind), name)

  def found(self, kind: Kind, name: str) -> Any:
    """An object as the server has it."""
    return self.server.get(_path(kind), name)


def _path(kind: Kind) -> str:
  return f"/{kind.group}/namespaces/{NAMESPACE}/{kind.plural}"
