"""The whole program, resource by resource, against golden tables.

A golden file that is deleted is made anew here. `cpu.txt` is the program with
no pool asked for; the others are what differs from it.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.accelerators.registry import GPUS, TPUS
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import network, services
from keras_remote.cli.infra.program import import_ids, program
from tests.fakes.pulumi_monitor import Recorded, Registered, record

_GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "infra"
_MEMBERS = ("user:ada@example.com",)
_SERVICES = {f"api-{name}" for name in services.SERVICES}


def _config(*names: str, **fields: Any) -> InfraConfig:
  whole: dict[str, Any] = {"project": "my-project", "zone": "us-central1-a"}
  whole.update(pools=tuple(NodePool(name) for name in names))
  whole.update(fields)
  return InfraConfig(**whole)


def _record(config: InfraConfig, **arguments: Any) -> Recorded:
  return record(program(config, **arguments))


def _table(recorded: Recorded) -> dict[str, list[str]]:
  """A block of lines for each resource."""
  return {
    f"{each.type} {each.name}": list(_lines(each))
    for each in recorded.resources
  }


def _lines(each: Registered) -> Iterator[str]:
  after = set(each.after)
  if after >= _SERVICES:
    after = {*(after - _SERVICES), "api-*"}
  if after:
    yield f"after {', '.join(sorted(after))}"
  for option, value in each.options.items():
    yield f"{option}: {json.dumps(value)}"
  for path, value in _flat(each.inputs):
    yield f"{path} = {json.dumps(value)}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
  if isinstance(value, Mapping) and value:
    for name in sorted(value):
      yield from _flat(value[name], f"{path}.{name}" if path else name)
  elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
    for i, item in enumerate(value):
      yield from _flat(item, f"{path}[{i}]")
  else:
    yield path, value


def _text(blocks: Mapping[str, list[str]], mark: str = "") -> str:
  return "".join(
    f"{mark}{name}\n{''.join(f'  {line}{chr(10)}' for line in lines)}\n"
    for name, lines in blocks.items()
  )


def _difference(base: Recorded, other: Recorded) -> str:
  """What the other has that the base has not, and the reverse."""
  old, new = _table(base), _table(other)
  changed = {
    name: [line for line in difflib.ndiff(old[name], lines) if line[0] in "+-"]
    for name, lines in new.items()
    if name in old and old[name] != lines
  }
  gone = {name: [] for name in old if name not in new}
  added = {name: lines for name, lines in new.items() if name not in old}
  return _text(changed, "~ ") + _text(gone, "- ") + _text(added, "+ ")


def _sizes(generation: str) -> list[str]:
  """Of each machine the smallest slice, and the smallest of several."""
  slices = list(TPUS[generation].topologies.values())
  alone = {s.machine_type: str(s) for s in slices if s.hosts == 1}
  joined = [str(s) for s in slices if s.hosts > 1][:1]
  return [*alone.values(), *joined]


class GoldenTest(parameterized.TestCase):
  base: Recorded

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cls.base = _record(_config())

  def test_cpus_only(self) -> None:
    """All that a cluster needs, with no accelerator."""
    self.assert_golden("cpu", _text(_table(self.base)))

  @parameterized.parameters(*GPUS)
  def test_a_gpu(self, name: str) -> None:
    """Each kind of GPU is a pool with its driver, and nothing else."""
    fewest = str(next(iter(GPUS[name].counts.values())))
    self.assert_differs(f"gpu-{name}", _record(_config(fewest)))

  @parameterized.parameters(*TPUS)
  def test_a_tpu(self, generation: str) -> None:
    """Each machine of a generation, and a slice of several of them."""
    found = _record(_config(*_sizes(generation)))
    self.assert_differs(f"tpu-{generation}", found)

  def test_spot(self) -> None:
    """Machines that may go are tainted, as jobs that may not stay away."""
    found = _record(_config("l4:spot", "v5e-16:spot", "cpu:spot"))
    self.assert_differs("spot", found)

  def test_reservations(self) -> None:
    """A pool of reserved machines takes no others."""
    pools = (
      NodePool("h100x8", reservation="ours"),
      NodePool("v5p-16", reservation="projects/theirs/reservations/shared"),
    )
    self.assert_differs("reservation", _record(_config(pools=pools)))

  def test_private(self) -> None:
    """Machines have a way out, and the control plane a name only."""
    found = _record(_config(private_nodes=True))
    self.assert_differs("private", found)

  def test_two_pools(self) -> None:
    """Two slices are two pools; sizes are as they are asked for."""
    pools = (
      NodePool("v5e-16"),
      NodePool("v5e-16", number=2),
      NodePool("l4", min_nodes=1, max_nodes=9),
      NodePool("cpu", min_nodes=2, max_nodes=20),
    )
    self.assert_differs("two-pools", _record(_config(pools=pools)))

  def test_a_region(self) -> None:
    """The control plane is in the region, machines stay in their zone."""
    found = _record(_config("l4", regional=True, release_channel="RAPID"))
    self.assert_differs("regional", found)

  def test_members(self) -> None:
    """Each gets the rights of somebody who runs jobs."""
    members = ("user:ada@example.com", "group:ml@example.com")
    found = _record(_config(members=members, namespace="team"))
    self.assert_differs("members", found)

  def test_a_place_without_usual_machines(self) -> None:
    """Machines are what the zone has, images are near it, jobs as long kept."""
    found = _record(_config(zone="us-central2-b", retention_days=14))
    self.assert_differs("us-central2-b", found)

  def test_adopted(self) -> None:
    """What was there is joined, changed no more than it can be, and left."""
    config = _config()
    ids = import_ids(config)
    adopted = {name: ids[name] for name in ("cluster", "bucket", "repository")}
    self.assert_differs("adopted", _record(config, adopted=adopted))

  def assert_differs(self, name: str, found: Recorded) -> None:
    self.assert_golden(name, _difference(self.base, found))

  def assert_golden(self, name: str, text: str) -> None:
    golden = _GOLDEN / f"{name}.txt"
    if not golden.exists():
      golden.parent.mkdir(exist_ok=True)
      golden.write_text(text)
      self.fail(f"{golden} was missing: look at what it is now")
    self.assertMultiLineEqual(golden.read_text(), text)


class ProgramTest(absltest.TestCase):
  def test_the_same_each_time(self) -> None:
    """A second `up` finds nothing to change."""
    config = _config("l4", "v5e-16", private_nodes=True)
    self.assertEqual(_record(config), _record(config))

  def test_services_come_first(self) -> None:
    """Nothing is made, directly or not, before all services are enabled."""
    members = ("user:ada@example.com",)
    config = _config("tpu7x-16", private_nodes=True, members=members)
    found = _record(config)
    after = {each.name: each.after for each in found.resources}

    def all_before(name: str) -> set[str]:
      return set(after[name]).union(*map(all_before, after[name]))

    for name in after:
      if name not in _SERVICES:
        self.assertContainsSubset(_SERVICES, all_before(name), name)

  def test_what_can_be_adopted_is_made(self) -> None:
    """Each id is for a resource of the program, which would join it."""
    config = _config("l4:spot", "v5e-16")
    ids = import_ids(config)
    found = _record(config, adopted=ids)
    of_network = network.import_ids(config)
    for name in ids.keys() - of_network.keys():
      self.assertEqual(found[name].options["import"], ids[name])
      self.assertTrue(found[name].options["retainOnDelete"])
    made = {each.name for each in found.resources}
    self.assertNoCommonElements(made, ["network", "subnet", "webhooks"])

  def test_a_network_that_was_there(self) -> None:
    """It is joined as all else is: its state may have been lost."""
    config = _config(private_nodes=True)
    ids = network.import_ids(config)
    self.assertLen(ids, 5)
    found = _record(config, adopted=ids)
    for name, import_id in ids.items():
      self.assertEqual(found[name].options["import"], import_id)
      self.assertStartsWith(import_id, "projects/my-project/")
      self.assertEndsWith(import_id, f"/{found[name].inputs['name']}")

  def test_whatever_has_a_name_is_known(self) -> None:
    """What was being made when all ended is found again, and taken up."""
    config = _config("tpu7x-16", "l4", private_nodes=True, members=_MEMBERS)
    again = ("Service", "IAMMember", "BucketIAMMember", "RepositoryIamMember")
    wanted = {
      each.name
      for each in _record(config).resources
      if each.type.rpartition(":")[2] not in again
    }
    self.assertEqual(set(import_ids(config)), wanted)

  def test_what_is_not_asked_for_any_more(self) -> None:
    """A pool that was adopted, and then removed, is no resource of ours."""
    found = _record(_config(), adopted={"pool-gpu-l4": "an/id"})
    self.assertEqual(found, _record(_config()))

  def test_everything_is_labelled(self) -> None:
    """What takes no labels says in its description whose it is."""
    config = _config("tpu7x-16", private_nodes=True)
    for each in _record(config).resources:
      inputs = each.inputs
      labels = inputs.get("labels") or inputs.get("resourceLabels")
      if "nodeConfig" in inputs and each.name != "cluster":
        labels = inputs["nodeConfig"]["resourceLabels"]
      kind = each.type.rpartition(":")[2]
      if kind in ("Service", "IAMMember", "BucketIAMMember", "RouterNat"):
        continue
      if kind == "RepositoryIamMember":
        continue
      if labels is None:
        self.assertEqual(inputs["description"], config.description, each.name)
      else:
        self.assertEqual(labels["managed-by"], "keras-remote", each.name)


if __name__ == "__main__":
  absltest.main()
