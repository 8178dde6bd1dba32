import contextlib
from collections.abc import Mapping
from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.core.context import JobContext
from keras_remote.core.ready import ready_context, telling
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.http_proxy import HttpProxy

_BUCKET = "keras-remote-test"


def _caused(error: Exception, cause: Exception) -> Exception:
  error.__cause__ = cause
  return error


class ReadyTest(absltest.TestCase):
  """A bucket behind a proxy, which tells what is asked of it."""

  def setUp(self) -> None:
    super().setUp()
    folder = Path(self.create_tempdir().full_path)
    (folder / "pyproject.toml").touch()
    server = self.enter_context(gcs_server(_BUCKET))
    self.proxy = self.enter_context(HttpProxy(server))
    self.enter_context(
      environment(
        KERAS_REMOTE_HOME=str(folder / "home"),
        STORAGE_EMULATOR_HOST=self.proxy.url,
      )
    )
    self.arguments: Mapping[str, object] = {
      "working_dir": folder,
      "store": f"gs://{_BUCKET}",
    }

  def ready(self, **changed: object) -> JobContext:
    return ready_context({**self.arguments, **changed}, None)

  def test_a_warm_call(self) -> None:
    """What a place takes is looked at once a day, however many calls."""
    self.ready()
    self.assertNotEmpty(self.proxy.requests)
    self.proxy.requests.clear()
    context = self.ready()
    self.assertEmpty(self.proxy.requests)
    self.assertEqual(context.store.uri, f"gs://{_BUCKET}")

  def test_a_local_call(self) -> None:
    """Nothing is looked at, nor noted: what it takes is here."""
    context = self.ready(store=None)
    self.assertFalse((context.home.cache / "ready").exists())

  def test_another_place(self) -> None:
    """It is looked at for itself."""
    self.ready()
    with self.assertRaisesRegex(errors.StoreError, "buckets create"):
      self.ready(store="gs://no-such-bucket")

  def test_what_is_missing_is_looked_at_again(self) -> None:
    """A place is not ready before it once was."""
    for _ in range(2):
      with self.assertRaises(errors.StoreError):
        self.ready(store="gs://no-such-bucket")
      self.proxy.requests.clear()

  def test_after_a_failure(self) -> None:
    """The next call looks at everything again, whatever has failed."""
    context = self.ready()
    for error in (
      errors.StoreError("it failed"),
      errors.ClusterError("it failed"),
      errors.CredentialsError("it failed"),
      _caused(errors.SubmitError("it failed"), errors.ClusterError("full")),
    ):
      with self.assertRaises(type(error)) as caught, telling(context):
        raise error
      # All is well by now: there is nothing to add.
      self.assertIs(caught.exception, error)
      self.assertFalse(hasattr(error, "__notes__"))
      self.proxy.requests.clear()
      self.ready()
      self.assertNotEmpty(self.proxy.requests)

  def test_after_another_failure(self) -> None:
    """What says nothing of the place costs nothing."""
    context = self.ready()
    self.proxy.requests.clear()
    for error in (
      errors.PackagingError("too large"),
      errors.SubmitError("it was cancelled before it started"),
    ):
      with contextlib.suppress(type(error)), telling(context):
        raise error
    self.ready()
    self.assertEmpty(self.proxy.requests)


if __name__ == "__main__":
  absltest.main()
