"""Somebody else's cluster and bucket stay theirs, whatever is typed when."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import stack
from keras_remote.cli.infra.engine import (
  Change,
  EngineError,
  Op,
  Program,
  Report,
  Resource,
  StoppedError,
)
from keras_remote.cli.infra.kinds import (
  BUCKET,
  CLUSTER,
  JOBS,
  REPOSITORY,
)
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.program import import_ids
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.storage.buckets import make_bucket
from tests.fakes.gcs_server import gcs_server, taken
from tests.fakes.programs import whole
from tests.fakes.pulumi_engine import Cloud, FakeEngine

_CONFIG = InfraConfig("my-project", "us-central1-a", pools=(NodePool("l4"),))
_BUCKET = f"{BUCKET}//{_CONFIG.bucket}"
_CLUSTER = f"{CLUSTER}//{_CONFIG.cluster}"
_REPOSITORY = f"{REPOSITORY}//{_CONFIG.repository}"


def _ignore(told: object) -> None:
  """Nobody looks."""


class AdoptingTest(parameterized.TestCase):
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

  def parts(self) -> Parts:
    return Parts(
      _CONFIG,
      lambda adopted: whole(_CONFIG, adopted=adopted),
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

  def test_members_of_an_adopted_cluster(self) -> None:
    """They are taken out of it, again where that failed; of ours, never."""
    self.theirs()
    self.up(adopt=True)
    left: list[Report] = []

    def fail(report: Report) -> None:
      raise errors.ClusterError("it does not answer")

    with self.assertRaises(errors.ClusterError):
      stack.down(dataclasses.replace(self.parts(), leave=fail), _ignore)
    self.assertIn("cluster", self.adopted())
    parts = dataclasses.replace(self.parts(), leave=left.append)
    stack.down(parts, _ignore)
    self.assertLen(left, 1)
    self.assertIsNone(self.record())
    self.cloud.load()
    self.cloud.there.clear()
    self.cloud.save()
    self.up()
    stack.down(parts, _ignore)
    self.assertLen(left, 1)

  def test_adopted_and_kept(self) -> None:
    """`--keep-data` remembers that a bucket is not ours."""
    self.theirs(cluster=False)
    self.up(adopt=True)
    self.assertCountEqual(self.down(keep_data=True), [BUCKET, REPOSITORY])
    self.assertEqual(self.adopted(), {"bucket"})
    self.assertEqual(self.up()["bucket"], Op.ADOPT)
    self.assertEqual(self.adopted(), {"bucket"})
    self.assertEqual(self.down(), [BUCKET])
    self.assertEqual(self.there(), {_BUCKET})

  def test_repository_that_was_kept(self) -> None:
    """The same of images, which another one may use later."""
    self.cloud.add(
      REPOSITORY,
      repositoryId=_CONFIG.repository,
      location=_CONFIG.repository_location,
    )
    self.up()
    self.down(keep_data=True)
    self.up()
    self.assertEqual(self.adopted(), {"repository"})
    self.assertEqual(self.down(), [REPOSITORY])

  def test_kept_and_made_anew(self) -> None:
    """Somebody's bucket that they removed meanwhile is ours when we make it."""
    self.theirs(cluster=False)
    self.up(adopt=True)
    self.down(keep_data=True)
    self.cloud.load()
    del self.cloud.there[_BUCKET]
    self.cloud.save()
    self.assertEqual(self.up()["bucket"], Op.CREATE)
    self.assertEmpty(self.adopted())
    self.assertEmpty(self.down())
    self.assertEmpty(self.there())

  def test_bucket_of_another_project(self) -> None:
    """It is never taken over, whatever is written on it, and stays."""
    make_bucket(_CONFIG.bucket, project="any", location="us", labels={})
    self.cloud.add(BUCKET, name=_CONFIG.bucket, labels=dict(_CONFIG.labels))
    with taken(_CONFIG.bucket):
      with self.assertRaisesRegex(errors.StoreAccessError, "none of project"):
        self.up(adopt=True)
      # Nor where an earlier one was just making it.
      self.cloud.load()
      pending = Resource(BUCKET, JOBS, {"name": _CONFIG.bucket})
      self.change(pending={"stack": {pending.key: dataclasses.asdict(pending)}})
      with self.assertRaisesRegex(errors.StoreAccessError, "none of project"):
        self.up()
      self.down()
    self.assertEqual(self.there(), {_BUCKET})

  def test_preview_that_fails(self) -> None:
    """What was just taken over is left alone again."""
    self.theirs(bucket=False)
    self.engine = _Failing(self.cloud, "preview")
    with self.assertRaises(errors.InfraError):
      self.up(adopt=True)
    self.assertEmpty(self.adopted())
    self.down()
    self.assertEqual(self.there(), {_CLUSTER})

  def test_killed_when_it_is_adopted(self) -> None:
    """`down` leaves it, as it is known before it is in the stack."""
    self.theirs(bucket=False)
    self.engine = _Failing(self.cloud, "forget", "preview")
    with self.assertRaises(errors.InfraError):
      self.up(adopt=True)
    self.engine = FakeEngine(self.cloud)
    self.assertEqual(self.adopted(), {"cluster"})
    self.assertEqual(self.down(), [CLUSTER])
    self.assertEqual(self.there(), {_CLUSTER})

  def test_killed_before_it_is_adopted(self) -> None:
    """What was asked for once is taken over by the next one."""
    self.theirs(bucket=False)
    self.engine = _Failing(self.cloud, "adopt", "forget")
    with self.assertRaises(errors.InfraError):
      self.up(adopt=True)
    self.engine = FakeEngine(self.cloud)
    self.assertEqual(self.up()["cluster"], Op.ADOPT)
    self.assertEqual(self.adopted(), {"cluster"})
    self.assertEqual(self.down(), [CLUSTER])
    self.assertEqual(self.there(), {_CLUSTER})

  def killed_at(self, name: str) -> None:
    """An `up` that dies when it is about to make that."""
    self.change(dies=name)
    with self.assertRaises(errors.InfraError):
      self.up()
    self.cloud.load()
    self.assertEqual(self.cloud.dies, "")
    self.engine.unlock()

  @parameterized.parameters(("bucket", _BUCKET), ("cluster", _CLUSTER))
  def test_killed_at_what_is_theirs(self, name: str, place: str) -> None:
    """What was to be made, and is somebody's, is not taken for ours."""
    self.theirs(cluster=name == "cluster", bucket=name == "bucket")
    self.killed_at(name)
    with self.assertRaisesRegex(errors.InfraError, "--adopt"):
      self.up()
    self.killed_at(name)
    self.assertEmpty(self.down())
    self.assertEqual(self.there(), {place})
    self.killed_at(name)
    self.up(adopt=True)
    self.assertEqual(self.adopted(), {name})
    self.assertLen(self.down(), 1)
    self.assertEqual(self.there(), {place})

  def test_interrupted_while_it_resumes(self) -> None:
    """It ends there, and does not go on to make things."""
    self.killed_at("bucket")
    self.engine = _Stopped(self.cloud)
    before = self.there()
    with self.assertRaisesRegex(errors.InfraError, "it was interrupted"):
      self.up()
    self.assertEqual(self.there(), before)

  def down_half_way(self, *, keep_data: bool) -> None:
    """A `down` after which the cluster alone is there."""
    self.change(faults={_CONFIG.cluster: "Error 403: forbidden"})
    with self.assertRaises(errors.InfraError):
      self.down(keep_data=keep_data)
    self.change(faults={})

  @parameterized.parameters(False, True)
  def test_kept_half_way(self, keep_data: bool) -> None:
    """What has been kept is said to be, whatever the next `down` is to do."""
    self.up()
    # It goes after them then.
    self.cloud.load()
    made = self.cloud.stacks["stack"]
    for key in [key for key in made if key.startswith((BUCKET, REPOSITORY))]:
      made[key] = made.pop(key)
    self.cloud.save()
    self.down_half_way(keep_data=True)
    self.assertNoCommonElements(
      [each.kind for each in self.engine.resources()], [BUCKET, REPOSITORY]
    )
    self.assertCountEqual(self.down(keep_data=keep_data), [BUCKET, REPOSITORY])
    record = self.record()
    assert record
    self.assertEqual(record.phase, Phase.KEPT)
    self.up()
    self.assertEmpty(self.adopted())
    self.assertEmpty(self.down())
    self.assertEmpty(self.there())

  def test_kept_and_failed_early(self) -> None:
    """The next `up` still knows what it may take over."""
    self.up()
    self.down(keep_data=True)
    self.change(faults={"container.googleapis.com": "BILLING_DISABLED"})
    with self.assertRaisesRegex(errors.InfraError, "billing"):
      self.up()
    self.change(faults={})
    self.assertEqual(self.up()["bucket"], Op.ADOPT)
    self.assertEmpty(self.down())
    self.assertEmpty(self.there())


class _Failing(FakeEngine):
  """Fails at these, as where it is interrupted or killed there."""

  def __init__(self, cloud: Cloud, *fails: str) -> None:
    super().__init__(cloud)
    self._fails = fails

  def preview(self, program: Program) -> tuple[Change, ...]:
    self._fail("preview")
    return super().preview(program)

  def adopt(self, resource: Resource, identity: str, report: Report) -> None:
    self._fail("adopt")
    super().adopt(resource, identity, report)

  def forget(self, keys: Collection[str]) -> None:
    self._fail("forget")
    super().forget(keys)

  def _fail(self, what: str) -> None:
    if what in self._fails:
      raise EngineError("code: -9")


class _Stopped(FakeEngine):
  """Is interrupted when it takes something over."""

  def adopt(self, resource: Resource, identity: str, report: Report) -> None:
    raise StoppedError("error: update canceled")


if __name__ == "__main__":
  absltest.main()
