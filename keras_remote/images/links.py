"""What calls take of Google's services that make images."""

import os
from collections.abc import Callable

from keras_remote import credentials
from keras_remote.checks import Check, Link
from keras_remote.images.builder import EMULATOR_VARIABLE, REPOSITORY

_REGISTRY = "registry"
# No image has this tag: an answer is told from none all the same.
_NO_TAG = "doctor"
# Seconds for which a request that fails is made again.
_PATIENCE = 8.0


def link(where: Callable[[], tuple[str, str] | None]) -> Link:
  """Whether images can be looked for.

  Args:
    where: tells the project and the location of Artifact Registry, such as
      "us"; None for nowhere.
  """
  emulator = os.environ.get(EMULATOR_VARIABLE)
  needs = () if emulator else (credentials.LINK,)

  def look() -> Check:
    place = where()
    if place is None:
      sentence = "no project is named: jobs install what they need"
      return Check(_REGISTRY, None, sentence)
    return _look(*place, emulator)

  # Without one a job installs what it needs.
  return Link(_REGISTRY, look, needs, vital=False)


def _look(project: str, location: str, emulator: str | None) -> Check:
  from keras_remote.images.container_builder import ContainerBuilder

  builder = ContainerBuilder(
    project, location, REPOSITORY, emulator=emulator, patience=_PATIENCE
  )
  builder.look_up(_NO_TAG)
  place = f"{location}-docker.pkg.dev/{project}/{REPOSITORY}"
  return Check(_REGISTRY, True, f"Artifact Registry answers for {place}")
