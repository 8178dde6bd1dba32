import dataclasses
import json
import re
from typing import Any

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.accelerators.registry import accelerators
from keras_remote.accelerators.zones import Offers
from keras_remote.cli import config
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.images import builder
from keras_remote.job import wire

_NAMES = [f"{each}{end}" for each in accelerators() for end in ("", ":spot")]
_LABEL = "[a-z]([a-z0-9-]*[a-z0-9])?"


def _config(**fields: Any) -> InfraConfig:
  whole: dict[str, Any] = {"project": "my-project", "zone": "us-central1-a"}
  whole.update(fields)
  return InfraConfig(**whole)


@st.composite
def _configs(draw: st.DrawFn) -> InfraConfig:
  """Any config that there can be."""
  made = _config(
    cluster=draw(st.from_regex(f"{_LABEL}", fullmatch=True))[:40].rstrip("-"),
    regional=draw(st.booleans()),
    private_nodes=draw(st.booleans()),
    retention_days=draw(st.integers(14, 3650)),
    quota=draw(st.sampled_from([(), (("requests.cpu", "8"),)])),
    members=tuple(
      draw(st.sets(st.sampled_from(["user:a@b.c", "group:d@e.f"])))
    ),
    release_channel=draw(st.sampled_from(config.RELEASE_CHANNELS)),
  )
  for name in draw(st.lists(st.sampled_from(_NAMES), max_size=4)):
    if name != "cpu":
      made = made.adding(NodePool(name))
  return made


class NamesTest(parameterized.TestCase):
  def test_names(self) -> None:
    """All that is made is called after project and cluster."""
    made = _config(cluster="research")
    self.assertEqual(made.bucket, "my-project-research-jobs")
    self.assertEqual(made.state_bucket, "my-project-keras-remote-state")
    self.assertEqual(config.state_bucket("my-project"), made.state_bucket)
    self.assertEqual(made.node_account, "research-nodes")
    self.assertEqual(made.job_account, "research-jobs")
    self.assertEqual(made.build_account, "research-builds")
    self.assertEqual(made.kubernetes_account, "keras-remote")
    self.assertEqual(
      made.email(made.job_account),
      "research-jobs@my-project.iam.gserviceaccount.com",
    )
    self.assertEqual(
      made.labels,
      {"managed-by": "keras-remote", "keras-remote-cluster": "research"},
    )

  def test_the_repository_is_that_of_images(self) -> None:
    """Builds push to where the nodes pull from."""
    made = _config(zone="europe-west4-a")
    self.assertEqual(made.repository, builder.REPOSITORY)
    self.assertEqual(made.repository_location, "europe")

  def test_groups_are_known_by_one(self) -> None:
    """It is of their domain, and there is none without groups."""
    people = ("user:ada@other.com", "serviceAccount:ci@p.example.com")
    self.assertEqual(_config(members=people).security_group, "")
    groups = ("group:ml@example.com", "group:ops@Example.com")
    made = _config(members=(*people, *groups))
    self.assertEqual(made.security_group, "gke-security-groups@example.com")

  @parameterized.parameters("us-east5-a", "us-south1-ai1b")
  def test_where_the_cluster_is(self, zone: str) -> None:
    """In its zone, or in its region."""
    made = _config(zone=zone)
    self.assertEqual(made.location, zone)
    self.assertEqual(made.region, zone.rpartition("-")[0])
    regional = _config(zone=zone, regional=True)
    self.assertEqual(regional.location, made.region)

  def test_projects_of_a_domain(self) -> None:
    """Their colon is in no bucket's name, and an address turns them round."""
    made = _config(project="example.com:my-project")
    self.assertEqual(made.bucket, "example-com-my-project-keras-remote-jobs")
    self.assertEqual(
      made.email("x"), "x@my-project.example.com.iam.gserviceaccount.com"
    )

  @given(_configs())
  def test_names_are_as_google_takes_them(self, made: InfraConfig) -> None:
    """Whatever the cluster is called, no name is too long or malformed."""
    self.assertRegex(made.bucket, "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")
    for account in (made.node_account, made.job_account, made.build_account):
      self.assertRegex(account, "^[a-z][a-z0-9-]{4,28}[a-z0-9]$")

  def test_long_names_stay_apart(self) -> None:
    """Two clusters with one beginning do not share an account or a bucket."""
    names = [f"{'x' * 38}{end}" for end in ("-a", "-b")]
    one, other = [
      _config(cluster=name.replace("x-", "-"), project="p" * 30)
      for name in names
    ]
    self.assertNotEqual(one.job_account, other.job_account)
    self.assertNotEqual(one.bucket, other.bucket)


class PoolsTest(parameterized.TestCase):
  def test_cpus_are_always_there(self) -> None:
    """First, as large as nobody says, or as somebody does."""
    made = _config(pools=(NodePool("l4"),))
    self.assertEqual([p.name for p in made.every_pool], ["cpu", "gpu-l4"])
    self.assertEqual(made.cpu_pool.min_nodes, 1)
    mine = NodePool("cpu", 2, 20)
    made = _config(pools=(NodePool("l4"), mine))
    self.assertEqual(made.every_pool, (mine, NodePool("l4")))

  def test_adding_gives_the_next_number(self) -> None:
    """A second slice is a pool of its own, and keeps its name."""
    made = _config()
    for _ in range(3):
      made = made.adding(NodePool("v5e-16"))
    left = made.without("tpu-v5e-16-2")
    self.assertEqual(
      [p.name for p in left.pools], ["tpu-v5e-16", "tpu-v5e-16-3"]
    )
    again = left.adding(NodePool("v5e-16"))
    self.assertEqual(again.pools[-1].name, "tpu-v5e-16-2")

  def test_removing_what_is_not_there(self) -> None:
    """It is told what can be removed."""
    made = _config(pools=(NodePool("l4"),))
    with self.assertRaisesRegex(errors.ConfigError, "those are gpu-l4"):
      made.without("cpu")

  @parameterized.parameters(
    ((NodePool("l4"), NodePool("l4")), "two pools are called gpu-l4"),
    ((NodePool("cpu", 1, number=2),), "make the first larger"),
    ((NodePool("cpu", 0),), "let it have 1 or more"),
  )
  def test_pools_that_cannot_be(
    self, pools: tuple[NodePool, ...], words: str
  ) -> None:
    """They are refused together where each alone is well."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      _config(pools=pools)


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(
    ({"project": "My_Project"}, "gcloud projects list"),
    ({"project": "123456789012"}, "is the number of a project"),
    ({"zone": "us-central1"}, "such as 'us-central1-a'"),
    ({"zone": "moon"}, "no zone is called 'moon'"),
    ({"zone": "us-central1-a-b"}, "no zone is called"),
    ({"cluster": "Keras"}, "no cluster can be called 'Keras'"),
    ({"cluster": "a" * 41}, "up to 40"),
    ({"cluster": "a-"}, "no dash last"),
    ({"namespace": "My"}, "no namespace can be called"),
    ({"namespace": "kube-system"}, "the cluster's own"),
    ({"retention_days": 13}, "use 14, as one may wait for a week, to 3650"),
    ({"quota": (("requests.cpu", "many"),)}, "which is no amount"),
    ({"quota": (("Requests CPU", "8"),)}, "no resource is called"),
    ({"quota": (("pods", "8"), ("pods", "9"))}, "names a resource twice"),
    ({"members": ("ada@example.com",)}, "write 'user:ada@example.com'"),
    (
      {"members": ("group:ml@a.com", "group:ops@b.com")},
      "of a.com and b.com, but a cluster knows groups of one domain",
    ),
    ({"members": ("allUsers",)}, "nobody is called 'allUsers'"),
    ({"release_channel": "regular"}, "use RAPID, REGULAR, STABLE"),
  )
  def test_bad_values_are_refused(self, fields: Any, words: str) -> None:
    """With a sentence that says what is right."""
    with self.assertRaisesRegex(errors.ConfigError, re.escape(words)):
      _config(**fields)

  def test_a_zone_without_it(self) -> None:
    """It is told which zones have it, and as of when."""
    table = Offers("2026-01-02", {"v5e": ("us-a1-a",), "l4": ("us-b1-b",)})
    pools = (NodePool("v5e-8"),)
    with self.assertRaisesRegex(
      errors.ConfigError, "us-b1-b has no v5e-8.*2026-01-02.*us-a1-a has it"
    ):
      _config(zone="us-b1-b", pools=pools).check_zone(table)
    # What the table knows, and what it does not.
    for zone in ("us-a1-a", "asia-b1-b"):
      _config(zone=zone, pools=pools).check_zone(table)
    _config(zone="us-b1-b", pools=(NodePool("p100"),)).check_zone(table)

  def test_our_table(self) -> None:
    """It is looked at where no other is given."""
    pools = (NodePool("v4-8"),)
    _config(zone="us-central2-b", pools=pools).check_zone()
    with self.assertRaisesRegex(errors.ConfigError, "us-central2-b has it"):
      _config(zone="us-central1-a", pools=pools).check_zone()

  def test_many_zones_with_it(self) -> None:
    """Near ones are named, and the others counted: it stays a sentence."""
    europe = _config(zone="europe-west9-c", pools=(NodePool("l4"),))
    with self.assertRaisesRegex(
      errors.ConfigError,
      ": europe-west1-b, europe-west1-c, europe-west2-a, europe-west2-b, "
      "europe-west3-a, europe-west3-b and [0-9]+ more have it$",
    ):
      europe.check_zone()


class JsonTest(absltest.TestCase):
  @given(_configs())
  def test_round_trip(self, made: InfraConfig) -> None:
    """What is read is what was written."""
    self.assertEqual(wire.decode(InfraConfig, wire.encode(made), "it"), made)

  def test_a_newer_one_is_refused(self) -> None:
    """A field that is not known could change what is made."""
    fields = json.loads(wire.encode(_config())) | {"autopilot": True}
    with self.assertRaisesRegex(errors.ConfigError, "newer"):
      wire.decode(InfraConfig, json.dumps(fields).encode(), "it")

  def test_what_is_read_is_checked(self) -> None:
    """A file that somebody edited makes nothing that is malformed."""
    fields = json.loads(wire.encode(_config())) | {"zone": "moon"}
    with self.assertRaisesRegex(errors.ConfigError, "no zone"):
      wire.decode(InfraConfig, json.dumps(fields).encode(), "it")

  def test_it_is_a_value(self) -> None:
    """None can be changed, and equal ones are one key."""
    self.assertLen({_config(), _config()}, 1)
    with self.assertRaises(dataclasses.FrozenInstanceError):
      _config().zone = "x"  # pyrefly: ignore[read-only]


if __name__ == "__main__":
  absltest.main()
