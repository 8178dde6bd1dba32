"""Which backends there are, and which one a call uses."""

import contextlib
from collections.abc import Callable, Generator

from keras_remote import constants, errors
from keras_remote.backend.base import Backend, Wanted
from keras_remote.home import Home

# With no cluster configured a call goes the whole way on this machine.
DEFAULT = "local"
# What a call with a cluster uses: of one host, and of several.
_CLUSTER, _GROUPS = "gke", "pathways"


def _open_local(home: Home, wanted: Wanted, place: str | None) -> Backend:
  from keras_remote.backend.local import LocalBackend

  return LocalBackend(home)


def _open_gke(home: Home, wanted: Wanted, place: str | None) -> Backend:
  with _clients("gke"):
    from keras_remote.backend.gke import GKEBackend
  return GKEBackend(home, wanted, place)


def _open_pathways(home: Home, wanted: Wanted, place: str | None) -> Backend:
  with _clients("pathways"):
    from keras_remote.backend.pathways import PathwaysBackend
  return PathwaysBackend(home, wanted, place)


@contextlib.contextmanager
def _clients(name: str) -> Generator[None]:
  """Says which extra a backend lacks that cannot be imported."""
  try:
    yield
  except ModuleNotFoundError as error:
    if (error.name or "").startswith("keras_remote"):
      raise
    raise errors.ConfigError(
      f"the {name} backend needs the clients of Kubernetes and Google Cloud, "
      f"which are not installed: {constants.install('gcp')}"
    ) from error


_BACKENDS: dict[str, Callable[[Home, Wanted, str | None], Backend]] = {
  "gke": _open_gke,
  "local": _open_local,
  "pathways": _open_pathways,
}


def names() -> tuple[str, ...]:
  """What `backend=` may say."""
  return tuple(_BACKENDS)


def choose(name: str | None, *, cluster: bool = False, hosts: int = 1) -> str:
  """The name of the backend that a call uses.

  Args:
    cluster: whether the settings name a cluster: who does means it.
    hosts: how many machines the call has.

  Raises:
    ConfigError: there is none of this name.
  """
  if name is None:
    if not cluster:
      return DEFAULT
    return _GROUPS if hosts > 1 else _CLUSTER
  if name not in _BACKENDS:
    import difflib  # Only for mistakes.

    near = difflib.get_close_matches(name, _BACKENDS, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise errors.ConfigError(
      f"unknown backend '{name}': there is {', '.join(_BACKENDS)}{hint}"
    )
  return name


def choose_again(name: str, before: int, hosts: int) -> str:
  """Where a job that was on this backend runs with other hosts than before.

  There too, unless it was there for the number of its hosts.
  """
  if name != choose(None, cluster=True, hosts=before):
    return name
  return choose(None, cluster=True, hosts=hosts)


def same_place(one: str, other: str) -> bool:
  """Whether a job of one backend may be at a place of the other's."""
  return one == other or {one, other} == {_CLUSTER, _GROUPS}


def open_backend(
  name: str, home: Home, wanted: Wanted, *, place: str | None = None
) -> Backend:
  """The backend of this name.

  Args:
    place: where a job of it is, by its own words; None for a new job.

  Raises:
    ConfigError: there is none of this name, or it lacks what it needs.
  """
  return _BACKENDS[choose(name)](home, wanted, place)
