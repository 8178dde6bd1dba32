"""Artifact Registry and Cloud Build: the one importer of their clients."""

import contextlib
import datetime
import functools
from collections.abc import Generator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import grpc
from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.cloud import artifactregistry_v1
from google.cloud.devtools import cloudbuild_v1

from keras_remote import clock, credentials, errors
from keras_remote.images import recipe as recipes
from keras_remote.images import refusals
from keras_remote.images.recipe import Recipe

# Builds of every place run there: of some regions a project has no quota.
_WHERE = "global"
# Seconds for one request, and for which one that fails is made again.
_SECONDS, PATIENCE = 30.0, 120.0
_TRANSIENT = if_exception_type(api.ServiceUnavailable, api.DeadlineExceeded)
_Status = cloudbuild_v1.Build.Status
_WAITING = (_Status.PENDING, _Status.QUEUED)
_FAILED = (_Status.FAILURE, _Status.TIMEOUT)


@dataclass(frozen=True)
class Build:
  """A build as it was when somebody looked.

  Attributes:
    status: in Cloud Build's word.
    waits: it has no machine yet.
    ended: it goes on no more.
    failed_lately: it failed by itself within the last day.
    log: the folder of its log, gs://…, and `log_key` the log's name there;
      empty where only Cloud Logging has it.
    url: where a person sees it.
    digests: of the images that it pushed, by name and tag.
    step: the number of the step that failed, and `step_name` its name; None
      where none did.
    detail: what Cloud Build says of its ending; may be empty.
    account: the service account that builds; may be empty.
  """

  id: str
  created: datetime.datetime
  status: str
  waits: bool
  ended: bool
  failed_lately: bool
  log: str
  log_key: str
  url: str
  digests: dict[str, str]
  step: int | None
  step_name: str
  detail: str
  account: str

  @property
  def well(self) -> bool:
    """Whether it made its images."""
    return self.status == "SUCCESS"


class ContainerBuilder:
  """The images and builds of a project, as Google's services have them.

  Args:
    location: of Artifact Registry, such as "us".
    repository: there.
    logs: gs://…, the folder that builds write their logs to; None for the
      project's default, which only its viewers can read.
    account: the service account that builds; None for the project's default.
    emulator: host and port of a stand-in for Google's services.
    patience: seconds for which a request that fails is made again.

  Its methods raise ImageBuildError, and ImageAccessError where whoever is
  logged in may not do this, or nobody is.
  """

  def __init__(
    self,
    project: str,
    location: str,
    repository: str,
    *,
    logs: str | None = None,
    account: str | None = None,
    emulator: str | None = None,
    patience: float = PATIENCE,
  ) -> None:
    self._project, self._location = project, location
    self._repository, self._logs = repository, logs
    self._account, self._emulator = account, emulator
    self._image = recipes.image_name(project, location, repository)
    self._retry = Retry(_TRANSIENT, initial=0.2, maximum=5.0, timeout=patience)
    self._patient: dict[str, Any] = {"retry": self._retry, "timeout": _SECONDS}
    self._once: dict[str, Any] = {"retry": None, "timeout": _SECONDS}

  def look_up(self, tag: str) -> str | None:
    """The digest of the image with this tag; None where there is none."""
    name = f"{self._repository_name}/packages/{recipes.IMAGE}/tags/{tag}"
    with self._translated(refusals.ARTIFACTS, "look for the image"):
      try:
        found = self._artifacts.get_tag(name=name, **self._patient)
      except api.NotFound:
        return None
    return found.version.rpartition("/")[2]

  def count(self) -> int:
    """How many images of jobs there are."""
    name = f"{self._repository_name}/packages/{recipes.IMAGE}"
    with self._translated(refusals.ARTIFACTS, "tell of the images"):
      try:
        found = self._artifacts.list_versions(parent=name, **self._patient)
        return sum(1 for _ in found)
      except api.NotFound:
        return 0

  def begin(self, recipe: Recipe, *, after_failure: bool) -> Build | None:
    """The build that runs, has just made the image, or is begun now.

    None: the last one failed within a day, and `after_failure` is False.
    """
    self._ensure_repository()

    def begin() -> Build | None:
      # One whose answer was lost is found here when it is tried again.
      known = self._builds(recipe.tag)
      running = [each for each in known if not each.ended]
      if running:
        return running[0]
      if known and not after_failure and known[0].failed_lately:
        return None
      # It may have ended since the image was looked for.
      if known and known[0].well and self.look_up(recipe.tag):
        return known[0]
      return self._create(recipe)

    with self._translated(refusals.BUILDS, "build the image"):
      return self._retry(begin)()

  def look(self, build_id: str) -> Build:
    """The build as it is now."""
    name = f"{self._parent}/builds/{build_id}"
    request = {"name": name, "id": build_id, "project_id": self._project}
    with self._translated(refusals.BUILDS, "look at the build"):
      return _build(
        self._cloud_build.get_build(request=request, **self._patient)
      )

  def builds(self, tag: str) -> list[Build]:
    """The latest builds of the tag, the newest first."""
    with self._translated(refusals.BUILDS, "tell of builds"):
      return self._retry(self._builds)(tag)

  def _builds(self, tag: str) -> list[Build]:
    request = {
      "parent": self._parent,
      "project_id": self._project,
      "filter": f'tags="{recipes.mark(tag)}"',
      "page_size": 10,
    }
    pages = self._cloud_build.list_builds(request=request, **self._once).pages
    found = [_build(each) for each in next(iter(pages)).builds]
    # In which order they come nobody promises.
    return sorted(found, key=attrgetter("created"), reverse=True)

  def _create(self, recipe: Recipe) -> Build:
    account = None
    if self._account:
      account = f"projects/{self._project}/serviceAccounts/{self._account}"
    request = {
      "parent": self._parent,
      "project_id": self._project,
      "build": recipes.build_request(recipe, self._image, self._logs, account),
    }
    operation: Any = self._cloud_build.create_build(
      request=request, **self._once
    )
    return _build(operation.metadata.build)

  def _ensure_repository(self) -> None:
    """Makes the repository, unless it is there."""
    name = self._repository_name
    with self._translated(refusals.ARTIFACTS, "look for the repository"):
      try:
        self._artifacts.get_repository(name=name, **self._patient)
        return
      except api.NotFound:
        pass
    request = {
      "parent": name.rpartition("/repositories/")[0],
      "repository_id": self._repository,
      "repository": {"format_": "DOCKER", "description": "keras_remote's"},
    }
    with (
      self._translated(refusals.REPOSITORY, "make a repository for images"),
      contextlib.suppress(api.AlreadyExists),
    ):
      made = self._artifacts.create_repository(request=request, **self._once)
      made.result(timeout=PATIENCE)

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
    return client(transport=self._linked(client.get_transport_class("grpc")))

  def _linked(self, transport: Any) -> Any:
    if self._emulator:
      return transport(channel=grpc.insecure_channel(self._emulator))
    try:
      return transport(credentials=credentials.google_credentials())
    except errors.CredentialsError as error:
      message = f"images need a log-in: {error}; {refusals.INSTALL}"
      raise errors.ImageAccessError(message) from error

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


def _build(build: cloudbuild_v1.Build) -> Build:
  # It is a datetime, whatever its type says.
  created: Any = build.create_time
  steps = list(enumerate(build.steps))
  failed = [(i, each.id) for i, each in steps if each.status in _FAILED]
  step, step_name = failed[0] if failed else (None, "")
  bucket = build.logs_bucket
  waits = build.status in _WAITING
  return Build(
    id=build.id,
    created=created,
    status=_Status(build.status).name,
    waits=waits,
    ended=not waits and build.status != _Status.WORKING,
    failed_lately=_failed_lately(build),
    log=bucket if not bucket or "://" in bucket else f"gs://{bucket}",
    log_key=f"log-{build.id}.txt",
    url=build.log_url,
    digests={each.name: each.digest for each in build.results.images},
    step=step,
    step_name=step_name,
    detail=build.failure_info.detail or build.status_detail,
    account=build.service_account.rpartition("/")[2],
  )


def _failed_lately(build: cloudbuild_v1.Build) -> bool:
  if build.status not in _FAILED:
    return False
  # A day is long enough for the clocks of two machines.
  return clock.now() - build.finish_time < datetime.timedelta(days=1)
