"""Every link from the settings to a running job, to be looked at."""

import functools
import os
import shutil
import stat
from collections.abc import Mapping, Sequence

from keras_remote import constants, errors
from keras_remote.accelerators import zones
from keras_remote.backend.base import Backend
from keras_remote.checks import Check, Link
from keras_remote.core import group
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for
from keras_remote.core.settings import Resolved, resolve
from keras_remote.home import Home, cluster_key, ensure_apart, home
from keras_remote.packaging import provenance
from keras_remote.storage import links as stores

_HOME = "home"
# Less than this fills up while a project is packed.
_LEAST_FREE = constants.GIB


def chain(
  arguments: Mapping[str, object],
) -> tuple[Resolved | None, Sequence[Link]]:
  """What a call with these options takes, from here to there.

  Also the options, where they can be told.
  """
  links: list[Link] = [Link("Python", _python, vital=False)]
  try:
    place = Home(home())
    links += _home_links(place)
    resolved = resolve(arguments)
    resolved.check()
  except errors.KerasRemoteError as error:
    return None, [*links, _broken("settings", error)]
  options = resolved.options
  try:
    backend = backend_for(options, place)
    far = [*far_links(backend, options), *_image_links(backend, options)]
  except errors.KerasRemoteError as error:
    return resolved, [*links, _broken("backend", error)]
  fits = functools.partial(_fits, backend, options)
  return resolved, [*links, Link("options", fits), *far]


def far_links(backend: Backend, options: Options) -> Sequence[Link]:
  """What is outside of this process: the backend's links and the store."""
  found = list(backend.checks())
  needs: tuple[str, ...] = ()
  if stores.asks_google(options.store):
    try:
      from keras_remote import credentials  # Only where Google is asked.
    except ModuleNotFoundError as error:
      raise errors.ConfigError(
        "a bucket needs the clients of Google Cloud, which are not installed: "
        f"{constants.install('gcp')}"
      ) from error
    needs = (credentials.LINK,)
    if credentials.LINK not in [link.what for link in found]:
      found.insert(0, credentials.link())
  return [*found, stores.link(options.store, needs=needs)]


def _image_links(backend: Backend, options: Options) -> Sequence[Link]:
  """What is looked at where images are made for jobs."""
  if not backend.contains or options.container_image is not None:
    return []
  if options.image == "install":
    return []
  from keras_remote.images.links import links  # Only where images are made.

  def where() -> tuple[str, str] | None:
    cloud = backend.cloud
    if cloud is None:
      return None
    return cloud.project, zones.zone_to_ar_location(cloud.zone)

  return links(where)


def _broken(what: str, error: errors.KerasRemoteError) -> Link:
  def fail() -> Check:
    raise error

  return Link(what, fail)


def _home_links(place: Home) -> Sequence[Link]:
  partial = functools.partial
  mend = partial(_mend_home, place)
  return [
    Link(_HOME, partial(_home, place), mend=mend),
    Link("disk", partial(_disk, place), [_HOME], vital=False),
  ]


def _python() -> Check:
  versions = provenance.versions()
  python = versions.pop("python")
  packages = ", ".join(f"{name} {it}" for name, it in sorted(versions.items()))
  return Check("Python", True, f"{python} with {packages}")


def _home(place: Home) -> Check:
  ensure_apart(place.path)
  cluster_key(place)
  return Check(_HOME, True, f"{place.path} is yours alone and can be written")


def _mend_home(place: Home) -> None:
  """Takes from others the rights to what belongs to this user."""
  for path, mode in ((place.path, stat.S_IRWXU), (place.key, 0o600)):
    if path.exists() and path.stat().st_uid == os.geteuid():
      path.chmod(mode)


def _disk(place: Home) -> Check:
  free = shutil.disk_usage(place.path).free
  room = f"{free / constants.GIB:.1f} GiB"
  if free >= _LEAST_FREE:
    return Check("disk", True, f"{room} are free where the home is")
  sentence = f"only {room} are free where {place.path} is"
  cure = (
    "`keras-remote jobs prune` makes room, or set "
    f"{constants.HOME_VARIABLE} to a folder elsewhere"
  )
  return Check("disk", False, sentence, cure)


def _fits(backend: Backend, options: Options) -> Check:
  group.check_backend(options, backend, named=options.backend is not None)
  backend.check_call(options.store, options.env)
  sentence = f"they fit the backend {backend.name}"
  return Check("options", True, sentence)
