"""`python -m tests.cluster able|up|down|status|shell`: the cluster by hand."""

import os
import sys

import click

from tests.cluster import api, cluster, harness
from tests.cluster.layout import NODES
from tests.cluster.process import ClusterError


@click.group(help="A real Kubernetes on this machine, for tests.")
def main() -> None:
  pass


@main.command(help="Says why this machine can have none, and exits with 1.")
def able() -> None:
  if why := cluster.lacking():
    raise ClusterError(f"this machine can have none: {why}")


@main.command(help="Starts what does not run, and waits until it is ready.")
def up() -> None:
  if harness.CONTEXT_VARIABLE in os.environ:
    print(f"{harness.CONTEXT_VARIABLE} names a cluster: none is started")
  else:
    cluster.up()


@main.command(help="Ends it and leaves the machine as it was.")
def down() -> None:
  cluster.down()


@main.command(help="Says what runs; exits with 1 if anything does not.")
def status() -> None:
  running = True
  for process in cluster.parts().processes:
    ready = process.pid is not None and process.ready()
    running = running and ready
    state = "ready" if ready else "not ready" if process.pid else "not running"
    print(f"{process.name:24} {process.pid or '-':>8}  {state}")
  if not running:
    sys.exit(1)
  for node in NODES:
    capacity = api.request("GET", f"/api/v1/nodes/{node.name}")["status"][
      "capacity"
    ]
    shown = " ".join(f"{what}={much}" for what, much in capacity.items())
    print(f"node {node.name:19} {shown}")


@main.command(help="A bash in which clients find the cluster and its bucket.")
def shell() -> None:
  environ = {**os.environ, **harness.cluster().environ}
  os.execvpe("bash", ["bash"], environ)


if __name__ == "__main__":
  try:
    main()
  except ClusterError as error:
    sys.exit(f"cluster: {error}")
