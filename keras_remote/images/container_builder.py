"""Images with what a job needs: found by their tag, or built once.

The one importer of Cloud Build and Artifact Registry.
"""

import contextlib
import datetime
import functools
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import grpc
from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.cloud import artifactregistry_v1
from google.cloud.devtools import cloudbuild_v1

from keras_remote import clock, credentials, errors, home
from keras_remote.images import recipe as recipes
from keras_remote.images import refusals
from keras_remote.images.build_log import BuildLog, last_lines, printed
from keras_remote.images.recipe import Recipe
from keras_remote.images.requirements import Requirements
from keras_remote.progress import Report, Step, silent
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store

# As STORAGE_EMULATOR_HOST is for buckets: a stand-in's host and port.
EMULATOR_VARIABLE = "CLOUD_BUILD_EMULATOR_HOST"
REPOSITORY = "keras-remote"
IMAGE = "job"
# What is remembered: an image's digest by its name and tag.
_MEMORY = "images"
# Builds of every place run there: of some regions a project has no quota.
_WHERE = "global"
# Seconds for one request, and for which one that fails is made again.
_SECONDS, _PATIENCE = 30.0, 120.0
# Seconds that a build may take, and between two looks at it: Cloud Build
# pushes nothing without a topic of Pub/Sub.
_LONGEST, _LOOK = 3600, 2.0
_SUCCESS = cloudbuild_v1.Build.Status.SUCCESS
_RUNNING = (
  cloudbuild_v1.Build.Status.PENDING,
  cloudbuild_v1.Build.Status.QUEUED,
  cloudbuild_v1.Build.Status.WORKING,
)
_FAILED = (
  cloudbuild_v1.Build.Status.FAILURE,
  cloudbuild_v1.Build.Status.TIMEOUT,
)
_TRANSIENT = if_exception_type(api.ServiceUnavailable, api.DeadlineExceeded)


class ImageBuilder:
  """Finds and builds the images of a project.

  One serves all calls of a process, from any thread: those that need the
  same image share one build.

  Args:
    location: of Artifact Registry, such as "us".
    memory: where a found image is remembered for a day.
    repository: in Artifact Registry; made if it is not there.
    logs: gs://…, the folder that builds write their logs to; the project's
      default where there is none, which only its viewers can read.
    channel: what to talk through; Google's services where there is none.
    look: seconds between two looks at a build.
    open_logs: opens the folder of logs by its address.

  Its methods raise ImageBuildError, and ImageAccessError where whoever is
  logged in may not do this, or nobody is.
  """

  def __init__(
    self,
    project: str,
    location: str,
    memory: home.Home,
    *,
    repository: str = REPOSITORY,
    logs: str | None = None,
    channel: grpc.Channel | None = None,
    look: float = _LOOK,
    patience: float = _PATIENCE,
    open_logs: Callable[[str], Store] = open_store,
    dockerfile: str | None = None,
  ) -> None:
    self._project, self._location = project, location
    self._repository, self._logs = repository, logs
    self._memory = memory
    self._given, self._look, self._open_logs = channel, look, open_logs
    self._retry = Retry(_TRANSIENT, initial=0.2, maximum=5.0, timeout=patience)
    self._patient: dict[str, Any] = {"retry": self._retry, "timeout": _SECONDS}
    self._dockerfile = dockerfile or recipes.runner_dockerfile()
    self._ensuring: dict[str, Future[str]] = {}
    self._lock = threading.Lock()

  @property
  def image(self) -> str:
    """The name of all images, without a tag."""
    # A project of a domain, example.com:name, is a folder there.
    project = self._project.replace(":", "/")
    host = f"{self._location}-docker.pkg.dev"
    return f"{host}/{project}/{self._repository}/{IMAGE}"

  def find(
    self, base: str, category: str, requirements: Requirements
  ) -> str | None:
    """The image by its digest, or None where it has to be built."""
    return self._find(self._recipe(base, category, requirements).tag)

  def start(self, base: str, category: str, requirements: Requirements) -> bool:
    """Has the image built by nobody's waiting; whether it is, or is there.

    False: the last build of this very image failed within a day. Who wants
    to know why calls `ensure`, which tries again.
    """
    recipe = self._recipe(base, category, requirements)
    if self._find(recipe.tag):
      return True
    return self._begin(recipe, after_failure=False) is not None

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
    tag = recipe.tag
    with self._lock:
      future = self._ensuring.get(tag)
      first = future is None
      future = self._ensuring.setdefault(tag, future or Future())
    if first:
      self._ensure(recipe, future, report)
    else:
      report(Step("waiting for the image, which another call has built"))
    return future.result()

  def forget(self, image: str) -> None:
    """Has the image looked for anew, since a cluster did not find it.

    Args:
      image: what `find` or `ensure` gave.
    """
    key = self._memory.recall(_MEMORY, image)
    if key is not None:
      self._memory.forget(_MEMORY, key.decode())

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
        build = self._begin(recipe)
        assert build
        found = self._follow(build, recipe.tag, report)
      future.set_result(found)
    except Exception as error:
      future.set_exception(error)
    except BaseException:  # A Ctrl-C here is not one of the others'.
      stopped = "the call that waited for the image was stopped: call again"
      future.set_exception(errors.ImageBuildError(stopped))
      raise
    finally:
      with self._lock:
        del self._ensuring[recipe.tag]

  def _find(self, tag: str) -> str | None:
    key = f"{self.image}:{tag}"
    remembered = self._memory.recall(_MEMORY, key)
    if remembered:
      return f"{self.image}@{remembered.decode()}"
    digest = self._look_up(tag)
    return self._found(tag, digest) if digest else None

  def _found(self, tag: str, digest: str) -> str:
    image, key = f"{self.image}@{digest}", f"{self.image}:{tag}"
    self._memory.remember(_MEMORY, key, digest.encode())
    self._memory.remember(_MEMORY, image, key.encode())  # For `forget`.
    return image

  def _look_up(self, tag: str) -> str | None:
    """The digest that Artifact Registry has for the tag."""
    name = f"{self._repository_name}/packages/{IMAGE}/tags/{tag}"
    with self._translated(refusals.ARTIFACTS, "look for the image"):
      try:
        found = self._artifacts.get_tag(name=name, **self._patient)
      except api.NotFound:
        return None
    return found.version.rpartition("/")[2]

  def _begin(
    self, recipe: Recipe, *, after_failure: bool = True
  ) -> cloudbuild_v1.Build | None:
    """The build that runs or is begun; None for what failed not long ago."""
    self._ensure_repository()
    place = home.ensure(
      home.ensure_apart(self._memory.path) / "cache" / _MEMORY
    )

    def begin() -> cloudbuild_v1.Build | None:
      # Whose answer was lost is found here when it is tried again.
      known = self._builds(recipe.tag)
      running = [each for each in known if each.status in _RUNNING]
      if running:
        return running[0]
      if known and not after_failure and _failed_lately(known[0]):
        return None
      return self._create(recipe)

    with (
      # On one machine; two machines at once build twice at worst.
      home.holding(place / f"{recipe.tag}.lock"),
      self._translated(refusals.BUILDS, "build the image"),
    ):
      return self._retry(begin)()

  def _builds(self, tag: str) -> list[cloudbuild_v1.Build]:
    """The latest builds of the tag, the newest first."""
    request = {
      "parent": self._parent,
      "project_id": self._project,
      "filter": f'tags="{_mark(tag)}"',
      "page_size": 10,
    }
    pages = self._cloud_build.list_builds(
      request=request, retry=None, timeout=_SECONDS
    ).pages
    return list(next(iter(pages)).builds)

  def _create(self, recipe: Recipe) -> cloudbuild_v1.Build:
    build: dict[str, Any] = {
      "steps": recipes.steps(recipe, self.image),
      "images": [f"{self.image}:{recipe.tag}"],
      "tags": ["keras-remote", _mark(recipe.tag)],
      "timeout": datetime.timedelta(seconds=_LONGEST),
      "options": {"log_streaming_option": "STREAM_ON"},
    }
    if self._logs:
      build["logs_bucket"] = self._logs
      build["options"]["logging"] = "GCS_ONLY"
    request = {
      "parent": self._parent,
      "project_id": self._project,
      "build": build,
    }
    operation: Any = self._cloud_build.create_build(
      request=request, retry=None, timeout=_SECONDS
    )
    return operation.metadata.build

  def _follow(
    self, build: cloudbuild_v1.Build, tag: str, report: Report
  ) -> str:
    """The image, once the build has ended well; its log until then."""
    report(Step(f"building the image: {build.log_url}"))
    bucket = build.logs_bucket
    address = bucket if "://" in bucket else f"gs://{bucket}"
    log = BuildLog(self._open_logs(address), f"log-{build.id}.txt")
    name = f"{self._parent}/builds/{build.id}"
    request = {"name": name, "id": build.id, "project_id": self._project}
    while True:
      with self._translated(refusals.BUILDS, "look at the build"):
        build = self._cloud_build.get_build(request=request, **self._patient)
      for line in filter(None, map(printed, log.more())):
        report(Step(f"building the image: {line}"))
      if build.status not in _RUNNING:
        break
      if build.status != cloudbuild_v1.Build.Status.WORKING:
        report(Step("the image waits for a machine of Cloud Build"))
      time.sleep(self._look)
    if build.status != _SUCCESS:
      raise errors.ImageBuildError(_story(build, log))
    wanted = f"{self.image}:{tag}"
    digests = {each.name: each.digest for each in build.results.images}
    digest = digests.get(wanted) or self._look_up(tag)
    if not digest:
      raise errors.ImageBuildError(
        f"Cloud Build ended well, but {wanted} is not there: {build.log_url}"
      )
    return self._found(tag, digest)

  def _ensure_repository(self) -> None:
    """Makes the repository, unless it is there."""
    with self._translated(refusals.ARTIFACTS, "look for the repository"):
      try:
        self._artifacts.get_repository(
          name=self._repository_name, **self._patient
        )
        return
      except api.NotFound:
        pass
    request = {
      "parent": f"projects/{self._project}/locations/{self._location}",
      "repository_id": self._repository,
      "repository": {"format_": "DOCKER", "description": "keras_remote's"},
    }
    with (
      self._translated(refusals.REPOSITORY, "make a repository for images"),
      contextlib.suppress(api.AlreadyExists),
    ):
      made = self._artifacts.create_repository(
        request=request, retry=None, timeout=_SECONDS
      )
      made.result(timeout=_PATIENCE)

  @property
  def _parent(self) -> str:
    return f"projects/{self._project}/locations/{_WHERE}"

  @property
  def _repository_name(self) -> str:
    place = f"projects/{self._project}/locations/{self._location}"
    return f"{place}/repositories/{self._repository}"

  @functools.cached_property
  def _cloud_build(self) -> cloudbuild_v1.CloudBuildClient:
    transport = cloudbuild_v1.CloudBuildClient.get_transport_class("grpc")
    return cloudbuild_v1.CloudBuildClient(transport=self._linked(transport))

  @functools.cached_property
  def _artifacts(self) -> artifactregistry_v1.ArtifactRegistryClient:
    client = artifactregistry_v1.ArtifactRegistryClient
    transport = client.get_transport_class("grpc")
    return client(transport=self._linked(transport))

  def _linked(self, transport: Any) -> Any:
    emulator = os.environ.get(EMULATOR_VARIABLE)
    if self._given:
      return transport(channel=self._given)
    if emulator:
      return transport(channel=grpc.insecure_channel(emulator))
    return transport(credentials=credentials.google_credentials())

  @contextlib.contextmanager
  def _translated(
    self, service: refusals.Service, what: str
  ) -> Generator[None]:
    """Raises our errors."""
    try:
      yield
    except (
      api.GoogleAPIError,
      credentials.GoogleAuthError,
      grpc.RpcError,
    ) as error:
      raise refusals.translate(
        error, service, what, self._project, self._location
      ) from error


def _mark(tag: str) -> str:
  """By which builds of this content are found, whoever began them."""
  return f"keras-remote-{tag}"


def _failed_lately(build: cloudbuild_v1.Build) -> bool:
  if build.status not in _FAILED:
    return False
  return clock.now() - build.finish_time < datetime.timedelta(days=1)


def _story(build: cloudbuild_v1.Build, log: BuildLog) -> str:
  """Why a build did not end well, with the failing step's last lines."""
  log.more()
  failed = [i for i, each in enumerate(build.steps) if each.status in _FAILED]
  status = cloudbuild_v1.Build.Status(build.status).name
  step = build.steps[failed[0]].id if failed else None
  where = f"its step '{step}' failed" if step else f"it ended with {status}"
  said = [f"the image could not be built: {where}"]
  detail = build.failure_info.detail or build.status_detail
  if detail:
    said.append(detail)
  if log.lines:
    said.append(last_lines(log.lines, failed[0] if failed else None))
  if log.unread:
    said.append(f"its log cannot be read: {log.unread}")
  said.append(f"the whole log: {build.log_url}")
  return "\n".join(said)
