"""Whatever `up` was at when it was killed: the next one goes on from there."""

from pathlib import Path

from absl.testing import absltest

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import stack
from keras_remote.cli.infra.engine import Op, Report, Resource
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.program import import_ids
from keras_remote.cli.infra.state import Phase, State
from tests.fakes.gcs_server import gcs_server
from tests.fakes.programs import whole
from tests.fakes.pulumi_engine import Cloud, FakeEngine, place, registered

_CONFIG = InfraConfig(
  "my-project",
  "us-central1-a",
  pools=(NodePool("l4"), NodePool("tpu7x-16")),
  private_nodes=True,
  members=("user:ada@example.com",),
)


def _ignore(told: object) -> None:
  """Nobody looks."""


class ResumeTest(absltest.TestCase):
  """The whole program, on a cloud that is a file."""

  def setUp(self) -> None:
    super().setUp()
    self.enter_context(gcs_server())
    folder = Path(self.create_tempdir().full_path)
    self.cloud = Cloud(folder / "cloud.json")
    self.parts = Parts(
      _CONFIG,
      lambda adopted: whole(_CONFIG, adopted=adopted),
      import_ids(_CONFIG),
      FakeEngine(self.cloud, "stack"),
      State(_CONFIG.project),
    )
    self.report: Report = _ignore

  def killed_at(self, resource: Resource, *, made: bool) -> None:
    """An `up` that dies there; Google has made it all the same, or has not."""
    self.cloud.load()
    self.cloud.dies = resource.name
    self.cloud.save()
    with self.assertRaises(errors.InfraError) as caught:
      self.up()
    self.cloud.load()
    self.assertEqual(self.cloud.dies, "", str(caught.exception))
    if made:
      self.cloud.there[place(resource)] = dict(resource.inputs)
      self.cloud.save()
    self.parts.engine.unlock()

  def up(self) -> None:
    """Makes all that is not there."""
    planned = self.parts.state.record(_CONFIG)
    stack.up(self.parts, self.report, planned=planned)

  def resources(self) -> list[Resource]:
    """What is made, in its order; of services and rights the first few."""
    found = [
      Resource(each.type, each.name, each.inputs)
      for each in registered(whole(_CONFIG))
    ]
    many = [each for each in found if each.name.startswith(("api-", "grant-"))]
    return [each for each in found if each not in many[1:-1]]

  def test_killed_at_each(self) -> None:
    """Each `up` takes up what the last one left, and comes one further."""
    for resource in self.resources():
      self.killed_at(resource, made=True)
    self.up()
    self.assert_all_is_ours()

  def test_killed_before_each(self) -> None:
    """Also where Google had not begun."""
    for resource in self.resources():
      self.killed_at(resource, made=False)
    self.up()
    self.assert_all_is_ours()

  def assert_all_is_ours(self) -> None:
    """All is there, once; nothing counts as somebody else's."""
    record = self.parts.state.record(_CONFIG)
    assert record
    self.assertEqual(record.phase, Phase.READY)
    self.assertEmpty(record.adopted)
    plan = stack.plan(self.parts)
    self.assertEqual({change.op for change in plan}, {Op.SAME})
    stack.down(self.parts, self.report)
    self.cloud.load()
    self.assertEmpty(self.cloud.there)


if __name__ == "__main__":
  absltest.main()
