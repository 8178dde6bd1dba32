"""Jobs that install what they need, on the cluster's plain Python image."""

from pathlib import Path

import pytest
from absl.testing import absltest

from keras_remote.job import layout
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests.cluster.call_case import CallTest
from tests.cluster.namespace import REQUEST_SECONDS
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, HttpProxy, Request

_DIGITS = Path(__file__).parents[2] / "examples" / "digits.py"
_FOUND = "its environment is an earlier job's"
_ACCURATE = r"'accuracy': 0\.9[5-9]"


class InstallTest(CallTest):
  # Two cores compile all that is installed.
  seconds = 500.0

  def setUp(self) -> None:
    super().setUp()
    self.enter_context(environment(**self.cluster.environ))
    del self.environ["KERAS_REMOTE_CONTAINER_IMAGE"]
    self.environ |= {
      "KERAS_REMOTE_IMAGE": "install",
      "KERAS_REMOTE_BASE_IMAGE": self.cluster.python_image,
      "LOGNAME": "ada",
    }

  def store(self) -> Store:
    return open_store(self.environ["KERAS_REMOTE_STORE"])

  def kept(self) -> list[str]:
    """The environments in the store."""
    return [entry.key for entry in self.store().list(layout.ENVIRONMENTS)]

  def digits(self) -> str:
    """What the example prints, on the cluster; it has learnt."""
    printed, _ = self.ran(
      f"""
      import sys
      sys.path.insert(0, {str(_DIGITS.parent)!r})
      import digits

      there = digits.train.options(
        accelerator="cpu", backend="gke", dependencies=["scikit-learn"]
      )
      print(there())
      """
    )
    self.assertRegex(printed, _ACCURATE)
    return printed

  def small(self, **given: str) -> str:
    """What a job prints that has less to install: no jax.

    Args:
      given: variables of the job.
    """
    printed, _ = self.ran(
      f"""
      import keras_remote

      @keras_remote.run(dependencies=[], env={given})
      def train():
        import numpy
        return numpy.arange(4).sum()

      print("sum", train())
      """,
      KERAS_BACKEND="numpy",
    )
    self.assertIn("sum 6", printed)
    return printed

  @pytest.mark.timeout(1200)
  def test_digits(self) -> None:
    """The accuracy comes back; what one job has installed the next one has."""
    first = self.digits()
    self.assertIn("installing", first)
    self.assertLen(self.kept(), 1)
    second = self.digits()
    self.assertIn(_FOUND, second)
    self.assertNotIn("installing", second)

  @pytest.mark.timeout(600)
  def test_where_nobody_is_root(self) -> None:
    """It installs where it may write."""
    name = "pod-security.kubernetes.io/enforce"
    self.core.patch_namespace(
      self.namespace,
      {"metadata": {"labels": {name: "restricted"}}},
      _request_timeout=REQUEST_SECONDS,
    )
    self.assertIn("installing", self.small())
    self.assertLen(self.kept(), 1)

  @pytest.mark.timeout(1200)
  def test_whose_it_is(self) -> None:
    """Another user's job has it not, and cannot give it to this one's."""
    self.assertIn("installing", self.small())
    (ours,) = self.kept()
    self.environ["LOGNAME"] = "bob"
    self.assertIn("installing", self.small())
    (theirs,) = set(self.kept()) - {ours}
    self.store().write(ours, self.store().read(theirs))
    self.environ["LOGNAME"] = "ada"
    third = self.small()
    self.assertIn("nothing of it was used", third)
    self.assertIn("installing", third)
    self.assertIn(_FOUND, self.small())

  @pytest.mark.timeout(600)
  def test_from_where_it_is(self) -> None:
    """What was installed from another place is another environment."""
    self.assertIn("installing", self.small())
    self.assertIn("installing", self.small(UV_INDEX_STRATEGY="first-index"))
    self.assertLen(self.kept(), 2)
    self.assertIn(_FOUND, self.small(UV_INDEX_STRATEGY="first-index"))

  @pytest.mark.timeout(1200)
  def test_a_store_that_takes_its_client(self) -> None:
    """That is installed first, and finds what an earlier job has left."""
    if self.cluster.gcs is None:
      self.skipTest("nothing stands between pods and the bucket")
    self.small()

    def fault(request: Request) -> Fault | None:
      path = request.path
      plain = path.startswith("/storage/v1/b/") and "alt=media" in path
      return Fault(401) if plain and "environments" in path else None

    with HttpProxy(self.cluster.gcs, host=self.cluster.dns or "") as proxy:
      proxy.fault = fault
      self.environ["STORAGE_EMULATOR_HOST"] = proxy.url
      printed = self.small()
    self.assertIn(_FOUND, printed)
    self.assertTrue([r for r in proxy.requests if fault(r)])

  @pytest.mark.timeout(600)
  def test_a_requirement_that_does_not_exist(self) -> None:
    """The call raises it with uv's words; the log has them too."""
    printed, said = self.ran(
      """
      import keras_remote

      @keras_remote.run(dependencies=["keras-remote-has-no-such-package"])
      def train():
        return 1

      try:
        train()
      except keras_remote.ImageBuildError as error:
        print("raised", error)
      """
    )
    raised = printed[printed.index("raised") :]
    self.assertIn("keras-remote-has-no-such-package", raised)
    self.assertIn("installing", printed)
    self.assertIn("FAILED", said)
    self.assertEmpty(self.kept())


if __name__ == "__main__":
  absltest.main()
