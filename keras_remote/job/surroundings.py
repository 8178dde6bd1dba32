"""What surrounds the function in its process: devices and import paths."""

import os
import re
import sys
from collections.abc import Mapping, Sequence

from keras_remote.job.spec import JobSpec

_FORCED_COUNT = re.compile(r"--xla_force_host_platform_device_count=\d+\s*")


def device_environ(spec: JobSpec, environ: Mapping[str, str]) -> dict[str, str]:
  """Variables by which JAX sees the job's devices, to be set before import.

  Where the accelerator is emulated these are as many CPU devices as one host
  has chips. Without an accelerator there is one.
  """
  variables = {"KERAS_BACKEND": spec.environment.keras_backend}
  if spec.resources.cpu_devices is not None:
    variables["JAX_PLATFORMS"] = "cpu"
    variables["JAX_NUM_CPU_DEVICES"] = str(spec.resources.cpu_devices)
    # It catches SIGTERM, so that a cancelled group would use up its grace.
    variables["JAX_ENABLE_PREEMPTION_SERVICE"] = "false"
    # JAX refuses to be told the number in two ways.
    flags = environ.get("XLA_FLAGS")
    if flags:
      variables["XLA_FLAGS"] = _FORCED_COUNT.sub("", flags)
  return variables


def group_environ(coordinator: str, host: int, hosts: int) -> dict[str, str]:
  """Variables by which `jax.distributed.initialize()` joins a group.

  JAX has a variable of its own for the address only. The rest it takes from
  what launchers set, first of all Open MPI (jax/_src/clusters, jax 0.10): of
  the URI it asks only whether there is one.
  """
  return {
    "JAX_COORDINATOR_ADDRESS": coordinator,
    "OMPI_MCA_orte_hnp_uri": f"0.0;tcp://{coordinator}",
    "OMPI_COMM_WORLD_SIZE": str(hosts),
    "OMPI_COMM_WORLD_RANK": str(host),
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
  }


def slice_environ(spec: JobSpec, coordinator: str, host: int) -> dict[str, str]:
  """Variables by which libtpu joins the slices of a job, if it has several.

  libtpu reads them when JAX first looks for devices. Where slices are emulated
  there is none, and their hosts are a group like any other.

  Args:
    coordinator: host 0's address for JAX; libtpu there listens at a port of
      its own, by default 8080 (MEGASCALE_PORT), so this one is left out.
  """
  resources = spec.resources
  if resources.slices == 1 or resources.cpu_devices is not None:
    return {}
  return {
    "MEGASCALE_COORDINATOR_ADDRESS": coordinator.rpartition(":")[0],
    "MEGASCALE_NUM_SLICES": str(resources.slices),
    "MEGASCALE_SLICE_ID": str(host // (resources.hosts // resources.slices)),
  }


def command_environ(
  paths: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
  """The environment of a command that finds the project's modules.

  `python` is the one that keras_remote runs with, and so are its packages.

  Args:
    paths: where imports from the project start.
  """
  first = {"PATH": [os.path.dirname(sys.executable)], "PYTHONPATH": paths}
  lists = {
    name: [*begin, *filter(None, [environ.get(name)])]
    for name, begin in first.items()
  }
  return {**environ, **{n: os.pathsep.join(p) for n, p in lists.items()}}
