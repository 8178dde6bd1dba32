"""Images with what a job needs: remembered, found by their tag, or built."""

import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from keras_remote import clock, constants, errors, home
from keras_remote.images import recipe as recipes
from keras_remote.images.build_log import BuildLog, printed, story
from keras_remote.images.recipe import Recipe
from keras_remote.images.requirements import Requirements
from keras_remote.progress import Report, Step, silent
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store

if TYPE_CHECKING:  # What is remembered needs no client, which takes a second.
  from keras_remote.images.container_builder import Build, ContainerBuilder

# As STORAGE_EMULATOR_HOST is for buckets: a stand-in's host and port.
EMULATOR_VARIABLE = "CLOUD_BUILD_EMULATOR_HOST"
REPOSITORY = "keras-remote"
# Seconds for which a request that fails is made again.
_PATIENCE = 120.0
# Seconds between two looks at a build: without a topic of Pub/Sub in the
# project Cloud Build tells nobody of its end.
_LOOK = 2.0
# Seconds after which it is asked again what has become of a build.
_AGAIN = 600.0


def image_builder(
  project: str,
  location: str,
  memory: home.Home,
  logs: str | None,
  account: str | None = None,
) -> "ImageBuilder":
  """The one of this process: calls that need the same image share a build."""
  emulator = os.environ.get(EMULATOR_VARIABLE)
  return _builder(
    os.getpid(), project, location, memory, logs, account, emulator
  )


@functools.cache
def _builder(
  process: int,
  project: str,
  location: str,
  memory: home.Home,
  logs: str | None,
  account: str | None,
  emulator: str | None,
) -> "ImageBuilder":
  return ImageBuilder(
    *(project, location, memory), logs=logs, account=account, emulator=emulator
  )


class ImageBuilder:
  """Finds and builds the images of a project, from any thread.

  Calls that need the same image share one build: of this object, as they
  wait for one another; on one machine and on several, as they find the
  build that runs.

  Args:
    location: of Artifact Registry, such as "us".
    memory: where a found image is remembered for a day.
    repository: in Artifact Registry; made if it is not there.
    logs: gs://…, the folder that builds write their logs to; None for the
      project's default, which only its viewers can read.
    account: the service account that builds; None for the project's default.
    emulator: host and port of a stand-in for Google's services.
    look: seconds between two looks at a build.
    patience: seconds for which a request that fails is made again.
    again: seconds after which `start` asks what has become of a build.
    open_logs: opens the folder of logs by its address.
    dockerfile: a text in place of Dockerfile.runner's.

  Attributes:
    image: the name of all images, without a tag.

  Its methods raise ImageBuildError, ImageAccessError where whoever is logged
  in may not do this, or nobody is, and StoreError where the memory fails.
  """

  def __init__(
    self,
    project: str,
    location: str,
    memory: home.Home,
    *,
    repository: str = REPOSITORY,
    logs: str | None = None,
    account: str | None = None,
    emulator: str | None = None,
    look: float = _LOOK,
    patience: float = _PATIENCE,
    again: float = _AGAIN,
    open_logs: Callable[[str], Store] = open_store,
    dockerfile: str | None = None,
  ) -> None:
    self.image = recipes.image_name(project, location, repository)
    self._project, self._location = project, location
    self._repository, self._logs = repository, logs
    self._account = account
    self._emulator, self._patience = emulator, patience
    self._memory = memory
    self._look, self._again, self._open_logs = look, again, open_logs
    self._dockerfile = dockerfile or recipes.runner_dockerfile()
    self._ensuring: dict[str, Future[str]] = {}
    self._started: dict[str, float] = {}
    self._lock = threading.Lock()

  def find(
    self, base: str, category: str, requirements: Requirements
  ) -> str | None:
    """The image by its digest, or None where it has to be built."""
    tag = self._recipe(base, category, requirements).tag
    found = self._find(tag)
    if found:  # Should it be removed, it is built once more.
      self._forget_start(tag)
    return found

  def start(self, base: str, category: str, requirements: Requirements) -> bool:
    """Has an image built that was not found, and waits for nothing.

    A process that has begun one asks for a while no more, unless it has found
    what was built.

    Returns:
      True if that goes on, or did; False where the last build of this very
      image failed within a day: `ensure` tries again, and tells why it fails.
    """
    recipe = self._recipe(base, category, requirements)
    with self._lock:
      now, began = clock.monotonic(), self._started.get(recipe.tag)
      if began is not None and now - began < self._again:
        return True
      self._started[recipe.tag] = now
    begun = None
    try:
      begun = self._begin(recipe, after_failure=False)
    finally:
      if begun is None:
        self._forget_start(recipe.tag)
    return begun is not None

  def ensure(
    self,
    base: str,
    category: str,
    requirements: Requirements,
    report: Report = silent,
  ) -> str:
    """The image by its digest; built, where nobody has before.

    Args:
      base: what it is built on; has the client's minor version of Python.
      category: cpu, gpu or tpu.
    """
    recipe = self._recipe(base, category, requirements)
    with self._lock:
      future = self._ensuring.get(recipe.tag)
      first = future is None
      future = self._ensuring.setdefault(recipe.tag, future or Future())
    if first:
      self._ensure(recipe, future, report)
    else:
      step = Step("waiting for the image, which another call has built")
      report(step)
      while not wait([future], self._look).done:
        report(step)  # Whoever is told may end this call by raising.
    return future.result()

  def forget(self, image: str) -> None:
    """Has the image looked for anew, since a cluster did not find it.

    Args:
      image: what `find` or `ensure` gave.
    """
    self._memory.forget(home.IMAGES, image)

  @functools.cached_property
  def _google(self) -> "ContainerBuilder":
    try:
      from keras_remote.images.container_builder import ContainerBuilder
    except ModuleNotFoundError as error:
      raise errors.ImageBuildError(
        f"images are built by packages that are not installed here "
        f"({error.name}): {constants.install('gcp')}"
      ) from error
    return ContainerBuilder(
      *(self._project, self._location, self._repository),
      logs=self._logs,
      account=self._account,
      emulator=self._emulator,
      patience=self._patience,
    )

  def _recipe(
    self, base: str, category: str, requirements: Requirements
  ) -> Recipe:
    return Recipe(base, category, requirements, self._dockerfile)

  def _ensure(
    self, recipe: Recipe, future: "Future[str]", report: Report
  ) -> None:
    try:
      found = self._find(recipe.tag)
      if not found:
        build = self._begin(recipe, after_failure=True)
        assert build
        found = self._follow(build, recipe.tag, report)
      future.set_result(found)
    except Exception as error:
      future.set_exception(error)
    except BaseException:
      # A Ctrl-C or a cancel here is not one of the others'.
      stopped = "the call that waited for the image was stopped: call again"
      future.set_exception(errors.ImageBuildError(stopped))
      raise
    finally:
      with self._lock:
        del self._ensuring[recipe.tag]

  def _forget_start(self, tag: str) -> None:
    with self._lock:
      self._started.pop(tag, None)

  def _find(self, tag: str) -> str | None:
    noted = self._memory.recall(home.IMAGES, f"{self.image}:{tag}")
    image = f"{self.image}@{noted.decode()}" if noted else ""
    # It is forgotten by who could not pull it, a backend that knows no tag.
    if image and self._memory.remembered(home.IMAGES, image):
      return image
    digest = self._google.look_up(tag)
    return self._found(tag, digest) if digest else None

  def _found(self, tag: str, digest: str) -> str:
    image = f"{self.image}@{digest}"
    self._memory.remember(home.IMAGES, image)
    self._memory.remember(home.IMAGES, f"{self.image}:{tag}", digest.encode())
    return image

  def _begin(self, recipe: Recipe, *, after_failure: bool) -> "Build | None":
    home.ensure_apart(self._memory.path)
    folder = home.ensure(self._memory.cache / home.IMAGES)
    # On one machine only one begins; two machines build twice at worst.
    with home.holding(folder / f"{recipe.tag}.lock"):
      return self._google.begin(recipe, after_failure=after_failure)

  def _follow(self, build: "Build", tag: str, report: Report) -> str:
    """The image, once the build has ended well; shows its log until then."""
    step = Step(f"building the image: {build.url}")
    store = self._open_logs(build.log) if build.log else None
    log = BuildLog(store, build.log_key)
    while True:
      report(step)  # Also the same again: whoever is told may end this call.
      build = self._google.look(build.id)
      for line in filter(None, map(printed, log.more())):
        step = Step(f"building the image: {line}")
        report(step)
      if build.ended:
        break
      if build.waits:
        step = Step("the image waits for a machine of Cloud Build")
      time.sleep(self._look)
    if not build.well:
      log.more()
      raise errors.ImageBuildError(story(build, log, self._project))
    image = f"{self.image}:{tag}"
    digest = build.digests.get(image) or self._google.look_up(tag)
    if not digest:
      raise errors.ImageBuildError(
        f"Cloud Build ended well, but {image} is not there: {build.url}"
      )
    return self._found(tag, digest)
