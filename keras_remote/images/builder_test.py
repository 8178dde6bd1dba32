import contextlib
import datetime
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.home import Home
from keras_remote.images.builder import ImageBuilder, image_builder
from keras_remote.images.requirements import Requirements
from keras_remote.progress import Step
from tests.fakes.cloud_build import CloudBuildServer, MemoryWorker
from tests.fakes.environment import environment
from tests.fakes.memory_store import MemoryStore

_ONE = Requirements(("jax==0.10",), ("six",))
_OTHER = Requirements(("jax==0.10",), ("iniconfig",))
_BUILDS = "builds@my-project.iam.gserviceaccount.com"
_NAME = "us-docker.pkg.dev/my-project/keras-remote/job"

_WARM = """
import pathlib, sys
from keras_remote.home import Home
from keras_remote.images.builder import image_builder
from keras_remote.images.requirements import Requirements
builder = image_builder("my-project", "us", Home(pathlib.Path({!r})), None)
wanted = Requirements(("jax==0.10",), ("six",))
print(builder.find("python:3.11-slim", "cpu", wanted))
print("google.api_core" in sys.modules)
"""


class _Case(parameterized.TestCase):
  """Tests with a Cloud Build that runs nothing.

  Attributes:
    server: it.
    worker: who runs its builds.
    logs: the buckets that it writes to, by their addresses.
  """

  def setUp(self) -> None:
    super().setUp()
    self.worker = MemoryWorker()
    self.logs: dict[str, MemoryStore] = {}
    stack = contextlib.ExitStack()
    self.addCleanup(stack.close)
    self.server = stack.enter_context(
      CloudBuildServer(self.worker, self.open_logs)
    )
    self.addCleanup(self.worker.go_on.set)
    self.home = self.new_home()

  def open_logs(self, address: str) -> MemoryStore:
    return self.logs.setdefault(address, MemoryStore())

  def new_home(self) -> Home:
    return Home(Path(self.create_tempdir().full_path))

  def builder(self, home: Home | None = None, **options: Any) -> ImageBuilder:
    standard: dict[str, Any] = {
      "emulator": self.server.address,
      "look": 0.01,
      "patience": 5,
      "open_logs": self.open_logs,
    }
    return ImageBuilder(
      "my-project", "us", home or self.home, **(standard | options)
    )


class ImageBuilderTest(_Case):
  def test_it_is_built(self) -> None:
    """The first call builds, and gets the image by its digest."""
    image = self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    (digest,) = self.worker.images.values()
    self.assertEqual(image, f"{_NAME}@{digest}")

  def test_it_is_built_once(self) -> None:
    """Nobody builds what is there: not here, not in a new home."""
    first = self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    again = self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    colleague = self.builder(self.new_home())
    self.assertEqual(again, first)
    self.assertEqual(colleague.find("python:3.11-slim", "cpu", _ONE), first)
    self.assertEqual(colleague.ensure("python:3.11-slim", "cpu", _ONE), first)
    self.assertLen(self.server.builds, 1)

  def test_what_is_remembered_needs_no_request(self) -> None:
    """A warm call asks nobody, until what it knew turned out to be gone."""
    first = self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    self.server.requests.clear()
    again = self.builder()
    self.assertEqual(again.find("python:3.11-slim", "cpu", _ONE), first)
    self.assertEmpty(self.server.requests)
    self.worker.images.clear()
    again.forget(first)
    self.assertIsNone(again.find("python:3.11-slim", "cpu", _ONE))
    second = again.ensure("python:3.11-slim", "cpu", _ONE)
    self.assertNotEqual(second, first)

  def test_what_is_remembered_needs_no_client(self) -> None:
    """A warm call does not wait for Google's packages to be imported."""
    found = self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    script = _WARM.format(str(self.home.path))
    done = subprocess.run(
      [sys.executable, "-c", script], text=True, capture_output=True
    )
    self.assertEqual(done.stdout, f"{found}\nFalse\n", done.stderr)

  def test_what_was_not_found_is_not_remembered(self) -> None:
    """`find` asks again, and so sees what another machine has built."""
    builder = self.builder()
    self.assertIsNone(builder.find("python:3.11-slim", "cpu", _ONE))
    built = self.builder(self.new_home()).ensure(
      "python:3.11-slim", "cpu", _ONE
    )
    self.assertEqual(builder.find("python:3.11-slim", "cpu", _ONE), built)

  def test_forgetting_what_nobody_knows(self) -> None:
    """It is nothing."""
    self.builder().forget(f"{_NAME}@sha256:00")

  def test_a_changed_requirement(self) -> None:
    """It is another image, on the same stack."""
    builder = self.builder()
    first = builder.ensure("python:3.11-slim", "cpu", _ONE)
    self.assertNotEqual(
      builder.ensure("python:3.11-slim", "cpu", _OTHER), first
    )
    stacks = [
      dict(_environ(build.steps[0]))["IMAGE"] for build in self.builds()
    ]
    bases = [dict(_environ(build.steps[1]))["BASE"] for build in self.builds()]
    self.assertLen(set(stacks), 1)
    self.assertEqual(bases, stacks)

  def test_calls_that_need_the_same_image_share_one_build(self) -> None:
    """In one process they wait for one of them, and ask nobody."""
    self.worker.go_on.clear()
    builder, count = self.builder(), 20
    with ThreadPoolExecutor(count) as pool:
      images = [
        pool.submit(builder.ensure, "python:3.11-slim", "cpu", _ONE)
        for _ in range(count)
      ]
      self.worker.go_on.set()
      self.assertLen({image.result() for image in images}, 1)
    self.assertLen(self.server.builds, 1)
    self.assertLess(self.server.requests.count("GetTag"), count)

  def test_processes_of_one_machine_begin_one_build(self) -> None:
    """However close together they come: each has a builder of its own."""
    self.worker.go_on.clear()
    count = 8
    line = threading.Barrier(count)

    def start() -> bool:
      builder = self.builder()
      line.wait()
      return builder.start("python:3.11-slim", "cpu", _ONE)

    with ThreadPoolExecutor(count) as pool:
      started = [pool.submit(start) for _ in range(count)]
      self.assertTrue(all(each.result() for each in started))
    self.assertLen(self.server.builds, 1)
    self.worker.go_on.set()

  def test_two_machines_share_one_build(self) -> None:
    """Who finds a build of the same content running follows that one."""
    self.worker.go_on.clear()
    begun = threading.Event()
    with ThreadPoolExecutor(2) as pool:
      one = pool.submit(
        self.builder().ensure,
        *("python:3.11-slim", "cpu", _ONE),
        lambda step: begun.set(),
      )
      begun.wait()
      other = self.builder(self.new_home())
      two = pool.submit(
        other.ensure,
        *("python:3.11-slim", "cpu", _ONE),
        lambda step: self.worker.go_on.set(),
      )
      self.assertEqual(one.result(), two.result())
    self.assertLen(self.server.builds, 1)

  def test_a_creation_whose_answer_was_lost(self) -> None:
    """It is not begun twice."""
    lost = iter(["lost"])
    self.server.fault = lambda method: (
      next(lost, None) if method == "CreateBuild" else None
    )
    self.worker.go_on.clear()
    self.builder().ensure(
      *("python:3.11-slim", "cpu", _ONE), lambda step: self.worker.go_on.set()
    )
    self.assertLen(self.server.builds, 1)

  def test_a_build_that_ends_just_now(self) -> None:
    """Who has not seen its image yet does not build it again."""
    self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    (name, digest), *_ = self.worker.images.items()
    self.worker.images.clear()

    def end(method: str) -> None:
      if method == "ListBuilds":
        self.worker.images[name] = digest

    self.server.fault = end
    image = self.builder(self.new_home()).ensure(
      "python:3.11-slim", "cpu", _ONE
    )
    self.assertEqual(image, f"{_NAME}@{digest}")
    self.assertLen(self.server.builds, 1)

  def test_it_is_started_and_not_waited_for(self) -> None:
    """`start` returns while the build runs, and begins no second one.

    In one process it asks once.
    """
    self.worker.go_on.clear()
    builder = self.builder()
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertIsNone(builder.find("python:3.11-slim", "cpu", _ONE))
    asked = len(self.server.requests)
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.requests, asked)
    self.assertTrue(self.builder().start("python:3.11-slim", "cpu", _ONE))
    self.worker.go_on.set()
    builder.ensure("python:3.11-slim", "cpu", _ONE)
    self.assertTrue(self.builder().start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.builds, 1)

  def test_what_was_built_and_removed(self) -> None:
    """A process whose build it was builds it once more."""
    builder = self.builder()
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.server.wait()
    found = builder.find("python:3.11-slim", "cpu", _ONE)
    assert found
    self.worker.images.clear()
    builder.forget(found)
    self.assertIsNone(builder.find("python:3.11-slim", "cpu", _ONE))
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.builds, 2)

  def test_what_was_started_and_failed(self) -> None:
    """A process asks after a while, and tells each call from then on."""
    self.worker.fails = 1
    builder = self.builder(again=0)
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.server.wait()
    for _ in range(2):
      self.assertFalse(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.builds, 1)

  def test_a_start_that_fails(self) -> None:
    """It counts as none: the next one tries."""
    builder = self.builder()
    away = (grpc.StatusCode.PERMISSION_DENIED, "no")
    self.server.fault = lambda method: away
    with self.assertRaises(errors.ImageAccessError):
      builder.start("python:3.11-slim", "cpu", _ONE)
    self.server.fault = lambda method: None
    self.assertTrue(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.builds, 1)

  def test_what_failed_is_not_started_again_by_nobody(self) -> None:
    """A day long no call pays for the same failure; who waits tries again."""
    self.worker.fails = 1
    builder = self.builder()
    for _ in range(2):
      with self.assertRaises(errors.ImageBuildError):
        builder.ensure("python:3.11-slim", "cpu", _ONE)
    for _ in range(2):  # Each call is told, in one process too.
      self.assertFalse(builder.start("python:3.11-slim", "cpu", _ONE))
    self.assertLen(self.server.builds, 2)
    for build in self.server.builds:
      old: Any = build
      old.finish_time -= datetime.timedelta(days=2)
    self.assertTrue(self.builder().start("python:3.11-slim", "cpu", _ONE))

  def test_the_repository_is_made(self) -> None:
    """The first call of a project makes it."""
    self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    place = "projects/my-project/locations/us"
    self.assertEqual(
      self.server.repositories, {f"{place}/repositories/keras-remote"}
    )

  def test_a_project_of_a_domain(self) -> None:
    """Its images are in a folder of that domain's."""
    builder = ImageBuilder("example.com:app", "us", self.home)
    self.assertEqual(
      builder.image, "us-docker.pkg.dev/example.com/app/keras-remote/job"
    )

  def test_what_is_shown_meanwhile(self) -> None:
    """Where the build can be seen, and what it prints, without marks."""
    steps: list[Step] = []
    self.builder().ensure("python:3.11-slim", "cpu", _ONE, steps.append)
    told = [step.what for step in steps]
    (build,) = self.builds()
    self.assertEqual(told[0], f"building the image: {build.log_url}")
    self.assertIn("building the image: Resolved 2 packages", told)

  def test_logs_are_where_they_are_wanted(self) -> None:
    """Builds write to the folder that is given, and are read from there."""
    steps: list[Step] = []
    builder = self.builder(logs="gs://jobs/builds")
    builder.ensure("python:3.11-slim", "cpu", _ONE, steps.append)
    self.assertEqual(list(self.logs), ["gs://jobs/builds"])
    self.assertIn(
      "building the image: Resolved 2 packages", [s.what for s in steps]
    )

  def builds(self) -> Any:
    return self.server.builds

  def test_one_a_process(self) -> None:
    """Calls are given the same builder, and so share its builds."""
    with environment(CLOUD_BUILD_EMULATOR_HOST=self.server.address):
      one, other, elsewhere = (
        image_builder("my-project", location, self.home, "gs://logs")
        for location in ("us", "us", "europe")
      )
      self.assertIsNone(one.find("python:3.11-slim", "cpu", _ONE))
    self.assertIs(one, other)
    self.assertIsNot(one, elsewhere)
    self.assertEqual(self.server.requests, ["GetTag"])


class FailuresTest(_Case):
  def test_a_step_that_fails(self) -> None:
    """The error shows the step, its last lines alone, and where the rest is."""
    self.worker.prints = tuple(f"line {i}" for i in range(100))
    self.worker.fails = 1
    with self.assertRaises(errors.ImageBuildError) as caught:
      self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    message = str(caught.exception)
    self.assertIn("its step 'image' failed", message)
    self.assertIn("non-zero status: 1", message)
    self.assertIn("\nline 99\n", message)
    self.assertNotIn("line 10\n", message)
    self.assertNotIn("Step #", message)
    self.assertIn(self.server.builds[0].log_url, message)

  def test_all_that_wait_for_a_build_see_it_fail(self) -> None:
    """One build, the same words for each of them."""
    self.worker.fails = 0
    self.worker.go_on.clear()
    builder = self.builder()

    def go_on(step: Step) -> None:
      if "another call" in step.what:
        self.worker.go_on.set()

    with ThreadPoolExecutor(4) as pool:
      waiting = [
        pool.submit(builder.ensure, "python:3.11-slim", "cpu", _ONE, go_on)
        for _ in range(4)
      ]
      failures = {str(each.exception()) for each in waiting}
    self.assertLen(failures, 1)
    self.assertLen(self.server.builds, 1)

  def test_a_build_that_somebody_cancels(self) -> None:
    """The error says how it ended."""
    self.worker.go_on.clear()

    def cancel(step: Step) -> None:
      self.server.cancel(self.server.builds[0].id)

    with self.assertRaisesRegex(errors.ImageBuildError, "CANCELLED"):
      self.builder().ensure("python:3.11-slim", "cpu", _ONE, cancel)
    self.worker.go_on.set()

  @parameterized.parameters("gs://bucket/builds", None)
  def test_who_builds(self, logs: str | None) -> None:
    """It is the account that is named: this caller may have no other build."""
    self.server.accounts = {_BUILDS}
    with self.assertRaisesRegex(errors.ImageAccessError, "act as.*compute@"):
      self.builder(logs=logs).ensure("python:3.11-slim", "cpu", _ONE)
    builder = self.builder(logs=logs, account=_BUILDS)
    builder.ensure("python:3.11-slim", "cpu", _ONE)
    (build,) = self.server.builds
    account = f"projects/my-project/serviceAccounts/{_BUILDS}"
    self.assertEqual(build.service_account, account)

  def test_a_log_of_cloud_logging(self) -> None:
    """Without a bucket an account's build is told of all the same."""
    self.worker.fails = 1
    builder = self.builder(account=_BUILDS)
    with self.assertRaisesRegex(
      errors.ImageBuildError, "(?s)'image' failed.*only Cloud Logging has it"
    ):
      builder.ensure("python:3.11-slim", "cpu", _ONE)

  def test_a_log_that_cannot_be_read(self) -> None:
    """The error still says which step failed, and why no line is there."""

    class Closed(MemoryStore):
      def read_range(
        self, key: str, start: int, end: int | None = None
      ) -> bytes:
        raise errors.StoreAccessError("you may not read this")

    self.worker.fails = 1

    def open_closed(address: str) -> Closed:
      return Closed()

    builder = self.builder(open_logs=open_closed)
    with self.assertRaisesRegex(
      errors.ImageBuildError, "(?s)'image' failed.*you may not read this"
    ):
      builder.ensure("python:3.11-slim", "cpu", _ONE)

  @parameterized.named_parameters(
    (
      "may_not_look",
      "GetTag",
      (grpc.StatusCode.PERMISSION_DENIED, "Permission 'x' denied"),
      errors.ImageAccessError,
      "--role=roles/artifactregistry.reader",
    ),
    (
      "may_not_build",
      "CreateBuild",
      (grpc.StatusCode.PERMISSION_DENIED, "Permission 'x' denied"),
      errors.ImageAccessError,
      "add-iam-policy-binding my-project .*cloudbuild.builds.editor",
    ),
    (
      "may_not_be_the_account",
      "CreateBuild",
      (
        grpc.StatusCode.PERMISSION_DENIED,
        "caller does not have permission to act as service account "
        "projects/my-project/serviceAccounts/1-compute@x.example.com",
      ),
      errors.ImageAccessError,
      "service-accounts add-iam-policy-binding 1-compute@x.example.com "
      "--project=my-project .*iam.serviceAccountUser",
    ),
    (
      "may_not_make_the_repository",
      "CreateRepository",
      (grpc.StatusCode.PERMISSION_DENIED, "Permission 'x' denied"),
      errors.ImageAccessError,
      "gcloud artifacts repositories create keras-remote .*--location=us",
    ),
    (
      "api_of_builds_is_off",
      "ListBuilds",
      (grpc.StatusCode.PERMISSION_DENIED, "reason: SERVICE_DISABLED"),
      errors.ImageBuildError,
      "gcloud services enable cloudbuild.googleapis.com --project=my-project",
    ),
    (
      "api_of_images_is_off",
      "GetTag",
      (grpc.StatusCode.PERMISSION_DENIED, "reason: SERVICE_DISABLED"),
      errors.ImageBuildError,
      "gcloud services enable artifactregistry.googleapis.com",
    ),
    (
      "quota",
      "CreateBuild",
      (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many builds"),
      errors.ImageBuildError,
      "too many builds.*gcloud builds list --ongoing --project=my-project",
    ),
    (
      "nobody_is_logged_in",
      "GetTag",
      (grpc.StatusCode.UNAUTHENTICATED, "no credentials"),
      errors.ImageAccessError,
      "gcloud auth application-default login",
    ),
    (
      "log_in_has_expired",
      "GetTag",
      (
        grpc.StatusCode.UNAVAILABLE,
        "Getting metadata from plugin failed with error: Reauthentication",
      ),
      errors.ImageAccessError,
      "gcloud auth application-default login",
    ),
    (
      "no_such_project",
      "ListBuilds",
      (grpc.StatusCode.NOT_FOUND, "Requested entity was not found."),
      errors.ImageBuildError,
      "gcloud projects describe my-project",
    ),
    (
      "anything_else",
      "CreateBuild",
      (grpc.StatusCode.FAILED_PRECONDITION, "no builds in this region"),
      errors.ImageBuildError,
      'no builds in this region; image="install"',
    ),
  )
  def test_a_refusal(
    self,
    method: str,
    fault: tuple[grpc.StatusCode, str],
    kind: type[Exception],
    cure: str,
  ) -> None:
    """It is a sentence with the command that mends it."""
    self.server.fault = lambda called: fault if called == method else None
    with self.assertRaisesRegex(errors.ImageBuildError, cure) as caught:
      self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    self.assertIs(type(caught.exception), kind)

  def test_nobody_has_logged_in(self) -> None:
    """It is told as a refusal is, so that a call may go another way."""
    home = self.create_tempdir().full_path
    builder = ImageBuilder("my-project", "us", self.home)
    with (
      environment(HOME=home, NO_GCE_CHECK="true"),
      self.assertRaisesRegex(
        errors.ImageAccessError, "gcloud auth application-default login"
      ),
    ):
      builder.find("python:3.11-slim", "cpu", _ONE)

  def test_a_service_that_is_away_for_a_moment(self) -> None:
    """Requests are made again, at each of the places."""
    failed: set[str] = set()

    def once(method: str) -> tuple[grpc.StatusCode, str] | None:
      first = method not in failed
      failed.add(method)
      away = (grpc.StatusCode.UNAVAILABLE, "away")
      # What makes the repository is not repeated.
      return away if first and method != "CreateRepository" else None

    self.server.fault = once
    self.builder().ensure("python:3.11-slim", "cpu", _ONE)
    self.assertLen(self.server.builds, 1)

  def test_a_service_that_stays_away(self) -> None:
    """It is told after a while, with what was to be done."""
    self.server.fault = lambda method: (grpc.StatusCode.UNAVAILABLE, "away")
    builder = ImageBuilder(
      "my-project", "us", self.home, emulator=self.server.address, patience=0.1
    )
    with self.assertRaisesRegex(errors.ImageBuildError, "did not answer.*away"):
      builder.find("python:3.11-slim", "cpu", _ONE)

  @parameterized.parameters(True, False)
  def test_a_quiet_build(self, first: bool) -> None:
    """Whoever waits for it, or has begun it, can be stopped all the same."""
    self.worker.go_on.clear()
    self.addCleanup(self.worker.go_on.set)
    builder, begun = self.builder(), threading.Event()
    enough = 5

    def stop(step: Step) -> None:
      nonlocal enough
      begun.set()
      enough -= 1
      if not enough:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
      if not first:
        pool.submit(
          builder.ensure, "python:3.11-slim", "cpu", _ONE, lambda _: begun.set()
        )
        begun.wait()
      with self.assertRaises(KeyboardInterrupt):
        builder.ensure("python:3.11-slim", "cpu", _ONE, stop)
      self.worker.go_on.set()

  def test_a_call_that_is_stopped(self) -> None:
    """Its Ctrl-C or cancel is its own: others that waited see an error."""
    stopping = KeyboardInterrupt()
    builder, self.worker.fails = self.builder(), 0
    self.worker.go_on.clear()
    joined = threading.Event()

    def stop(step: Step) -> None:
      joined.wait()
      raise stopping

    def join() -> str:
      return builder.ensure(
        "python:3.11-slim", "cpu", _ONE, lambda step: joined.set()
      )

    with ThreadPoolExecutor(2) as pool:
      first = pool.submit(builder.ensure, "python:3.11-slim", "cpu", _ONE, stop)
      while not self.server.builds:
        pass
      second = pool.submit(join)
      self.assertIs(first.exception(), stopping)
      self.assertIsInstance(second.exception(), errors.ImageBuildError)
    self.worker.go_on.set()


def _environ(step: Any) -> Iterator[tuple[str, str]]:
  for each in step.env:
    name, _, value = each.partition("=")
    yield name, value


if __name__ == "__main__":
  absltest.main()
