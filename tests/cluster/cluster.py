"""The order in which a cluster is put up, and taken down."""

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster import (
  api,
  cgroups,
  control_plane,
  images,
  install,
  leader_worker_sets,
  network,
  pki,
  process,
  rootfs,
  services,
)
from tests.cluster.layout import CACHE, LOGS, NODES, STATE
from tests.cluster.node import Node
from tests.cluster.process import ClusterError, Process
from tests.cluster.steps import step

_LOOK = 0.05
_READY_SECONDS = 30.0
# Of the boot that the state is of: nothing of it runs after another.
_BOOT = STATE / "boot"
# What no Debian package of `install` brings.
_PROGRAMS = ("apt-get", "go", "ip", "unshare")
# What nodes and their network do, tried where it changes nothing.
_RIGHTS = (
  ("unshare", "--mount", "--pid", "--fork", "mount", "--make-rslave", "/"),
  ("unshare", "--net", "ip", "link", "add", "tried", "type", "bridge"),
)
_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


@dataclass(frozen=True)
class Parts:
  """All that runs, in the order in which one needs the other.

  Attributes:
    clients: of the API server.
    lws: the controller of LeaderWorkerSets, which the API server asks too.
  """

  services: tuple[Process, ...]
  etcd: Process
  api_server: Process
  clients: tuple[Process, ...]
  lws: Process
  nodes: tuple[Node, ...]

  @property
  def processes(self) -> tuple[Process, ...]:
    return (
      *(*self.services, self.etcd, self.api_server, *self.clients, self.lws),
      *(each for node in self.nodes for each in node.processes),
    )


def parts() -> Parts:
  """What the cluster consists of, running or not; programs are built."""
  hyperkube, dns = install.hyperkube(), install.dns()
  return Parts(
    services=(services.registry(), services.gcs(install.fake_gcs())),
    etcd=control_plane.etcd(install.etcd()),
    api_server=control_plane.api_server(hyperkube),
    clients=(
      control_plane.controllers(hyperkube),
      control_plane.scheduler(hyperkube),
      control_plane.dns(dns),
    ),
    lws=leader_worker_sets.controller(install.lws()),
    nodes=tuple(Node(spec, hyperkube) for spec in NODES),
  )


def part(name: str) -> Process:
  """One of those that `parts` has, by its name."""
  (found,) = (each for each in parts().processes if each.name == name)
  return found


def lacking() -> str:
  """Why this machine can have no cluster; empty where it can."""
  if not sys.platform.startswith("linux"):
    return "it needs Linux"
  if os.geteuid() != 0:
    return "it needs root"
  if missing := [each for each in _PROGRAMS if shutil.which(each) is None]:
    return f"it needs {', '.join(missing)}"
  for command in _RIGHTS:
    try:
      process.run(*command)
    except ClusterError as error:
      return f"it needs rights that this machine does not give: {error}"
  return ""


def up() -> None:
  """Returns with a cluster that is ready; what runs already stays.

  Raises:
    ClusterError: Something that it needs is missing, or ended.
  """
  if why := lacking():
    raise ClusterError(f"this machine can have no cluster: {why}")
  with _alone():
    install.packages()
    all_parts = parts()
    all_images = rootfs.built_images()
    with step("the cluster, from nothing or what was left, is ready"):
      if STATE.exists() and _BOOT.read_text() != process.boot():
        _wipe()
      _start(all_parts, all_images)


def down() -> None:
  """Ends the cluster and removes all but what was built, and the logs."""
  with _alone():
    if STATE.exists():
      with step("the cluster is gone"):
        _wipe()


def _start(parts: Parts, all_images: dict[str, images.Image]) -> None:
  if not STATE.exists():
    shutil.rmtree(LOGS, ignore_errors=True)
    STATE.mkdir(mode=0o700, parents=True)
    _BOOT.write_text(process.boot())
  with step("network, keys"):
    network.up()
    pki.up()
  # What takes its time to start, beside each other.
  parts.etcd.start()
  for service in parts.services:
    service.start()
  for node in parts.nodes:
    node.start()
  with step("etcd"):
    parts.etcd.wait()
  parts.api_server.start()
  with step("registry with images, bucket"):
    for service in parts.services:
      service.wait()
    services.create_bucket()
    for reference, image in all_images.items():
      images.push(image, reference)
  with step("API server"):
    parts.api_server.wait()
  for client in parts.clients:
    client.start()
  for node in parts.nodes:
    node.join()
  with step("LeaderWorkerSets"):
    leader_worker_sets.install(install.lws())
    parts.lws.start()
  for node in parts.nodes:
    with step(f"node {node.spec.name}"):
      node.wait()
  with step("controllers, scheduler, DNS"):
    for client in (*parts.clients, parts.lws):
      client.wait()
    _wait_for_account()


def _wait_for_account() -> None:
  """Returns once the namespace takes pods."""
  deadline = time.monotonic() + _READY_SECONDS
  while api.request("GET", _ACCOUNT) is None:
    if time.monotonic() > deadline:
      raise ClusterError("the controllers make no service account")
    time.sleep(_LOOK)


def _wipe() -> None:
  process.kill_all()
  cgroups.remove()
  network.down()
  shutil.rmtree(STATE)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
  """Waits until nobody else puts the cluster up or takes it down."""
  CACHE.mkdir(parents=True, exist_ok=True)
  with (CACHE / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
