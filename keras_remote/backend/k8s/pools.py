"""Which pools of nodes a cluster has now, as its nodes' labels tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keras_remote.accelerators.gke import POOL_LABEL, described
from keras_remote.backend.k8s.status import Json


@dataclass(frozen=True)
class Pool:
  """Nodes that are alike.

  Attributes:
    labels: what all of them have.
  """

  name: str
  labels: Mapping[str, str]

  def __str__(self) -> str:
    what = described(self.labels)
    return f"{self.name} ({what})" if what else self.name


def pools(nodes: Iterable[Json]) -> tuple[Pool, ...]:
  """The pools that these nodes are of; one without pool stands for itself."""
  found: dict[str, dict[str, str]] = {}
  for node in nodes:
    labels = node["metadata"].get("labels", {})
    name = labels.get(POOL_LABEL, node["metadata"]["name"])
    common = found.setdefault(name, dict(labels))
    found[name] = {k: v for k, v in common.items() if labels.get(k) == v}
  return tuple(Pool(name, labels) for name, labels in sorted(found.items()))


def fitting(
  known: Iterable[Pool], selector: Mapping[str, str]
) -> tuple[Pool, ...]:
  """Those that have all labels of the selector."""
  return tuple(
    pool for pool in known if selector.items() <= pool.labels.items()
  )
