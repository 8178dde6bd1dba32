"""The runner of jobs, as a ConfigMap that is there once for each version."""

from pathlib import Path

from keras_remote.backend.k8s import diagnosis, pods
from keras_remote.backend.k8s.cluster import Cluster
from keras_remote.backend.k8s.known import Seen
from keras_remote.backend.k8s.objects import CONFIG_MAPS
from keras_remote.home import Home

# What the home remembers: where a ConfigMap was seen today.
_SEEN = "config-maps"


class Runners:
  """The ConfigMaps that hold runners, in a namespace.

  Args:
    place: what the home calls the namespace.
  """

  def __init__(self, cluster: Cluster, home: Home, place: str) -> None:
    self._cluster = cluster
    self._home = home
    self._place = place
    # Those that jobs of this process need, by their ConfigMaps.
    self._used: dict[str, Path] = {}

  def keep(self, path: Path) -> str:
    """The name of a runner's ConfigMap, which is there, or was today."""
    archive = path.read_bytes()
    name = pods.archive_name(archive)
    self._used[name] = path
    if not self._home.remembered(_SEEN, self._note(name)):
      if not self._cluster.has(CONFIG_MAPS, name):
        self._cluster.create(CONFIG_MAPS, pods.archive_map(archive))
      self._home.remember(_SEEN, self._note(name))
    return name

  def restore(self, seen: Seen) -> None:
    """Makes a ConfigMap again, once, for which a pod waits in vain."""
    name = diagnosis.missing_runner(seen.pods, seen.events)
    if name is None:
      return
    self._home.forget(_SEEN, self._note(name))
    path = self._used.pop(name, None)
    if path is not None:
      self._cluster.create(CONFIG_MAPS, pods.archive_map(path.read_bytes()))

  def _note(self, name: str) -> str:
    return f"{self._place}/{name}"
