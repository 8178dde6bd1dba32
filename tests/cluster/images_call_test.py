"""Calls whose image Cloud Build makes, from the first one to a rebuild."""

import contextlib
import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest
from absl.testing import absltest

from keras_remote.images.builder import EMULATOR_VARIABLE
from tests.cluster import harness, layout
from tests.cluster.call_case import CallTest
from tests.cluster.cloud_build import cloud_build
from tests.fakes.cloud_build import CloudBuildServer
from tests.fakes.environment import environment

_DIGITS = Path(__file__).parents[2] / "examples" / "digits.py"
_BUILDS = "builds@project.iam.gserviceaccount.com"
_ACCURATE = r"'accuracy': 0\.9[5-9]"


class ImagesCallTest(CallTest):
  # Two cores build, and compile what is installed.
  seconds = 400.0

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
    cls.server.accounts = {_BUILDS}

  def setUp(self) -> None:
    super().setUp()
    del self.environ["KERAS_REMOTE_CONTAINER_IMAGE"]
    self.environ |= {
      EMULATOR_VARIABLE: self.server.address,
      "KERAS_REMOTE_BUILD_SERVICE_ACCOUNT": _BUILDS,
      "KERAS_REMOTE_BASE_IMAGE": self.cluster.python_image,
      # No test finds what another run has built.
      "KERAS_REMOTE_PROJECT": f"test-{uuid.uuid4().hex[:8]}",
      "KERAS_REMOTE_ZONE": f"{layout.LOCATION}-central1-a",
    }

  @property
  def builds(self) -> list[Any]:
    return self.server.builds

  def digits(self, *more: str) -> str:
    """What the example prints, on the cluster; it has learnt."""
    printed, said = self.ran(
      f"""
      import sys
      sys.path.insert(0, {str(_DIGITS.parent)!r})
      import digits

      there = digits.train.options(
        accelerator="cpu",
        backend="gke",
        dependencies={["scikit-learn", *more]!r},
      )
      print(there())
      """,
    )
    self.assertRegex(printed, _ACCURATE)
    return printed + said

  @pytest.mark.timeout(1500)
  def test_digits(self) -> None:
    """The accuracy comes back, and each image is built once.

    The first call installs while its image is built; the next one, of a
    colleague too, finds that and installs nothing. With another requirement
    a call that wants to waits for the image, whose stack is there already.
    """
    first = self.digits()
    self.assertIn("installing", first)
    self.server.wait()
    self.assertLen(self.builds, 1)

    self.environ["KERAS_REMOTE_HOME"] = str(self.folder / "colleague")
    second = self.digits()
    self.assertNotIn("installing", second)
    self.server.wait()
    self.assertLen(self.builds, 1)

    self.environ["KERAS_REMOTE_IMAGE"] = "build"
    third = self.digits("toml")
    self.assertNotIn("installing", third)
    self.assertLen(self.builds, 2)
    bases = {step["BASE"] for step in map(_environ, self.builds)}
    self.assertLen(bases, 1)


def _environ(build: Any) -> dict[str, str]:
  """The variables of what is built on the stack."""
  return dict(each.split("=", 1) for each in build.steps[1].env)


if __name__ == "__main__":
  absltest.main()
