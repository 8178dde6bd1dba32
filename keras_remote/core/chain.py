"""Every link from the settings to a running job, to be looked at."""

import functools
import os
import shutil
import stat
from collections.abc import Sequence

from keras_remote import constants, errors
from keras_remote.backend.base import Backend
from keras_remote.checks import Check, Link
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for
from keras_remote.home import Home, cluster_key, ensure_apart
from keras_remote.packaging import provenance
from keras_remote.storage import links as stores

_HOME, _SETTINGS = "home", "settings"
# Less than this fills up while a project is packed.
_LEAST_FREE = constants.GIB
_EXTRA = ("google-cloud-storage", "kubernetes")


def chain(options: Options, home: Home) -> Sequence[Link]:
  """What a call with these options takes, from here to there."""
  found = [
    Link("Python", _python, vital=False),
    Link(
      _HOME,
      functools.partial(_home, home),
      mend=functools.partial(_mend_home, home),
    ),
    Link("disk", functools.partial(_disk, home), [_HOME], vital=False),
  ]
  try:
    backend = backend_for(options, home)
  except errors.KerasRemoteError as error:
    return [*found, Link("backend", functools.partial(_fail, error))]
  fits = functools.partial(_fits, backend, options)
  return [*found, Link("options", fits), *far_links(backend, options)]


def far_links(backend: Backend, options: Options) -> Sequence[Link]:
  """What is outside of this process: the backend's links and the store."""
  found = list(backend.checks())
  needs: tuple[str, ...] = ()
  if stores.asks_google(options.store):
    from keras_remote import credentials  # Only where Google is asked.

    needs = (credentials.LINK,)
    if credentials.LINK not in [link.what for link in found]:
      found.insert(0, credentials.link())
  return [*found, stores.link(options.store, needs=needs)]


def _fail(error: errors.KerasRemoteError) -> Check:
  raise error


def _python() -> Check:
  versions = provenance.versions()
  python = versions.pop("python")
  packages = ", ".join(f"{name} {it}" for name, it in sorted(versions.items()))
  return Check("Python", True, f"{python} with {packages}")


def _home(home: Home) -> Check:
  ensure_apart(home.path)
  cluster_key(home)
  return Check(_HOME, True, f"{home.path} is yours alone and can be written")


def _mend_home(home: Home) -> None:
  """Takes from others the rights to what belongs to this user."""
  for path, mode in ((home.path, stat.S_IRWXU), (home.key, 0o600)):
    if path.exists() and path.stat().st_uid == os.geteuid():
      path.chmod(mode)


def _disk(home: Home) -> Check:
  free = shutil.disk_usage(home.path).free
  room = f"{free / constants.GIB:.1f} GiB"
  if free >= _LEAST_FREE:
    return Check("disk", True, f"{room} are free where the home is")
  sentence = f"only {room} are free where {home.path} is"
  cure = (
    "`keras-remote jobs prune` makes room, or set "
    f"{constants.HOME_VARIABLE} to a folder elsewhere"
  )
  return Check("disk", False, sentence, cure)


def _fits(backend: Backend, options: Options) -> Check:
  backend.check_call(options.store, options.env)
  sentence = f"they fit the backend {backend.name}"
  return Check("options", True, sentence)
