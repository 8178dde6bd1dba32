"""Cloud Build and Artifact Registry, as far as images need them.

A server that speaks their gRPC and keeps what it is told. Who runs a build's
steps, and where its images then are, is a `Worker`: one in memory for unit
tests, one with buildah and a registry on the cluster.
"""

import datetime
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
from google.cloud import artifactregistry_v1 as artifacts
from google.cloud.devtools import cloudbuild_v1 as cloud_build
from google.longrunning import operations_pb2

from keras_remote import clock
from keras_remote.storage.store import Store

_BUILD = "google.devtools.cloudbuild.v1.CloudBuild"
_ARTIFACTS = "google.devtools.artifactregistry.v1.ArtifactRegistry"
_FILTER = re.compile(r'tags="([\w.-]+)"')
_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/[^/@]+@[^/@]+")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DEFAULT_ACCOUNT = "123-compute@developer.gserviceaccount.com"
_DEFAULT_LOGS = "gs://123.cloudbuild-logs.googleusercontent.com"
_Status = cloud_build.Build.Status
_Logging = cloud_build.BuildOptions.LoggingMode


class StepFailedError(Exception):
  """A step of a build ended with this code."""

  def __init__(self, step: int, code: int = 1) -> None:
    super().__init__(f"step {step} exited with {code}")
    self.step, self.code = step, code


class Worker(Protocol):
  """Runs builds, and knows what they pushed."""

  def build(
    self, build: cloud_build.Build, log: Callable[[str], None]
  ) -> dict[str, str]:
    """The digests of the build's images, which are pushed then.

    Args:
      log: takes each line that the build prints.

    Raises:
      StepFailedError: a step did not exit with 0.
    """
    ...

  def digest(self, image: str) -> str | None:
    """Of the image with this name and tag; None where there is none."""
    ...


@dataclass
class MemoryWorker:
  """Builds nothing, and says so at once, or when it may.

  Attributes:
    images: digests by name and tag.
    prints: what each step prints.
    fails: the number of the step that fails.
    go_on: until it is set, builds wait.
  """

  images: dict[str, str] = field(default_factory=dict)
  prints: tuple[str, ...] = ("Resolved 2 packages",)
  fails: int | None = None
  go_on: threading.Event = field(default_factory=threading.Event)

  def __post_init__(self) -> None:
    self.go_on.set()

  def build(
    self, build: cloud_build.Build, log: Callable[[str], None]
  ) -> dict[str, str]:
    self.go_on.wait()
    for number, step in enumerate(build.steps):
      for line in self.prints:
        log(f'Step #{number} - "{step.id}": {line}')
      if number == self.fails:
        raise StepFailedError(number)
    pushed = {image: f"sha256:{uuid.uuid4().hex * 2}" for image in build.images}
    self.images.update(pushed)
    return pushed

  def digest(self, image: str) -> str | None:
    return self.images.get(image)


class CloudBuildServer:
  """Both services on one port of this machine, for as long as its block.

  Attributes:
    address: host and port, plain.
    requests: the names of the methods that were called, in order.
    builds: all builds, the oldest first.
    repositories: names of those that are there.
    accounts: addresses of the service accounts that the caller may have build;
      None for any.
    fault: asked before each method: how it fails, or None; "lost" is a
      request that is served and whose answer does not come.
  """

  def __init__(self, worker: Worker, open_logs: Callable[[str], Store]) -> None:
    self.requests: list[str] = []
    self.builds: list[cloud_build.Build] = []
    self.repositories: set[str] = set()
    self.accounts: set[str] | None = None
    self.fault: Callable[[str], tuple[grpc.StatusCode, str] | str | None] = (
      lambda method: None
    )
    self._worker, self._open_logs = worker, open_logs
    self._lock = threading.Lock()
    self._threads = ThreadPoolExecutor(4, "builds")
    self._running: list[Future[None]] = []
    self._server = grpc.server(ThreadPoolExecutor(8, "cloud build"))
    self._server.add_generic_rpc_handlers(tuple(self._handlers()))
    self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

  def __enter__(self) -> Self:
    self._server.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._threads.shutdown(wait=True)
    self._server.stop(grace=1).wait()
    self.wait()

  def wait(self) -> None:
    """Returns once every build that was begun has ended."""
    for each in tuple(self._running):
      each.result()

  def cancel(self, build_id: str) -> cloud_build.Build:
    """As somebody who presses the button; what it still does is ignored."""
    with self._lock:
      build = self._find(build_id)
      build.status = _Status.CANCELLED
      return build

  def _handlers(self) -> Iterator[grpc.GenericRpcHandler]:
    build, operation = cloud_build.Build, operations_pb2.Operation
    yield grpc.method_handlers_generic_handler(
      _BUILD,
      {
        "CreateBuild": self._method(
          self._create_build,
          cloud_build.CreateBuildRequest.deserialize,
          operation.SerializeToString,
        ),
        "GetBuild": self._method(
          self._get_build,
          cloud_build.GetBuildRequest.deserialize,
          build.serialize,
        ),
        "ListBuilds": self._method(
          self._list_builds,
          cloud_build.ListBuildsRequest.deserialize,
          cloud_build.ListBuildsResponse.serialize,
        ),
        "CancelBuild": self._method(
          self._cancel_build,
          cloud_build.CancelBuildRequest.deserialize,
          build.serialize,
        ),
      },
    )
    yield grpc.method_handlers_generic_handler(
      _ARTIFACTS,
      {
        "GetTag": self._method(
          self._get_tag,
          artifacts.GetTagRequest.deserialize,
          artifacts.Tag.serialize,
        ),
        "ListVersions": self._method(
          self._list_versions,
          artifacts.ListVersionsRequest.deserialize,
          artifacts.ListVersionsResponse.serialize,
        ),
        "GetRepository": self._method(
          self._get_repository,
          artifacts.GetRepositoryRequest.deserialize,
          artifacts.Repository.serialize,
        ),
        "CreateRepository": self._method(
          self._create_repository,
          artifacts.CreateRepositoryRequest.deserialize,
          operation.SerializeToString,
        ),
      },
    )

  def _method(
    self,
    serve: Callable[[Any, grpc.ServicerContext], Any],
    read: Callable[[bytes], Any],
    write: Callable[[Any], bytes],
  ) -> Any:
    name = "".join(part.title() for part in serve.__name__.split("_"))

    def handle(request: Any, context: Any) -> Any:
      self.requests.append(name)
      fault = self.fault(name)
      if isinstance(fault, tuple):
        context.abort(*fault)
      answer = serve(request, context)
      if fault:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
      return answer

    # Its type wants a request by name, which it never gives.
    behavior: Any = handle
    return grpc.unary_unary_rpc_method_handler(behavior, read, write)

  def _create_build(
    self,
    request: cloud_build.CreateBuildRequest,
    context: grpc.ServicerContext,
  ) -> operations_pb2.Operation:
    # Times are those of datetime, not of protobuf as its types say.
    build: Any = request.build
    wrong = _wrong(build)
    if wrong:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
    account = build.service_account.rpartition("/")[2] or _DEFAULT_ACCOUNT
    if self.accounts is not None and account not in self.accounts:
      context.abort(
        grpc.StatusCode.PERMISSION_DENIED,
        "caller does not have permission to act as service account "
        f"{request.parent.partition('/locations/')[0]}/serviceAccounts/"
        f"{account}",
      )
    build.id = str(uuid.uuid4())
    build.create_time = clock.now()
    build.status = _Status.QUEUED
    if build.options.logging != _Logging.CLOUD_LOGGING_ONLY:
      build.logs_bucket = build.logs_bucket or _DEFAULT_LOGS
    build.log_url = f"https://console.example/builds/{build.id}"
    build.name = f"{request.parent}/builds/{build.id}"
    with self._lock:
      self.builds.append(build)
    self._running.append(self._threads.submit(self._run, build))
    operation = operations_pb2.Operation(name=f"operations/{build.id}")
    metadata = cloud_build.BuildOperationMetadata(build=build)
    operation.metadata.Pack(cloud_build.BuildOperationMetadata.pb(metadata))
    return operation

  def _run(self, build: Any) -> None:
    lines: list[str] = [f'starting build "{build.id}"', ""]
    store = self._open_logs(build.logs_bucket) if build.logs_bucket else None

    def log(line: str) -> None:
      lines.append(line)
      if store is None:
        return
      text = "\n".join([*lines, ""])
      store.write(f"log-{build.id}.txt", text.encode())

    build.status = _Status.WORKING
    log("BUILD")
    status = _Status.SUCCESS
    pushed: dict[str, str] = {}
    try:
      pushed = self._worker.build(build, log)
    except StepFailedError as error:
      status = _Status.FAILURE
      builder = build.steps[error.step].name
      build.steps[error.step].status = status
      build.steps[error.step].exit_code = error.code
      build.failure_info = cloud_build.Build.FailureInfo(
        type_="USER_BUILD_STEP",
        detail=f'Build step failure: build step {error.step} "{builder}" '
        f"failed: step exited with non-zero status: {error.code}",
      )
      log("ERROR")
    else:
      log("DONE")
    build.finish_time = clock.now()
    images = [
      cloud_build.BuiltImage(name=n, digest=d) for n, d in pushed.items()
    ]
    build.results = cloud_build.Results(images=images)
    with self._lock:
      if build.status == _Status.WORKING:
        build.status = status

  def _get_build(
    self, request: cloud_build.GetBuildRequest, context: grpc.ServicerContext
  ) -> cloud_build.Build:
    return self._found(request.id, context)

  def _cancel_build(
    self, request: cloud_build.CancelBuildRequest, context: grpc.ServicerContext
  ) -> cloud_build.Build:
    self._found(request.id, context)
    return self.cancel(request.id)

  def _list_builds(
    self, request: cloud_build.ListBuildsRequest, context: grpc.ServicerContext
  ) -> cloud_build.ListBuildsResponse:
    match = _FILTER.fullmatch(request.filter)
    if not match:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, "invalid list filter")
      raise AssertionError
    with self._lock:
      found = [each for each in self.builds if match[1] in each.tags]
    return cloud_build.ListBuildsResponse(builds=found[: request.page_size])

  def _get_tag(
    self, request: artifacts.GetTagRequest, context: grpc.ServicerContext
  ) -> artifacts.Tag:
    _, project, _, place, _, repository, _, package, _, tag = (
      request.name.split("/")
    )
    name = f"{place}-docker.pkg.dev/{project}/{repository}/{package}"
    digest = self._worker.digest(f"{name}:{tag}")
    if digest is None:
      context.abort(grpc.StatusCode.NOT_FOUND, "entity was not found")
    package_name = request.name.rpartition("/tags/")[0]
    version = f"{package_name}/versions/{digest}"
    return artifacts.Tag(name=request.name, version=version)

  def _list_versions(
    self, request: artifacts.ListVersionsRequest, context: grpc.ServicerContext
  ) -> artifacts.ListVersionsResponse:
    with self._lock:
      pushed = [each for build in self.builds for each in build.results.images]
    if not pushed:
      context.abort(grpc.StatusCode.NOT_FOUND, "package was not found")
    names = sorted({f"{request.parent}/versions/{p.digest}" for p in pushed})
    versions = [artifacts.Version(name=name) for name in names]
    return artifacts.ListVersionsResponse(versions=versions)

  def _get_repository(
    self, request: artifacts.GetRepositoryRequest, context: grpc.ServicerContext
  ) -> artifacts.Repository:
    if request.name not in self.repositories:
      context.abort(grpc.StatusCode.NOT_FOUND, "Repository does not exist")
    return artifacts.Repository(name=request.name, format_="DOCKER")

  def _create_repository(
    self,
    request: artifacts.CreateRepositoryRequest,
    context: grpc.ServicerContext,
  ) -> operations_pb2.Operation:
    name = f"{request.parent}/repositories/{request.repository_id}"
    if name in self.repositories:
      context.abort(grpc.StatusCode.ALREADY_EXISTS, "it exists")
    self.repositories.add(name)
    made = artifacts.Repository(name=name, format_="DOCKER")
    operation = operations_pb2.Operation(name="operations/made", done=True)
    operation.response.Pack(artifacts.Repository.pb(made))
    return operation

  def _found(
    self, build_id: str, context: grpc.ServicerContext
  ) -> cloud_build.Build:
    try:
      return self._find(build_id)
    except KeyError:
      context.abort(grpc.StatusCode.NOT_FOUND, "no such build")
      raise

  def _find(self, build_id: str) -> cloud_build.Build:
    for each in self.builds:
      if each.id == build_id:
        return each
    raise KeyError(build_id)


def _wrong(build: Any) -> str:
  """Why the real one would refuse it; empty if it would not."""
  if not build.steps:
    return "no steps"
  if build.timeout > datetime.timedelta(days=1):
    return "the timeout exceeds 24 h"
  for tag in build.tags:
    if not _TAG.fullmatch(tag):
      return f"invalid build tag {tag!r}"
  account = build.service_account
  if account and not _ACCOUNT.fullmatch(account):
    return f"invalid service account {account!r}"
  alone = (_Logging.CLOUD_LOGGING_ONLY, _Logging.NONE)
  if account and not build.logs_bucket and build.options.logging not in alone:
    return (
      "if 'build.service_account' is specified, the build must either specify "
      "'build.logs_bucket' or use either CLOUD_LOGGING_ONLY / NONE logging"
    )
  if build.logs_bucket and not build.logs_bucket.startswith("gs://"):
    return "logs_bucket is no gs://"
  for step in build.steps:
    if step.script and (step.args or step.entrypoint):
      return "script excludes args and entrypoint"
    # Of a name after it, a value would have to be given.
    for text in (*step.env, *step.args):
      if re.search(r"\$[A-Za-z_{]", text.replace("$$", "")):
        return f"key in the template {text!r} is not a valid substitution"
  return ""
