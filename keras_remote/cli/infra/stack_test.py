"""What `up` and `down` do, on an engine whose cloud is a file."""

import dataclasses
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest

from keras_remote import errors
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import losses, stack
from keras_remote.cli.infra.engine import Change, Event, Op, Program, Report
from keras_remote.cli.infra.kinds import (
  BUCKET,
  CLUSTER,
  IMAGES,
  POOL,
  REPOSITORY,
)
from keras_remote.cli.infra.ledger import Ledger
from keras_remote.cli.infra.parts import Parts
from keras_remote.cli.infra.state import Phase, Record, State
from keras_remote.progress import Step
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.http_proxy import Fault, HttpProxy
from tests.fakes.programs import ids, small
from tests.fakes.pulumi_engine import Cloud, FakeEngine

_CONFIG = InfraConfig(
  "my-project", "us-central1-a", pools=(NodePool("l4"), NodePool("v5e-8"))
)


class StackTest(absltest.TestCase):
  """Each test has an empty project.

  Attributes:
    cloud: what the project has.
    said: the sentences that were told.
    events: what was told of resources.
  """

  def setUp(self) -> None:
    super().setUp()
    self.enter_context(gcs_server())
    self.path = Path(self.create_tempdir().full_path, "cloud.json")
    self.cloud = Cloud(self.path)
    self.said: list[str] = []
    self.events: list[Event] = []

  def report(self, told: Event | Step) -> None:
    if isinstance(told, Step):
      self.said.append(told.what)
    else:
      self.events.append(told)

  def parts(self, config: InfraConfig = _CONFIG) -> Parts:
    engine = FakeEngine(self.cloud, f"{config.cluster}.{config.location}")
    return Parts(
      config,
      lambda adopted: small(config, adopted=adopted),
      ids(config),
      engine,
      State(config.project),
    )

  def up(self, config: InfraConfig = _CONFIG, **how: bool) -> dict[str, Op]:
    return _ops(
      stack.up(
        self.parts(config), self.report, planned=self.record(config), **how
      )
    )

  def record(self, config: InfraConfig = _CONFIG) -> Record | None:
    return State(config.project).record(config)

  def change(self, **fields: Any) -> None:
    """Lets the cloud be otherwise."""
    self.cloud.load()
    vars(self.cloud).update(fields)
    self.cloud.save()

  def made_pool(self) -> None:
    """Google has made what was interrupted."""
    self.cloud.add(
      POOL,
      name="gpu-l4",
      cluster="keras-remote",
      maxNodeCount=4,
      nodeConfig={"resourceLabels": dict(_CONFIG.labels)},
    )

  def phase(self, config: InfraConfig = _CONFIG) -> Phase | None:
    record = State(config.project).record(config)
    return record.phase if record else None

  def fails(self, call: Callable[[], object]) -> str:
    """The sentence with which it fails."""
    with self.assertRaises(errors.InfraError) as caught:
      call()
    return str(caught.exception)

  def test_first_up(self) -> None:
    """The state's bucket is made, then all else; the cluster is known."""
    self.assertFalse(State("my-project").exists())
    made = self.up()
    self.assertSameElements(made.values(), [Op.CREATE])
    self.assertLen(made, 6)
    first = self.events[0].change.resource.inputs["name"]
    self.assertEqual(first, "my-project-keras-remote-state")
    self.assertEqual(self.phase(), Phase.READY)
    record = State("my-project").record(_CONFIG)
    assert record
    self.assertEqual(record.config, _CONFIG)

  def test_who_may_make_no_bucket(self) -> None:
    """Once the state's is there nobody need."""
    self.up()
    with HttpProxy(os.environ["STORAGE_EMULATOR_HOST"]) as proxy:
      proxy.fault = lambda request: (
        Fault(403)
        if request.method == "POST" and "/storage/v1/b?" in request.path
        else None
      )
      with environment(STORAGE_EMULATOR_HOST=proxy.url):
        self.assertSameElements(self.up().values(), [Op.SAME])

  def test_up_again(self) -> None:
    """The same changes nothing at all."""
    self.up()
    before = list(self.cloud.log)
    self.assertSameElements(self.up().values(), [Op.SAME])
    self.assertEqual(self.cloud.log, before)

  def test_what_is_left_fails(self) -> None:
    """The cluster is not ready before all is done; the next `up` does it."""

    def fail(report: Report) -> None:
      raise errors.ClusterError("it does not answer")

    parts = dataclasses.replace(self.parts(), finish=fail)
    with self.assertRaises(errors.ClusterError):
      stack.up(parts, self.report, planned=None)
    self.assertEqual(self.phase(), Phase.UPDATING)
    done: list[Report] = []
    parts = dataclasses.replace(self.parts(), finish=done.append)
    stack.up(parts, self.report, planned=self.record())
    self.assertLen(done, 1)
    self.assertEqual(self.phase(), Phase.READY)

  def test_changed_pool(self) -> None:
    """Only that pool is changed."""
    self.up()
    larger = InfraConfig(
      "my-project",
      "us-central1-a",
      pools=(NodePool("l4", max_nodes=9), NodePool("v5e-8")),
    )
    plan = _ops(stack.plan(self.parts(larger)))
    made = self.up(larger)
    self.assertEqual(plan, made)
    changed = {name: op for name, op in made.items() if op is not Op.SAME}
    self.assertEqual(changed, {"gpu-l4": Op.UPDATE})

  def test_failure_half_way(self) -> None:
    """What was made stays; the next `up` makes the rest alone."""
    self.change(faults={"gpu-l4": "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1"})
    said = self.fails(self.up)
    self.assertIn(
      "the node pool gpu-l4 was not made: the quota NVIDIA_L4", said
    )
    self.assertIn("`keras-remote up` goes on from there", said)
    self.assertEqual(self.phase(), Phase.UPDATING)
    self.change(faults={})
    made = self.up()
    self.assertEqual(made["cluster"], Op.SAME)
    self.assertEqual(made["gpu-l4"], Op.CREATE)
    self.assertEqual(self.phase(), Phase.READY)

  def test_interrupted(self) -> None:
    """The next `up` says at what, and goes on."""
    self.change(stops="gpu-l4")
    self.assertIn("it was interrupted", self.fails(self.up))
    made = self.up()
    self.assertIn("interrupted at the node pool gpu-l4", " ".join(self.said))
    self.assertEqual(made["gpu-l4"], Op.CREATE)
    self.assertEqual(self.parts().engine.pending(), ())

  def test_interrupted_when_it_was_made(self) -> None:
    """What is there after all is taken over, without being asked to."""
    self.change(stops="gpu-l4")
    self.fails(self.up)
    self.made_pool()
    made = self.up()
    self.assertEqual(made["gpu-l4"], Op.SAME)
    self.assertIn("adopt gpu-l4", self.cloud.log)

  def test_killed(self) -> None:
    """The lock of a process that died is named, and taken away when asked."""
    self.change(dies="tpu-v5e-8")
    self.fails(self.up)
    said = self.fails(self.up)
    self.assertIn("ada@laptop (process 4711) since 2026-11-26T04:00", said)
    self.assertIn("`keras-remote up --unlock`", said)
    self.assertEqual(self.up(unlock=True)["tpu-v5e-8"], Op.CREATE)

  def test_killed_while_it_is_removed(self) -> None:
    """The same of `down`."""
    self.up()
    self.change(dies="tpu-v5e-8")
    self.fails(lambda: stack.down(self.parts(), self.report))
    stack.down(self.parts(), self.report, unlock=True)
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})

  def test_lock_of_one_that_runs(self) -> None:
    """It is not taken away."""
    self.up()
    me = f"ada@{socket.gethostname()} (pid {os.getpid()})"
    self.change(locked=me)
    larger = _CONFIG.adding(NodePool("h100x8"))
    said = self.fails(lambda: self.up(larger, unlock=True))
    self.assertIn(f"process {os.getpid()} runs here", said)
    self.cloud.load()
    self.assertEqual(self.cloud.locked, me)
    self.assertNotIn("create gpu-h100x8", self.cloud.log)

  def test_two_at_once(self) -> None:
    """Who comes second changes nothing, and not what is known either."""
    self.up()
    other = InfraConfig("my-project", "us-central1-a", retention_days=14)
    self.change(locked="ben@desk (pid 7)")
    self.assertIn("ben@desk (process 7)", self.fails(lambda: self.up(other)))
    record = State("my-project").record(_CONFIG)
    assert record
    self.assertEqual((record.config, record.phase), (_CONFIG, Phase.READY))

  def test_changed_since_it_was_planned(self) -> None:
    """What somebody else made meanwhile is not removed; all is as it was."""
    self.up()
    planned = self.record()
    more = _CONFIG.adding(NodePool("h100x8"))
    self.up(more)
    before = list(self.cloud.log)
    with self.assertRaisesRegex(errors.ConfigError, "changed keras-remote sin"):
      stack.up(self.parts(), self.report, planned=planned)
    with self.assertRaisesRegex(errors.ConfigError, "type it again"):
      stack.up(self.parts(), self.report, planned=None)
    record = self.record()
    assert record
    self.assertEqual((record.config, record.phase), (more, Phase.READY))
    self.assertEqual(self.cloud.log, before)

  def test_changed_before_the_lock(self) -> None:
    """The same where it happens after the first look, before the engine's."""
    self.up()
    more = _CONFIG.adding(NodePool("h100x8"))
    parts, planned, theirs = self.parts(), self.record(), self.parts(more)

    def late(adopted: Mapping[str, str]) -> Program:
      stack.up(theirs, self.report, planned=planned)
      return parts.program(adopted)

    with self.assertRaisesRegex(errors.ConfigError, "changed keras-remote sin"):
      stack.up(
        dataclasses.replace(parts, program=late), self.report, planned=planned
      )
    record = self.record()
    assert record
    self.assertEqual((record.config, record.phase), (more, Phase.READY))
    self.assertNotIn("delete gpu-h100x8", self.cloud.log)

  def test_removed_while_it_ends(self) -> None:
    """Who comes then has said what the cluster becomes, and `up` says so."""

    def late(report: Report) -> None:
      Ledger(State("my-project"), _CONFIG, self.record()).note(Phase.REMOVING)

    parts = dataclasses.replace(self.parts(), finish=late)
    stack.up(parts, self.report, planned=None)
    self.assertEqual(self.phase(), Phase.REMOVING)
    self.assertIn("somebody has begun to change or remove", self.said[-1])

  def test_drift_that_loses_the_cluster(self) -> None:
    """What others did to it is found, and not undone by losing it."""
    self.up()
    self.cloud.load()
    self.cloud.there[f"{CLUSTER}//keras-remote"]["network"] = "theirs"
    self.cloud.save()
    with self.assertRaisesRegex(errors.ConfigError, "made anew.*--replace"):
      self.up(refresh=True)
    self.assertNotIn("replace keras-remote", self.cloud.log)
    self.up(refresh=True, replace=True)
    self.assertIn("replace keras-remote", self.cloud.log)

  def test_down_while_it_is_changed(self) -> None:
    """What is known stays as whoever holds the lock has said it."""
    self.up()
    before = self.record()
    self.change(locked="ben@desk (pid 7)")
    self.fails(lambda: stack.down(self.parts(), self.report))
    self.assertEqual(self.record(), before)

  def test_name_that_is_taken(self) -> None:
    """It is said how it can be taken over, and `adopt` does it."""
    self.cloud.add(
      CLUSTER,
      name="keras-remote",
      location="us-central1-a",
    )
    said = self.fails(self.up)
    self.assertIn("the cluster keras-remote was not made: there is one", said)
    self.assertIn("--adopt", said)
    made = self.up(adopt=True)
    self.assertEqual(made["cluster"], Op.ADOPT)
    self.assertSameElements(self.up().values(), [Op.SAME])
    removed = stack.down(self.parts(), self.report)
    self.assertEqual([r.kind for r in removed.kept], [CLUSTER])
    self.cloud.load()
    self.assertLen(self.cloud.there, 1)

  def test_adopted_but_otherwise(self) -> None:
    """What could only be made anew is left alone, and not known later."""
    self.cloud.add(
      CLUSTER,
      name="keras-remote",
      location="us-central1",
      network="theirs",
    )
    with self.assertRaisesRegex(errors.ConfigError, "made anew.*--replace"):
      self.up(adopt=True)
    stack.down(self.parts(), self.report)
    self.cloud.load()
    self.assertIn(f"{CLUSTER}//keras-remote", self.cloud.there)

  def test_repository_of_a_build(self) -> None:
    """That a build has made is taken over, without being asked to."""
    self.cloud.add(REPOSITORY, repositoryId="keras-remote", location="us")
    self.assertEqual(self.up()[IMAGES], Op.ADOPT)
    self.assertTrue(stack.images_stay(*self.known()))
    removed = stack.down(self.parts(), self.report)
    self.assertEqual([r.kind for r in removed.kept], [REPOSITORY])

  def test_after_the_state_is_lost(self) -> None:
    """What `up` made is its own again, by the labels on it."""
    self.cloud.add(
      CLUSTER,
      name="keras-remote",
      location="us-central1-a",
      network="public",
      resourceLabels=_CONFIG.labels,
    )
    self.cloud.add(BUCKET, name=_CONFIG.bucket, labels={"team": "theirs"})
    self.up(adopt=True)
    record = self.record()
    assert record
    self.assertEqual(list(record.adopted), ["bucket"])
    removed = stack.down(self.parts(), self.report)
    self.assertEqual([r.kind for r in removed.kept], [BUCKET])

  def known(self) -> tuple[State, Record]:
    record = self.record()
    assert record
    return State("my-project"), record

  def test_replacement_is_asked_for(self) -> None:
    """A plan that loses the cluster is refused, unless that is asked for."""
    self.up()
    private = InfraConfig("my-project", "us-central1-a", private_nodes=True)
    plan = stack.plan(self.parts(private))
    self.assertEqual(_ops(plan)["cluster"], Op.REPLACE)
    with self.assertRaisesRegex(errors.ConfigError, "cluster keras-remote"):
      losses.check_plan(plan, private)
    losses.check_plan(stack.plan(self.parts()), _CONFIG)

  def test_refresh(self) -> None:
    """What somebody removed by hand is seen, and made again."""
    self.up()
    self.cloud.load()
    del self.cloud.there[f"{POOL}/keras-remote/gpu-l4"]
    self.cloud.save()
    self.assertEqual(self.up()["gpu-l4"], Op.SAME)
    self.assertEqual(self.up(refresh=True)["gpu-l4"], Op.CREATE)

  def test_down(self) -> None:
    """All is removed, and the cluster is known no more."""
    self.up()
    removed = stack.down(self.parts(), self.report)
    self.assertLen(removed.changes, 6)
    self.assertEqual(removed.kept, ())
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})
    self.assertIsNone(self.phase())

  def test_down_of_nothing(self) -> None:
    """Neither a project without state nor an empty one is an error."""
    nothing = stack.Removed((), ())
    self.assertEqual(stack.down(self.parts(), self.report), nothing)
    self.assertFalse(State("my-project").exists())
    self.up()
    stack.down(self.parts(), self.report)
    self.assertEqual(stack.down(self.parts(), self.report), nothing)

  def test_down_half_way(self) -> None:
    """The next `down` removes the rest."""
    self.up()
    self.change(faults={"keras-remote": "Error 403: forbidden"})
    parts = self.parts()
    said = self.fails(lambda: stack.down(parts, self.report))
    self.assertIn("was not removed", said)
    self.assertIn("`keras-remote down` goes on", said)
    self.assertEqual(self.phase(), Phase.REMOVING)
    self.change(faults={})
    stack.down(self.parts(), self.report)
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})

  def test_down_of_an_interrupted_up(self) -> None:
    """Also what was just being made is found, and removed."""
    self.change(stops="gpu-l4")
    self.fails(self.up)
    self.made_pool()
    stack.down(self.parts(), self.report)
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})

  def test_keep_data(self) -> None:
    """Bucket and images stay, are told, and are taken over by the next up."""
    self.up()
    removed = stack.down(self.parts(), self.report, keep_data=True)
    kinds = [resource.kind for resource in removed.kept]
    self.assertCountEqual(kinds, [BUCKET, REPOSITORY])
    self.cloud.load()
    self.assertLen(self.cloud.there, 2)
    self.assertEqual(self.phase(), Phase.KEPT)
    made = self.up()
    self.assertEqual(made["bucket"], Op.ADOPT)
    self.assertEqual(made["cluster"], Op.CREATE)

  def test_images_of_another_cluster(self) -> None:
    """The repository stays where another cluster of the project has it."""
    self.up()
    other = InfraConfig("my-project", "us-central1-a", cluster="other")
    self.up(other)
    removed = stack.down(self.parts(other), self.report)
    self.assertEqual([r.kind for r in removed.kept], [REPOSITORY])
    self.assertIsNone(self.phase(other))
    self.assertFalse(stack.images_stay(*self.known()))
    removed = stack.down(self.parts(), self.report)
    self.assertEqual(removed.kept, ())

  def test_images_that_were_kept(self) -> None:
    """The next one's `down` leaves what `--keep-data` left."""
    self.up()
    stack.down(self.parts(), self.report, keep_data=True)
    other = InfraConfig("my-project", "us-central1-a", cluster="other")
    self.up(other)
    removed = stack.down(self.parts(other), self.report)
    self.assertEqual([r.kind for r in removed.kept], [REPOSITORY])

  def test_images_when_the_first_one_goes(self) -> None:
    """Who comes last removes what an `up` has made."""
    self.up()
    other = InfraConfig("my-project", "us-central1-a", cluster="other")
    self.up(other)
    removed = stack.down(self.parts(), self.report)
    self.assertEqual([r.kind for r in removed.kept], [REPOSITORY])
    self.assertEqual(stack.down(self.parts(other), self.report).kept, ())


def _ops(changes: tuple[Change, ...]) -> dict[str, Op]:
  return {change.resource.name: change.op for change in changes}


if __name__ == "__main__":
  absltest.main()
