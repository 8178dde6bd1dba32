"""What decides: etcd, API server, controllers, scheduler, cluster DNS."""

from pathlib import Path

from tests.cluster import api, pki
from tests.cluster.layout import (
  API,
  API_PORT,
  CONTROLLERS_PORT,
  DNS_PORT,
  DNS_READY_PORT,
  ETCD_PEER_PORT,
  ETCD_PORT,
  HOST,
  KUBECONFIG,
  PKI,
  SCHEDULER_PORT,
  SERVICES,
  STATE,
)
from tests.cluster.process import Process

_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
_ETCD_PEER = f"http://127.0.0.1:{ETCD_PEER_PORT}"
_COREFILE = f"""\
.:{DNS_PORT} {{
  bind {HOST}
  ready 127.0.0.1:{DNS_READY_PORT}
  errors
  cache 2
  kubernetes cluster.local {{
    kubeconfig {KUBECONFIG}
  }}
  forward . /etc/resolv.conf
}}
"""


def etcd(program: Path) -> Process:
  return Process(
    name="etcd",
    command=(
      program,
      f"--data-dir={STATE / 'etcd'}",
      f"--listen-client-urls={_ETCD}",
      f"--advertise-client-urls={_ETCD}",
      f"--listen-peer-urls={_ETCD_PEER}",
      f"--initial-advertise-peer-urls={_ETCD_PEER}",
      f"--initial-cluster=default={_ETCD_PEER}",
      # A power cut ends the cluster anyway.
      "--unsafe-no-fsync",
    ),
    ready=lambda: api.answers(f"{_ETCD}/readyz"),
  )


def api_server(hyperkube: Path) -> Process:
  """On its service address, so that it is there for pods too."""
  accounts = "--service-account"
  return Process(
    name="kube-apiserver",
    command=(
      *(hyperkube, "kube-apiserver"),
      f"--etcd-servers={_ETCD}",
      f"--bind-address={API}",
      f"--secure-port={API_PORT}",
      f"--service-cluster-ip-range={SERVICES}",
      f"--tls-cert-file={pki.certificate('server')}",
      f"--tls-private-key-file={pki.key('server')}",
      f"--cert-dir={PKI}",
      f"--client-ca-file={pki.CA}",
      f"--token-auth-file={pki.TOKENS}",
      "--authorization-mode=Node,RBAC",
      f"{accounts}-issuer=https://kubernetes.default.svc",
      f"{accounts}-key-file={pki.ACCOUNTS}",
      f"{accounts}-signing-key-file={pki.ACCOUNTS}",
      f"--kubelet-client-certificate={pki.certificate('client')}",
      f"--kubelet-client-key={pki.key('client')}",
      # The nodes' names resolve nowhere.
      "--kubelet-preferred-address-types=InternalIP",
      # Without a kube-proxy webhooks are reached at their endpoints.
      "--enable-aggregator-routing=true",
      "--allow-privileged=true",
    ),
    ready=lambda: api.answers(f"{api.SERVER}/readyz"),
  )


def controllers(hyperkube: Path) -> Process:
  return Process(
    name="kube-controller-manager",
    command=(
      *(hyperkube, "kube-controller-manager"),
      *_client(CONTROLLERS_PORT),
      f"--service-account-private-key-file={pki.ACCOUNTS}",
      f"--root-ca-file={pki.CA}",
      f"--flex-volume-plugin-dir={STATE / 'volume-plugins'}",
    ),
    ready=lambda: api.answers(f"https://127.0.0.1:{CONTROLLERS_PORT}/healthz"),
  )


def scheduler(hyperkube: Path) -> Process:
  return Process(
    name="kube-scheduler",
    command=(hyperkube, "kube-scheduler", *_client(SCHEDULER_PORT)),
    ready=lambda: api.answers(f"https://127.0.0.1:{SCHEDULER_PORT}/readyz"),
  )


def dns(program: Path) -> Process:
  """Of services and pods; other names are asked of this machine's server."""
  corefile = STATE / "Corefile"
  return Process(
    name="dns",
    command=(program, "-conf", corefile),
    ready=lambda: api.answers(f"http://127.0.0.1:{DNS_READY_PORT}/ready"),
    files={corefile: _COREFILE},
  )


def _client(port: int) -> tuple[str, ...]:
  return (
    f"--kubeconfig={KUBECONFIG}",
    "--bind-address=127.0.0.1",
    f"--secure-port={port}",
    # There is one of each, which need not wait for a lease.
    "--leader-elect=false",
  )
