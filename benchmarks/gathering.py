"""What a group of hosts costs on a cluster, until its function is called.

On the cluster that `make cluster-up` starts here; nothing where it is not up.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks import cluster
from benchmarks.figure import Figure
from tests.cluster.job_image import job_image
from tests.cluster.traffic import Traffic, traffic

_CALLS = 3
_GOAL = 3000
# Python itself then says how long each import took, in the host's log.
_SCRIPT = """
import json, os, time
import keras_remote

@keras_remote.run(
  backend="pathways",
  accelerator="cpu",
  hosts={hosts},
  container_image="{image}",
  cpu="50m",
  memory="512Mi",
  env={{
    "STORAGE_EMULATOR_HOST": os.environ["POD_STORAGE"],
    "PYTHONPROFILEIMPORTTIME": "1",
  }},
)
def tell():
  called = time.time()
  # Process 1 is the first of the container; its 22nd field is when it began.
  ticks = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19])
  uptime = float(open("/proc/uptime").read().split()[0])
  age = uptime - ticks / os.sysconf("SC_CLK_TCK")
  print("called:", json.dumps([called - age, called]), flush=True)

for _ in range({calls}):
  job = tell.submit()
  job.result()
  logs = ["".join(job.logs(host=host)) for host in range({hosts})]
  print(json.dumps(logs))
"""
_CALLED = re.compile(r"^called: (.*)$", re.MULTILINE)
# At the left: those within an import are counted with it.
_IMPORT = re.compile(
  r"^import time: +\d+ \| +(\d+) \| (?:jax|jaxlib|numpy)(?:\.\S+)?$",
  re.MULTILINE,
)


@dataclass(frozen=True)
class _Host:
  """What a host's log says.

  Attributes:
    began: when its container's first process did, in seconds.
    called: when the function was.
    imports: seconds that the imports of JAX and what it needs took.
  """

  began: float
  called: float
  imports: float


def figures() -> Iterator[Figure]:
  """Groups of two and of four hosts."""
  if not cluster.is_up():
    return
  with traffic() as seen:
    image = job_image("jax", "keras")
    for hosts in (2, 4):
      groups = _groups(seen, hosts, image)
      what = f"{hosts} hosts on a cluster: from all pods running to the call"
      yield Figure(
        f"{what}, beyond the imports",
        [1000 * _beyond(each) for each in groups],
        goal=_GOAL,
      )
      imports = [1000 * max(h.imports for h in each) for each in groups]
      yield Figure("  the imports of one of them", imports)


def _groups(seen: Traffic, hosts: int, image: str) -> list[tuple[_Host, ...]]:
  values: Mapping[str, object] = {"hosts": hosts, "image": image}
  # The first has its nodes pull the image.
  lines = seen.run(_SCRIPT.format(calls=_CALLS + 1, **values))
  return [tuple(map(_host, json.loads(line))) for line in lines[1:]]


def _host(log: str) -> _Host:
  (told,) = _CALLED.findall(log)
  imports = sum(map(int, _IMPORT.findall(log))) / 1e6
  began, called = json.loads(told)
  return _Host(began, called, imports)


def _beyond(hosts: tuple[_Host, ...]) -> float:
  """Seconds from the start of the last host to the last call, but imports."""
  last = max(hosts, key=lambda host: host.began)
  return max(host.called for host in hosts) - last.began - last.imports
