"""Somebody else's cluster and bucket stay theirs, whatever is typed when."""

from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import stack
from keras_remote.cli.infra.engine import Op
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER, REPOSITORY
from keras_remote.cli.infra.program import import_ids, program
from keras_remote.cli.infra.state import Phase, Record, State
from tests.fakes.gcs_server import gcs_server
from tests.fakes.pulumi_engine import Cloud, FakeEngine

_CONFIG = InfraConfig("my-project", "us-central1-a", pools=(NodePool("l4"),))
_BUCKET = f"{BUCKET}//{_CONFIG.bucket}"
_CLUSTER = f"{CLUSTER}//{_CONFIG.cluster}"
_REPOSITORY = f"{REPOSITORY}//{_CONFIG.repository}"


def _ignore(told: object) -> None:
  """Nobody looks."""


class AdoptingTest(absltest.TestCase):
  """The whole program, on a cloud that is a file."""

  def setUp(self) -> None:
    super().setUp()
    self.enter_context(gcs_server())
    self.cloud = Cloud(Path(self.create_tempdir().full_path, "cloud.json"))
    self.engine = FakeEngine(self.cloud)

  def theirs(self, *, cluster: bool = True, bucket: bool = True) -> None:
    """What somebody has made by hand."""
    if cluster:
      self.cloud.add(
        CLUSTER,
        name=_CONFIG.cluster,
        location=_CONFIG.location,
        network="theirs",
      )
    if bucket:
      self.cloud.add(BUCKET, name=_CONFIG.bucket)

  def parts(self) -> stack.Parts:
    return stack.Parts(
      _CONFIG,
      lambda adopted: program(_CONFIG, adopted=adopted),
      import_ids(_CONFIG),
      self.engine,
      State(_CONFIG.project),
    )

  def up(self, **how: bool) -> dict[str, Op]:
    """Makes all; what happened to each resource, by its name."""
    made = stack.up(self.parts(), _ignore, planned=self.record(), **how)
    return {change.resource.name: change.op for change in made}

  def down(self, *, keep_data: bool = False) -> list[str]:
    """Removes all; the kinds of what is kept."""
    removed = stack.down(self.parts(), _ignore, keep_data=keep_data)
    return [resource.kind for resource in removed.kept]

  def record(self) -> Record | None:
    return State(_CONFIG.project).record(_CONFIG)

  def adopted(self) -> set[str]:
    """The names of what is known to be somebody else's."""
    record = self.record()
    return set(record.adopted) if record else set()

  def change(self, **fields: object) -> None:
    """Lets the cloud be otherwise."""
    self.cloud.load()
    vars(self.cloud).update(fields)
    self.cloud.save()

  def there(self) -> set[str]:
    """Where the cloud has something."""
    self.cloud.load()
    return set(self.cloud.there)

  def test_adopted_twice(self) -> None:
    """What was adopted once is not taken for ours the next time."""
    self.theirs()
    self.up(adopt=True)
    self.assertEqual(self.adopted(), {"bucket", "cluster"})
    self.down()
    self.up(adopt=True)
    self.assertEqual(self.adopted(), {"bucket", "cluster"})
    self.assertCountEqual(self.down(), [BUCKET, CLUSTER])
    self.assertEqual(self.there(), {_BUCKET, _CLUSTER})


if __name__ == "__main__":
  absltest.main()
