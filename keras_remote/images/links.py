"""What calls take of Google's services that make images."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras_remote import credentials
from keras_remote.checks import Check, Link
from keras_remote.images.builder import EMULATOR_VARIABLE, REPOSITORY

if TYPE_CHECKING:
  from keras_remote.images.container_builder import ContainerBuilder

_REGISTRY, _BUILDS = "registry", "image builds"
# No image has this tag: an answer is told from none all the same.
_NO_TAG = "doctor"
# Seconds for which a request that fails is made again.
_PATIENCE = 8.0


def links(where: Callable[[], tuple[str, str] | None]) -> Sequence[Link]:
  """Whether images can be looked for, and built.

  Args:
    where: tells the project and the location of Artifact Registry, such as
      "us"; None for nowhere.
  """
  emulator = os.environ.get(EMULATOR_VARIABLE)
  needs = () if emulator else (credentials.LINK,)

  def link(
    what: str, look: "Callable[[ContainerBuilder, str, str], str]"
  ) -> Link:
    def check() -> Check:
      place = where()
      if place is None:
        sentence = "no project is named: jobs install what they need"
        return Check(what, None, sentence)
      return Check(what, True, look(_builder(*place, emulator), *place))

    # Without images a job installs what it needs.
    return Link(what, check, needs, vital=False)

  return [link(_REGISTRY, _look_up), link(_BUILDS, _list_builds)]


def _builder(
  project: str, location: str, emulator: str | None
) -> "ContainerBuilder":
  from keras_remote.images.container_builder import ContainerBuilder

  return ContainerBuilder(
    project, location, REPOSITORY, emulator=emulator, patience=_PATIENCE
  )


def _look_up(builder: "ContainerBuilder", project: str, location: str) -> str:
  builder.look_up(_NO_TAG)
  place = f"{location}-docker.pkg.dev/{project}/{REPOSITORY}"
  return f"Artifact Registry answers for {place}"


def _list_builds(
  builder: "ContainerBuilder", project: str, location: str
) -> str:
  builder.builds(_NO_TAG)
  return f"Cloud Build answers for project {project}"
