"""Images are really built, by a Cloud Build that runs its steps here."""

import contextlib
import http.client
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from absl.testing import absltest

from keras_remote import errors
from keras_remote.home import Home
from keras_remote.images.builder import ImageBuilder
from keras_remote.images.recipe import runner_dockerfile
from keras_remote.images.requirements import Requirements
from keras_remote.progress import Step
from tests.cluster import harness, layout
from tests.cluster.cloud_build import cloud_build
from tests.cluster.namespace import NamespaceTest
from tests.fakes.cloud_build import CloudBuildServer
from tests.fakes.environment import environment

# Small ones, in place of jax and keras.
_STACK = ("iniconfig==2.0.0",)
_IMPORT = """
import google.cloud.storage, importlib.util, os, pathlib, py_compile, sys
assert sys.version_info[:2] == (3, 11)
for name in sys.argv[1:]:
  spec = importlib.util.find_spec(name)
  assert pathlib.Path(spec.cached).exists(), spec.cached
print("uid", os.getuid(), os.path.expanduser("~"))
"""


class ImagesBuildTest(NamespaceTest):
  server: ClassVar[CloudBuildServer]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cluster = harness.cluster()
    if not cluster.here:
      raise absltest.SkipTest("another cluster's registry is named")
    stack = contextlib.ExitStack()
    cls.addClassCleanup(stack.close)
    stack.enter_context(environment(**cluster.environ))
    cls.server = stack.enter_context(cloud_build())

  def setUp(self) -> None:
    super().setUp()
    self.base = self.cluster.python_image
    # No test finds what another one, or another run, has built.
    self.project = f"test-{uuid.uuid4().hex[:8]}"
    self.before = len(self.server.builds)

  def builder(self, **options: Any) -> ImageBuilder:
    """As on a machine where nobody has built anything."""
    home = Home(Path(self.create_tempdir().full_path))
    logs = f"{self.cluster.bucket}/builds"
    return ImageBuilder(
      *(self.project, layout.LOCATION, home),
      logs=logs,
      emulator=self.server.address,
      look=0.2,
      **options,
    )

  @property
  def builds(self) -> list[Any]:
    """Those of this test."""
    return self.server.builds[self.before :]

  @pytest.mark.timeout(600)
  def test_an_image(self) -> None:
    """It is built, runs in a pod as anybody, and nobody builds it again.

    With one more requirement only that is installed: the stack's layer is
    the same one, also for a colleague.
    """
    one = Requirements(_STACK, ("six==1.17.0",))
    steps: list[Step] = []
    builder = self.builder()
    image = builder.ensure(self.base, "cpu", one, steps.append)
    self.assertEqual(builder.ensure(self.base, "cpu", one), image)
    self.assertEqual(self.builder().ensure(self.base, "cpu", one), image)
    self.assertLen(self.builds, 1)
    told = "\n".join(step.what for step in steps)
    self.assertIn("+ iniconfig==2.0.0", told)
    self.assertIn("+ six==1.17.0", told)
    for user in (0, 1000, 4321):
      pod = self.create_pod(
        *("python3", "-c", _IMPORT, "iniconfig", "six", "google.cloud.storage"),
        name=f"user-{user}",
        image=image,
        securityContext={"runAsUser": user},
      )
      self.assertIn(f"uid {user}", self.output(pod))

    more = Requirements(_STACK, ("six==1.17.0", "toml==0.10.2"))
    steps.clear()
    colleague = self.builder()
    changed = colleague.ensure(self.base, "cpu", more, steps.append)
    told = "\n".join(step.what for step in steps)
    self.assertIn("there already:", told)
    self.assertNotIn("iniconfig", told)
    self.assertIn("+ toml==0.10.2", told)
    self.assertLen(self.builds, 2)
    first, second = self.layers(image), self.layers(changed)
    # What the two differ in is what the last step made.
    self.assertEqual(first[:-1], second[:-1])
    self.assertNotEqual(first[-1], second[-1])

  @pytest.mark.timeout(600)
  def test_two_clients_at_once(self) -> None:
    """They share one build, whose log both see."""
    wanted = Requirements(_STACK, ())
    told: dict[int, list[str]] = {0: [], 1: []}
    begun = threading.Event()

    def ensure(number: int) -> str:
      def report(step: Step) -> None:
        told[number].append(step.what)
        begun.set()

      if number:  # It finds the other one's build running.
        begun.wait()
      try:
        return self.builder().ensure(self.base, "cpu", wanted, report)
      finally:
        begun.set()

    with ThreadPoolExecutor(2) as pool:
      one, other = pool.map(ensure, (0, 1))
    self.assertEqual(one, other)
    self.assertLen(self.builds, 1)
    for lines in told.values():
      self.assertIn("+ iniconfig==2.0.0", "\n".join(lines))

  @pytest.mark.timeout(600)
  def test_a_requirement_that_does_not_exist(self) -> None:
    """The error has uv's words; the stack stays for who mends it."""
    absent = "keras-remote-no-such-package"
    with self.assertRaises(errors.ImageBuildError) as caught:
      self.builder().ensure(self.base, "cpu", Requirements(_STACK, (absent,)))
    # uv breaks its lines where a terminal would.
    said = " ".join(str(caught.exception).replace("│", "").split())
    self.assertIn("its step 'image' failed", said)
    self.assertIn(f"{absent} was not found", said)
    self.assertIn("requirements are unsatisfiable", said)
    mended = Requirements(_STACK, ())
    steps: list[Step] = []
    self.builder().ensure(self.base, "cpu", mended, steps.append)
    told = "\n".join(step.what for step in steps)
    self.assertIn("there already:", told)

  def test_a_dockerfile_that_fails(self) -> None:
    """The error shows the line that failed, and what it printed."""
    broken = runner_dockerfile() + "RUN echo 'no such thing' && exit 3\n"
    with self.assertRaises(errors.ImageBuildError) as caught:
      self.builder(dockerfile=broken).ensure(
        self.base, "cpu", Requirements(_STACK, ())
      )
    said = str(caught.exception)
    self.assertIn("its step 'stack' failed", said)
    self.assertIn("\nno such thing\n", said)
    self.assertIn("exit status 3", said)

  def test_a_base_that_tells_pip_where_packages_are(self) -> None:
    """Nothing comes from another place, as where a job installs in it."""
    told = (
      "ENV PIP_EXTRA_INDEX_URL=http://127.0.0.1:9/simple PIP_RETRIES=0 "
      "UV_INDEX= UV_HTTP_RETRIES=0\n"
    )
    dockerfile = runner_dockerfile().replace(
      "USER root\n", f"{told}USER root\n"
    )
    with self.assertRaises(errors.ImageBuildError) as caught:
      self.builder(dockerfile=dockerfile).ensure(
        self.base, "cpu", Requirements(_STACK, ())
      )
    # Which of the packages comes first is uv's.
    self.assertIn(
      "Failed to fetch: http://127.0.0.1:9/simple/", str(caught.exception)
    )

  def test_a_base_that_does_not_exist(self) -> None:
    """The error names it."""
    base = f"{self.cluster.registry}/no-such-base:1"
    with self.assertRaisesRegex(errors.ImageBuildError, "no-such-base"):
      self.builder().ensure(base, "cpu", Requirements(_STACK, ()))

  def layers(self, image: str) -> list[str]:
    """The digests of the image's layers."""
    _, _, path = image.partition("/")
    name, _, digest = path.partition("@")
    connection = http.client.HTTPConnection(layout.REGISTRY, timeout=10)
    with contextlib.closing(connection):
      kinds = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
      target = f"/v2/{name}/manifests/{digest}"
      connection.request("GET", target, headers=kinds)
      manifest = json.loads(connection.getresponse().read())
    return [layer["digest"] for layer in manifest["layers"]]


if __name__ == "__main__":
  absltest.main()
