"""What is known of a project's clusters, in a real emulator of buckets."""

import contextlib
import datetime
from collections.abc import Generator

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.state import Phase, State
from keras_remote.packaging.provenance import who
from keras_remote.storage.buckets import make_bucket
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server, taken
from tests.fakes.http_proxy import Fault, HttpProxy

_CONFIG = InfraConfig(
  "my-project",
  "us-central1-a",
  pools=(NodePool("v5e-8"),),
  quota=(("requests.cpu", "8"),),
  members=("user:ada@example.com",),
)
_NO_BILLING = (
  b'{"error": {"code": 403, "message": "The billing account for the owning '
  b'project is disabled in state absent"}}'
)
_OTHER = InfraConfig("my-project", "us-east1-b", cluster="another")


class StateTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.server = self.enter_context(gcs_server())
    self.state = State("my-project")

  def save(self, config: InfraConfig, phase: Phase) -> None:
    """Notes it in place of what is there."""
    new = self.state.written(config, phase, {}, ())
    self.assertTrue(self.state.exchange(self.state.record(config), new))

  def test_nothing_yet(self) -> None:
    """Without its bucket a project has no clusters, and that is no error."""
    self.assertFalse(self.state.exists())
    self.assertEqual(self.state.records(), [])
    self.assertIsNone(self.state.record(_CONFIG))

  def test_bucket(self) -> None:
    """It is made once."""
    self.assertTrue(self.state.make("us-central1"))
    self.assertFalse(self.state.make("us-central1"))
    self.assertTrue(self.state.exists())
    self.assertEqual(self.state.records(), [])

  def test_records(self) -> None:
    """What is saved is found by its name and location, with who and when."""
    self.state.make("us-central1")
    self.save(_CONFIG, Phase.UPDATING)
    self.save(_OTHER, Phase.READY)
    self.save(_CONFIG, Phase.READY)
    record = self.state.record(_CONFIG)
    assert record
    self.assertEqual(record.config, _CONFIG)
    self.assertEqual(record.phase, Phase.READY)
    self.assertEqual(record.who, who())
    when = datetime.datetime.fromisoformat(record.when)
    self.assertEqual(when.tzinfo, datetime.UTC)
    configs = [each.config for each in self.state.records()]
    self.assertEqual(configs, [_OTHER, _CONFIG])

  def test_removed(self) -> None:
    """What is removed is known no more; removed again, that is no error."""
    self.state.make("us-central1")
    self.save(_CONFIG, Phase.READY)
    self.state.remove(_CONFIG)
    self.assertIsNone(self.state.record(_CONFIG))
    self.state.remove(_CONFIG)

  def test_no_bucket_to_save_to(self) -> None:
    """What cannot be kept is an error that names the bucket."""
    with self.assertRaisesRegex(
      errors.BucketNotFoundError, "my-project-keras-remote-state"
    ):
      self.save(_CONFIG, Phase.READY)

  @parameterized.parameters(
    (Fault(403, body=_NO_BILLING), errors.StoreAccessError, "billing account"),
    (Fault(401), errors.StoreAccessError, "application-default login"),
    (Fault(400), errors.StoreError, "gs://some-state cannot be made"),
  )
  def test_bucket_that_cannot_be_made(
    self, fault: Fault, expected: type[errors.StoreError], told: str
  ) -> None:
    """It is an error of ours, with what Google says."""
    with self._proxied() as proxy:
      proxy.fault = lambda request: fault
      with self.assertRaisesRegex(expected, told):
        make_bucket("some-state", project="p", location="us", labels={})

  def test_bucket_of_somebody_else(self) -> None:
    """A name that another project has taken is said to be that."""
    self.state.make("us-central1")
    with self._proxied() as proxy:
      proxy.fault = lambda request: (
        Fault(403) if request.method == "GET" else None
      )
      with self.assertRaisesRegex(
        errors.StoreAccessError, "another project has taken the name"
      ):
        self.state.make("us-central1")

  def test_bucket_of_another_project(self) -> None:
    """Who took the name first is not believed, though all may read it."""
    self.state.make("us-central1")
    with taken("my-project-keras-remote-state"):
      for call in (
        self.state.exists,
        lambda: self.state.make("us-central1"),
      ):
        with self.assertRaisesRegex(
          errors.StoreAccessError, "none of project my-project: another"
        ):
          call()

  def test_cluster_of_another_project(self) -> None:
    """A record that leads elsewhere is not believed either."""
    self.state.make("us-central1")
    self.save(InfraConfig("their-project", "us-central1-a"), Phase.READY)
    for call in (self.state.records, lambda: self.state.record(_CONFIG)):
      with self.assertRaisesRegex(
        errors.StoreAccessError, "of project their-project, not of my-project"
      ):
        call()

  @contextlib.contextmanager
  def _proxied(self) -> Generator[HttpProxy]:
    with (
      HttpProxy(self.server) as proxy,
      environment(STORAGE_EMULATOR_HOST=proxy.url),
    ):
      yield proxy


if __name__ == "__main__":
  absltest.main()
