"""A namespace for each test, and pods in it."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl.testing import absltest
from kubernetes import client, config, stream, watch

from tests.cluster import harness

# Every request has it: a dead connection would hang for ever.
REQUEST_SECONDS = 10
# Two cores start pods beside whatever else they do.
POD_SECONDS = 90


class NamespaceTest(absltest.TestCase):
  """Gives each test an empty namespace of the cluster.

  Attributes:
    cluster: what the test runs on.
    core: a client of pods and the like, within `namespace`.
    api: that client's connection, for others.

  What the client takes and returns is written as dicts and Any: its types
  want objects where it sends any JSON.
  """

  def setUp(self) -> None:
    super().setUp()
    self.cluster = harness.cluster()
    kubeconfig = self.cluster.kubeconfig
    self.api: Any = config.new_client_from_config(
      config_file=kubeconfig and str(kubeconfig), context=self.cluster.context
    )
    self.addCleanup(self.api.close)
    self.core: Any = client.CoreV1Api(self.api)
    self.namespace = f"test-{uuid.uuid4().hex[:8]}"
    body: Any = {"metadata": {"name": self.namespace}}
    self.core.create_namespace(body, _request_timeout=REQUEST_SECONDS)
    self.addCleanup(
      self.core.delete_namespace,
      self.namespace,
      _request_timeout=REQUEST_SECONDS,
    )
    # Until it is there no pod is admitted.
    self.watched(
      self.core.list_namespaced_service_account,
      lambda account: account.metadata.name == "default",
    )

  def user(self, name: str, kind: str, role: str) -> Path:
    """The kubeconfig of a new service account with a role.

    Args:
      kind: Role or ClusterRole.
    """
    account = {"metadata": {"name": name}}
    self.core.create_namespaced_service_account(
      self.namespace, account, _request_timeout=REQUEST_SECONDS
    )
    group = "rbac.authorization.k8s.io"
    binding = {
      "metadata": {"name": name},
      "roleRef": {"apiGroup": group, "kind": kind, "name": role},
      "subjects": [{"kind": "ServiceAccount", "name": name}],
    }
    rbac: Any = client.RbacAuthorizationV1Api(self.api)
    rbac.create_namespaced_role_binding(
      self.namespace, binding, _request_timeout=REQUEST_SECONDS
    )
    settings, context = self.api.configuration, self.cluster.context
    server = {
      "server": settings.host,
      "certificate-authority": settings.ssl_ca_cert,
    }
    document = {
      "apiVersion": "v1",
      "kind": "Config",
      "current-context": context,
      "clusters": [{"name": "cluster", "cluster": server}],
      "users": [{"name": name, "user": {"token": self.token(name)}}],
      "contexts": [
        {"name": context, "context": {"cluster": "cluster", "user": name}}
      ],
    }
    path = Path(self.create_tempdir().full_path, f"{name}.json")
    path.write_text(json.dumps(document))
    return path

  def token(self, account: str) -> str:
    """A token of the namespace's service account."""
    return self.core.create_namespaced_service_account_token(
      account, self.namespace, {"spec": {}}, _request_timeout=REQUEST_SECONDS
    ).status.token

  def create_pod(
    self,
    *command: str,
    name: str = "pod",
    image: str | None = None,
    environ: dict[str, str] | None = None,
    resources: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    mounts: dict[str, str] | None = None,
    **spec: object,
  ) -> str:
    """Creates a pod that runs the command once; its name.

    Args:
      image: busybox, if none is given.
      resources: what it asks for, and at most gets.
      mounts: where it finds volumes of its spec, by their names.
      spec: further fields of the pod's spec.
    """
    variables = [{"name": n, "value": v} for n, v in (environ or {}).items()]
    mounted = [{"name": n, "mountPath": p} for n, p in (mounts or {}).items()]
    pod = {
      "metadata": {"name": name, "labels": labels or {}},
      "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [
          {
            "name": "main",
            "image": image or self.cluster.busybox_image,
            "command": command,
            "env": variables,
            "volumeMounts": mounted,
            "resources": {"limits": resources or {}},
          }
        ],
        **spec,
      },
    }
    self.core.create_namespaced_pod(
      self.namespace, pod, _request_timeout=REQUEST_SECONDS
    )
    return name

  def wait_pod(self, name: str, *phases: str) -> Any:
    """The pod, once it is in one of the phases."""

    def is_wanted(pod: Any) -> bool:
      if pod.metadata.name != name:
        return False
      ended = pod.status.phase in ("Succeeded", "Failed")
      if ended and pod.status.phase not in phases:
        self.fail(f"the pod has ended: {pod.status}")
      return pod.status.phase in phases

    return self.watched(self.core.list_namespaced_pod, is_wanted)

  def output(self, name: str) -> str:
    """What the pod's container has printed when it has ended, well."""
    pod = self.wait_pod(name, "Succeeded", "Failed")
    printed = self.core.read_namespaced_pod_log(
      name, self.namespace, _request_timeout=REQUEST_SECONDS
    )
    self.assertEqual(pod.status.phase, "Succeeded", printed)
    return printed

  def execute(self, name: str, *command: str) -> str:
    """What the command prints in the pod, which runs."""
    session: Any = stream.stream(
      self.core.connect_get_namespaced_pod_exec,
      name,
      self.namespace,
      command=list(command),
      stdout=True,
      stderr=True,
      _preload_content=False,
      _request_timeout=REQUEST_SECONDS,
    )
    try:
      session.run_forever(timeout=POD_SECONDS)
      # Asked first: read_all() throws it away.
      code = session.returncode
      printed = session.read_all()
      self.assertEqual(code, 0, printed)
      return printed
    finally:
      # Its close() leaves the socket open if the other side closed first.
      session.sock.shutdown()

  def watched(self, list_all: Any, is_wanted: Callable[[Any], bool]) -> Any:
    """The first object of the namespace that is as wanted."""
    last = None
    events: Any = watch.Watch().stream(
      list_all,
      self.namespace,
      timeout_seconds=POD_SECONDS,
      _request_timeout=POD_SECONDS + REQUEST_SECONDS,
    )
    for event in events:
      last = event["object"]
      if is_wanted(last):
        events.close()
        return last
    status = getattr(last, "status", None)
    self.fail(f"not within {POD_SECONDS} s; its last status: {status}")
