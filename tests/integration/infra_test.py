"""Commands that make clusters, typed in a script: nobody is asked anything."""

import dataclasses

import grpc
from absl.testing import absltest, parameterized
from click.testing import CliRunner, Result
from google.cloud.devtools import cloudbuild_v1 as cloud_build

from keras_remote import errors
from keras_remote.cli import clusters
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra import stack
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER, POOL
from keras_remote.cli.infra.state import Phase
from keras_remote.cli.infra.tools import provision
from keras_remote.cli.main import cli
from keras_remote.home import ENDPOINTS, IMAGES, Home, home
from keras_remote.job import index
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.fakes.environment import environment
from tests.fakes.gcs_server import taken
from tests.fakes.infra_cli import tools
from tests.fakes.specs import job_spec
from tests.integration.infra_case import (
  PROJECT,
  ZONE,
  InfraCase,
  add_node,
  add_pod,
)

_QUOTA = "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1."
_V5E = ("--project", PROJECT, "--accelerator", "v5e-8")


_SETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: leaderworkersets.leaderworkerset.x-k8s.io
"""


class UpTest(InfraCase):
  def test_first_up(self) -> None:
    """It makes all, saves a profile that leads there, and says what is next."""
    result = self.type("up", *_V5E, "--yes")
    self.assertIn("+ make  cluster           keras-remote\n", result.stdout)
    self.assertIn("+ make  node pool         tpu-v5e-8", result.stdout)
    self.assertIn("made the node pool tpu-v5e-8\n", result.stderr)
    self.assertIn("+ make  APIs              12", result.stdout)
    self.assertIn("costs  at most 39.57 USD an hour", result.stdout)
    self.assertIn(
      "a first job: keras-remote run --accelerator v5e-8 -- python train.py",
      result.stdout,
    )
    self.assertNotIn("\x1b", result.output)
    self.assertIn("create keras-remote", self.log)
    self.assertEqual(self.profiles.active, "keras-remote")
    self.assertEqual(
      self.profiles.tables["keras-remote"],
      {
        "project": PROJECT,
        "zone": ZONE,
        "cluster": "keras-remote",
        "namespace": "default",
        "store": "gs://my-project-keras-remote-jobs",
        "service_account": "keras-remote",
        "build_service_account": (
          "keras-remote-builds@my-project.iam.gserviceaccount.com"
        ),
      },
    )
    self.assertEqual(self.record().phase, Phase.READY)

  def test_again(self) -> None:
    """It changes nothing, and says so; the profile says what is meant."""
    self.up("--accelerator", "v5e-8")
    before = list(self.log)
    for arguments in (_V5E, ("--accelerator", "v5e-8"), ()):
      result = self.type("up", *arguments)
      self.assertIn("nothing has changed, and nothing is to be", result.stdout)
    self.assertEqual(self.log, before)

  def test_document(self) -> None:
    """It is as its schema says, also where nothing is done."""
    found = self.document("up", "up", *_V5E, "--preview")
    self.assertTrue(found["preview"] and found["changed"])
    self.assertIsNone(found["profile"])
    self.assertEqual(self.log, [])
    found = self.document("up", "up", *_V5E, "--yes")
    self.assertFalse(found["preview"])
    self.assertEqual(found["profile"], "keras-remote")
    self.assertLen([c for c in found["changes"] if c["kind"] == CLUSTER], 1)
    self.assertEqual(found["most_an_hour"]["usd"], 39.57)
    self.assertFalse(self.document("up", "up", *_V5E)["changed"])

  def test_members_that_are_groups(self) -> None:
    """It is said what only the administrator of their domain can do."""
    person = self.type("up", *_V5E, "--yes", "--member", "user:ada@example.com")
    self.assertNotIn("gke-security-groups", person.stdout)
    result = self.type("up", *_V5E, "--yes", "--member", "group:ml@example.com")
    self.assertIn(
      "knows ml@example.com by gke-security-groups@example.com:", result.stdout
    )

  def test_preview_changes_nothing(self) -> None:
    """There is no bucket, no profile and no cluster afterwards."""
    self.type("up", *_V5E, "--preview")
    self.assertEqual(self.log, [])
    self.assertEqual(self.profiles.active, "default")
    said = self.refused("pool", "list", "--project", PROJECT)
    self.assertIn("`keras-remote up` makes one", said)

  def test_what_is_not_asked_for_stays(self) -> None:
    """A further accelerator is added; the rest is as it was."""
    self.up(
      "--accelerator",
      "v5e-8",
      "--retention-days",
      "14",
      "--member",
      "user:a@b.de",
    )
    self.up("--accelerator", "l4:spot", "--max-nodes", "2")
    config = self.record().config
    self.assertEqual(config.retention_days, 14)
    self.assertEqual(config.members, ("user:a@b.de",))
    pools = {pool.accelerator: pool.max_nodes for pool in config.pools}
    self.assertEqual(pools, {"v5e-8": 4, "l4:spot": 2})
    self.up("--accelerator", "l4:spot")
    self.assertEqual(self.record().config, config)

  def test_pool_that_is_there(self) -> None:
    """What is said of it changes, be it the default; the rest stays."""
    l4 = ("--accelerator", "l4")
    self.up(
      *l4, "--reservation", "ours", "--max-nodes", "9", "--min-nodes", "2"
    )

    def pool() -> tuple[int, int, str]:
      (found,) = self.record().config.pools
      return found.min_nodes, found.max_nodes, found.reservation

    self.up(*l4)
    self.assertEqual(pool(), (2, 9, "ours"))
    self.up(*l4, "--max-nodes", "4")
    self.assertEqual(pool(), (2, 4, "ours"))
    self.up(*l4, "--min-nodes", "0")
    self.assertEqual(pool(), (0, 4, "ours"))
    self.kubernetes()
    self.up(*l4, "--reservation", "")
    self.assertEqual(pool(), (0, 4, ""))

  def test_pool_of_cpus(self) -> None:
    """Of that which is always there, too, only what is said changes."""
    self.up("--accelerator", "cpu")
    most = self.record().config.cpu_pool.max_nodes
    self.up("--accelerator", "cpu", "--min-nodes", "2")
    pool = self.record().config.cpu_pool
    self.assertEqual((pool.min_nodes, pool.max_nodes), (2, most))

  def test_pool_in_use(self) -> None:
    """One that jobs use is not made anew under them, unless that is said."""
    self.up("--accelerator", "l4")
    again = ("--accelerator", "l4", "--reservation", "ours", "--yes")
    api = self.kubernetes()
    add_node(api, "machine", "gpu-l4")
    add_pod(api, "busy", "machine", namespace="default", phase="Running")
    self.type("up", *again, "--preview")
    said = self.refused("up", *again)
    self.assertIn("the pool gpu-l4 is used by busy", said)
    self.assertIn("or `keras-remote up --replace`, which ends what runs", said)
    self.assertNotIn("replace gpu-l4", self.log)
    self.type("up", *again, "--replace")
    self.assertIn("replace gpu-l4", self.log)

  def test_namespace_of_one(self) -> None:
    """Nobody's own settings move the jobs of all; a flag does."""
    self.up("--accelerator", "cpu")
    with environment(KERAS_REMOTE_NAMESPACE="ada"):
      said = self.refused("up", "--accelerator", "l4", "--yes")
      self.assertIn("are in the namespace default, and settings of yours", said)
      self.assertIn("`--namespace default` leaves them there", said)
      self.up("--accelerator", "l4", "--namespace", "default")
      self.assertEqual(self.record().config.namespace, "default")
      said = self.type("up", "--namespace", "default", "--preview").stdout
      self.assertNotIn("everybody's jobs move", said)
      said = self.type("up", "--namespace", "ada", "--yes").stdout
    self.assertIn("jobs move from the namespace default to ada:\n", said)
    self.assertEqual(self.record().config.namespace, "ada")

  def test_namespace_of_a_first_one(self) -> None:
    """Of a cluster that is made, settings say where jobs are."""
    with environment(KERAS_REMOTE_NAMESPACE="ada"):
      self.up("--accelerator", "cpu")
    self.assertEqual(self.record().config.namespace, "ada")

  def test_who_leaves(self) -> None:
    """A member loses all that `up` gave, and a quota goes."""
    ada, ben = "user:ada@example.com", "user:ben@example.com"
    quota = ("--quota", "count/jobs.batch=9", "--quota", "pods=5")
    self.up(*_V5E[2:], "--member", ada, "--member", ben, *quota)
    gone = ("--without-member", ada, "--quota", "pods=")
    self.type("up", *gone, "--yes")
    config = self.record().config
    self.assertEqual(config.members, (ben,))
    self.assertEqual(config.quota, (("count/jobs.batch", "9"),))
    # Of each role that both had, one has gone: hers.
    deleted = [line for line in self.log if line.startswith("delete ")]
    self.assertIn("delete storage.objectUser", deleted)
    self.assertLen(deleted, len(set(deleted)))
    self.assertIn("delete iam.serviceAccountUser", deleted)
    self.assertNotIn(ada, self.path.read_text())
    self.assertIn(ben, self.path.read_text())
    log = self.log
    said = self.refused("up", *gone, "--yes")
    self.assertIn(f"{ada} is no member of keras-remote: ", said)
    self.assertIn(ben, said)
    said = self.refused("up", "--quota", "pods=", "--yes")
    self.assertIn("pods is no quota of keras-remote: ", said)
    said = self.refused("up", "--without-member", ben, "--member", ben, "--yes")
    self.assertIn("leave one of the two out", said)
    self.assertEqual(self.log, log)

  def test_zone_that_has_it(self) -> None:
    """Where nobody says a zone, it is one with all the accelerators."""
    found = self.document(
      "up", "up", "--project", PROJECT, "--accelerator", "v6e-8", "--preview"
    )
    self.assertEqual(found["zone"], "us-central1-b")

  @parameterized.named_parameters(
    ("no project", ("--accelerator", "l4"), "set --project or KERAS_REMOTE_P"),
    ("no accelerator", ("--project", PROJECT), "set --accelerator"),
    ("nobody agrees", _V5E, "`--yes` says so beforehand"),
    ("no such project", ("--project", "X", *_V5E[2:]), "no project has the id"),
    (
      "no such accelerator",
      ("--project", PROJECT, "--accelerator", "v5x"),
      "unknown accelerator 'v5x'",
    ),
    (
      "a zone without it",
      (*_V5E, "--zone", "us-east1-d"),
      "us-east1-d has no .*: us-central1-a, .*, europe-west4-b have it",
    ),
    ("no such zone", (*_V5E, "--zone", "mars"), "no zone is called 'mars'"),
    (
      "a quota without amount",
      (*_V5E, "--quota", "requests.cpu"),
      "'requests.cpu' says no amount",
    ),
    ("nobody's name", (*_V5E, "--member", "ada"), "nobody is called 'ada'"),
    (
      "too many machines",
      (*_V5E, "--min-nodes", "9", "--max-nodes", "3"),
      "9 to 3 machines",
    ),
    (
      "machines that Google does not have so",
      ("--project", PROJECT, "--accelerator", "h100", "--yes"),
      "no h100 on demand: ask for 'h100:spot'",
    ),
  )
  def test_bad_input(self, arguments: tuple[str, ...], told: str) -> None:
    """It is refused before anything is made, with what to type."""
    self.assertRegex(self.refused("up", *arguments), told)
    self.assertEqual(self.log, [])
    self.assertEqual(self.profiles.active, "default")

  def test_rights(self) -> None:
    """Who lacks one hears of it before anything is made or asked."""
    self.google.lacking = {"container.clusters.create"}
    self.type("up", *_V5E, "--preview")
    said = self.refused("up", *_V5E, "--yes", code=1)
    self.assertIn("- container.clusters.create: roles/container.admin", said)
    self.assertEqual(self.log, [])
    with self.assertRaises(errors.BucketNotFoundError):
      next(open_store(f"gs://{PROJECT}-keras-remote-state").list(""))
    # What is there may be somebody else's, which needs no such right.
    self.type("up", *_V5E, "--yes", "--adopt")
    self.type("pool", "add", "l4", "--yes")

  def test_pool_that_google_has_no_more(self) -> None:
    """One that is there is in the way of nothing else."""
    self.note(InfraConfig(PROJECT, ZONE, pools=(NodePool("h100"),)))
    self.up("--accelerator", "l4")
    self.assertLen(self.record().config.pools, 2)
    said = self.refused("up", "--accelerator", "h100x2", "--yes")
    self.assertIn("ask for 'h100x2:spot'", said)

  def test_failure_and_resume(self) -> None:
    """A failure has a cure and exit code 1; the same command goes on."""
    self.change(faults={"gpu-l4": _QUOTA})
    arguments = ("up", "--project", PROJECT, "--accelerator", "l4", "--yes")
    said = self.refused(*arguments, code=1)
    self.assertIn("the quota NVIDIA_L4_GPUS, which is 1.0, is not eno", said)
    self.assertIn("; it costs until `keras-remote down` removes it", said)
    self.assertEqual(self.profiles.active, "default")
    self.change(faults={})
    made = self.document("up", *arguments)["changes"]
    self.assertEqual([c["name"] for c in made if c["kind"] == POOL], ["gpu-l4"])
    self.assertNotIn(CLUSTER, [c["kind"] for c in made])

  def test_interrupted(self) -> None:
    """The next `up` says so on stderr, and goes on."""
    self.change(stops="tpu-v5e-8")
    self.refused("up", *_V5E, "--yes", code=1)
    result = self.type("up", *_V5E, "--yes")
    self.assertIn("interrupted at the node pool tpu-v5e-8", result.stderr)
    self.assertIn("create tpu-v5e-8", self.log)

  def test_locked(self) -> None:
    """It is said who holds the lock; `--unlock` takes it away."""
    self.change(dies="tpu-v5e-8")
    self.refused("up", *_V5E, "--yes", code=1)
    said = self.refused("up", *_V5E, "--yes", code=1)
    self.assertIn("ada@laptop (process 4711) since", said)
    self.assertIn("`keras-remote up --unlock`", said)
    self.type("up", *_V5E, "--yes", "--unlock")

  def test_adopt(self) -> None:
    """A cluster that somebody made is taken over when that is asked for."""
    self.cloud.add(CLUSTER, name="keras-remote", location=ZONE)
    said = self.refused("up", *_V5E, "--yes", code=1)
    self.assertIn("`--adopt` takes it over", said)
    made = self.document("up", "up", *_V5E, "--yes", "--adopt")["changes"]
    self.assertIn("adopt", [change["op"] for change in made])
    self.assertEqual(list(self.record().adopted), ["cluster"])

  def test_replacement(self) -> None:
    """What would lose the cluster is refused, unless it is asked for."""
    self.up("--accelerator", "cpu")
    said = self.refused("up", "--private-nodes", "--yes")
    self.assertIn("the cluster keras-remote would be removed and made", said)
    self.type("up", "--private-nodes", "--yes", "--replace")
    self.assertIn("replace keras-remote", self.log)

  def test_private_for_ever(self) -> None:
    """Machines that lose their way out would be of no use; all else stays."""
    self.type("up", *_V5E, "--private-nodes", "--yes")
    before = self.log
    said = self.refused("up", "--public-nodes", "--yes")
    self.assertIn("are private and stay so", said)
    self.assertEqual(self.log, before)
    self.type("up", *_V5E, "--retention-days", "14", "--yes")

  def test_another_zone(self) -> None:
    """A cluster does not move; its name is not taken twice."""
    self.up("--accelerator", "cpu")
    said = self.refused("up", "--zone", "us-west1-c", "--yes")
    self.assertIn("is in us-central1-a, not in us-west1-c, and cannot", said)

  def test_one_in_another_zone(self) -> None:
    """The zone of the profile is that of its own cluster, not of another."""
    far = ("--cluster", "far")
    self.up("--accelerator", "cpu", *far, "--zone", "us-west1-c")
    self.up("--accelerator", "cpu", "--cluster", "near")
    self.assertIn("far in us-west1-c", self.type("status", *far).stdout)
    self.assertIn("cpu", self.type("pool", "list", *far).stdout)
    self.add_bucket("far")
    self.type("init", *far)
    self.assertEqual(self.profiles.tables["far"]["zone"], "us-west1-c")

  def test_numbers_of_no_pool(self) -> None:
    """They are not dropped without a word, nor given to what cannot use them."""
    self.up("--accelerator", "l4")
    said = self.refused("up", "--max-nodes", "9", "--yes")
    self.assertIn("--max-nodes says nothing without --accelerator", said)
    both = ("--accelerator", "l4", "--accelerator", "v5e-8")
    said = self.refused("up", *both, "--reservation", "mine", "--yes")
    self.assertIn("--reservation is of one accelerator", said)
    said = self.refused("pool", "add", "cpu", "--reservation", "mine", "--yes")
    self.assertIn("is for an accelerator's machines", said)

  def test_regional(self) -> None:
    """Also of a regional one the saved profile leads there again."""
    self.up("--accelerator", "l4", "--regional")
    self.assertEqual(
      self.profiles.tables["keras-remote"]["zone"], "us-central1"
    )
    self.assertIn("nothing has changed", self.type("up").stdout)

  def test_what_counts_before_the_profile(self) -> None:
    """Where calls go elsewhere it is said, and by what."""
    arguments = ("--project", PROJECT, "--accelerator", "cpu", "--yes")
    with environment(KERAS_REMOTE_STORE="gs://mine"):
      said = self.type("up", *arguments).stdout
      self.assertIn("store is gs://mine: KERAS_REMOTE_STORE", said)
      self.assertNotIn("calls run on", said)
      said = self.type("init", "--project", PROJECT).stdout
      self.assertIn("store is gs://mine: KERAS_REMOTE_STORE", said)
    with environment(KERAS_REMOTE_PROFILE="default"):
      said = self.type("up", *arguments).stdout
      self.assertIn("KERAS_REMOTE_PROFILE chooses 'default'", said)
    self.assertIn("calls run on keras-remote", self.type("up").stdout)

  def test_named_profile(self) -> None:
    """The profile has the name that is given."""
    self.up("--accelerator", "cpu", "--profile", "team")
    self.assertEqual(self.profiles.active, "team")

  def test_nobody_logged_in(self) -> None:
    """It is said how to log in, before anything is made."""
    self.google.revoked = True
    said = self.refused("up", *_V5E, "--yes", code=1)
    self.assertIn("gcloud auth application-default login", said)
    self.assertEqual(self.log, [])

  def test_kubernetes(self) -> None:
    """What jobs need in the cluster is there before it counts as ready."""
    manifest = self.base / "manifests.yaml"
    manifest.write_text(_SETS)
    arguments = ["up", *_V5E, "--yes", "--sets-manifest", str(manifest)]
    whole = dataclasses.replace(tools(self.path), finish=provision)

    def typed() -> Result:
      return CliRunner().invoke(
        cli, arguments, prog_name="keras-remote", obj=whole
      )

    failed = typed()
    self.assertEqual(failed.exit_code, 2)
    self.assertIn("no project 'my-project'", failed.stderr)
    self.assertEqual(self.record().phase, Phase.UPDATING)
    api = self.kubernetes()
    done = typed()
    self.assertEqual(done.exit_code, 0, done.output)
    self.assertIn("what is known of it is brought up to date", done.stdout)
    self.assertEqual(self.record().phase, Phase.READY)
    account = api.get(
      "/api/v1/namespaces/default/serviceaccounts", "keras-remote"
    )
    self.assertIn(
      "keras-remote-jobs@my-project.iam.gserviceaccount.com", str(account)
    )
    self.assertIn("nothing has changed", typed().stdout)

  def test_what_a_cluster_that_is_ready_lacks(self) -> None:
    """`up` mends what is in it, as another version may need more there."""
    manifest = self.base / "manifests.yaml"
    manifest.write_text(_SETS)
    whole = dataclasses.replace(tools(self.path), finish=provision)
    api = self.kubernetes()

    def typed(*more: str) -> Result:
      arguments = ["up", *_V5E, "--yes", *more]
      result = CliRunner().invoke(
        cli, arguments, prog_name="keras-remote", obj=whole
      )
      self.assertEqual(result.exit_code, 0, result.output)
      return result

    typed("--sets-manifest", str(manifest))
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    api.remove(accounts, "keras-remote")
    typed("--preview")
    self.assertIsNone(api.get(accounts, "keras-remote"))
    # The manifest is not named again, and cannot be had any more.
    manifest.rename(self.base / "other.yaml")
    self.assertIn("1 objects made", typed().stdout)
    self.assertIsNotNone(api.get(accounts, "keras-remote"))
    # Another one is, and replaces the first.
    other = str(self.base / "other.yaml")
    self.assertIn("1 changed", typed("--sets-manifest", other).stdout)
    self.assertIn("nothing has changed", typed().stdout)

  def test_no_pulumi(self) -> None:
    """Without Pulumi's program it is said how that is installed."""
    with environment(PATH="/nowhere", HOME="/nowhere"):
      result = CliRunner().invoke(cli, ["up", *_V5E], prog_name="keras-remote")
    self.assertEqual(result.exit_code, 2)
    self.assertIn("Pulumi program, which makes what", result.stderr)


class DownTest(InfraCase):
  def test_down(self) -> None:
    """All goes, the profile too; what stays is said."""
    self.up("--accelerator", "v5e-8")
    memory = Home(home())
    memory.remember(IMAGES, "an image", b"sha256:1")
    memory.remember(ENDPOINTS, "the cluster")
    result = self.type("down", "--yes")
    self.assertIsNone(memory.recall(IMAGES, "an image"))
    self.assertIsNone(memory.recall(ENDPOINTS, "the cluster"))
    self.assertIn("keep    gs://my-project-keras-remote-state", result.stdout)
    self.assertIn("keras-remote is removed", result.stdout)
    self.assertIn("profile 'keras-remote' leads there no more", result.stdout)
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})
    self.assertEqual(self.profiles.active, "default")
    self.assertNotIn("keras-remote", self.profiles.tables)

  def test_of_nothing(self) -> None:
    """It is said, and is no error."""
    result = self.type("down", "--project", PROJECT, "--yes")
    self.assertIn("there is nothing to remove", result.stdout)
    found = self.document("down", "down", "--project", PROJECT, "--yes")
    self.assertFalse(found["there"])

  def test_nobody_types_the_name(self) -> None:
    """Nothing is removed without it."""
    self.up("--accelerator", "cpu")
    before = list(self.log)
    self.assertIn("`--yes` does it without", self.refused("down"))
    self.assertEqual(self.log, before)

  def test_keep_data(self) -> None:
    """What is kept is said; later `down` tells how to remove it."""
    self.up("--accelerator", "cpu")
    found = self.document("down", "down", "--yes", "--keep-data")
    kept = {each["what"] for each in found["kept"]}
    self.assertEqual(kept, {"bucket", "image repository"})
    result = self.type("down", "--project", PROJECT, "--yes")
    self.assertIn("gcloud storage rm --recursive gs://my-pro", result.stdout)
    said = self.refused("up", "--project", PROJECT)
    self.assertIn("set --accelerator", said)
    self.up("--accelerator", "l4")
    pools = [pool.accelerator for pool in self.record().config.pools]
    self.assertEqual(pools, ["l4"])

  def test_what_was_adopted(self) -> None:
    """It is said to stay, before and after; it is nobody's to remove here."""
    self.cloud.add(CLUSTER, name="keras-remote", location=ZONE)
    self.cloud.add(BUCKET, name=f"{PROJECT}-keras-remote-jobs")
    self.up("--accelerator", "cpu", "--adopt")
    said = self.type("down", "--yes", "--keep-data").stdout
    self.assertIn("- remove  the pools that `up` made", said)
    self.assertIn("keep    the cluster, which was there before", said)
    self.assertIn("keep    gs://my-project-keras-remote-jobs", said)
    self.assertIn("what `keras-remote up` made for keras-remote is rem", said)
    self.assertIn("`keras-remote up --adopt` with the same names", said)
    said = self.type("down", "--project", PROJECT, "--yes").stdout
    self.assertIn("which keras-remote has not made", said)
    self.assertNotIn("gcloud storage rm", said)

  def test_kept_images_of_others(self) -> None:
    """Nobody is told how to delete what another cluster uses."""
    self.up("--accelerator", "cpu")
    self.up("--accelerator", "cpu", "--cluster", "other")
    down = ("down", "--yes", "--project", PROJECT)
    self.type(*down, "--cluster", "keras-remote", "--keep-data")
    said = self.type(*down, "--cluster", "keras-remote").stdout
    self.assertIn("gcloud storage rm --recursive gs://my-pro", said)
    self.assertIn("which are not this cluster's alone", said)
    self.assertNotIn("gcloud artifacts", said)

  def test_kept_and_removed_by_hand(self) -> None:
    """When the bucket is gone nothing is known of it any more."""
    self.up("--accelerator", "cpu", "--cluster", "other")
    down = ("down", "--yes", "--project", PROJECT, "--cluster", "other")
    self.type(*down, "--keep-data")
    said = self.type(*down).stdout
    self.assertIn("gs://my-project-other-jobs are removed already", said)
    self.assertIn("gcloud artifacts repositories delete", said)
    self.assertIn("there is nothing to remove", self.type(*down).stdout)

  def test_failure_and_resume(self) -> None:
    """The same command goes on."""
    self.up("--accelerator", "l4")
    self.change(faults={"gpu-l4": "Error 403: forbidden"})
    said = self.refused("down", "--yes", code=1)
    self.assertIn("the node pool gpu-l4 was not removed", said)
    self.change(faults={})
    self.document("down", "down", "--yes")
    self.cloud.load()
    self.assertEqual(self.cloud.there, {})

  def test_members_of_two_clusters(self) -> None:
    """What one has by another cluster too stays, whichever goes."""
    both = ("--accelerator", "cpu", "--member", "user:ada@example.com")
    self.up(*both)
    self.up(*both, "--cluster", "other", "--member", "user:ben@example.com")
    project = {each for each in self.rights() if "gcp:projects/" in each}
    ada = {each for each in project if "ada@" in each}
    self.assertLen(ada, 4)
    record = self.record("other")
    stack.up(
      clusters.parts(
        tools(self.path), dataclasses.replace(record.config, members=())
      ),
      lambda told: None,
      planned=record,
    )
    rights = self.rights()
    self.assertEmpty([each for each in rights if "ben@" in each])
    self.assertContainsSubset(ada, rights)
    self.assertLen([r for r in rights if "ada@" in r and "other" in r], 0)
    self.up("--cluster", "other", "--member", "user:ada@example.com")
    down = ("down", "--yes", "--project", PROJECT, "--cluster")
    self.type(*down, "keras-remote")
    self.assertContainsSubset(ada, self.rights())
    self.type(*down, "other")
    self.assertEmpty(self.rights())

  def test_images_are_said(self) -> None:
    """It says whether they go."""
    self.up("--accelerator", "cpu")
    self.up("--accelerator", "cpu", "--cluster", "other")
    down = ("down", "--yes", "--project", PROJECT, "--cluster")
    said = self.type(*down, "other").stdout
    self.assertIn("keep    the images of jobs", said)
    said = self.type(*down, "keras-remote").stdout
    self.assertIn("- remove  the images of jobs", said)

  def rights(self) -> set[str]:
    """All that the cloud has."""
    self.cloud.load()
    return {
      f"{key} {inputs['member']}"
      for key, inputs in self.cloud.there.items()
      if "member" in inputs
    }


class InitTest(InfraCase):
  def test_the_only_one(self) -> None:
    """A colleague's cluster is found in the project, and joined."""
    self.up("--accelerator", "v5e-8")
    self.forget()
    result = self.type("init", "--project", PROJECT)
    self.assertIn("joined keras-remote in us-central1-a", result.stdout)
    self.assertIn("run --accelerator v5e-8", result.stdout)
    self.assertEqual(self.profiles.active, "keras-remote")
    found = self.document("init", "init", "--project", PROJECT)
    self.assertEqual(found["profile"], "keras-remote")

  def test_none(self) -> None:
    """It leads to `up`."""
    said = self.refused("init", "--project", PROJECT)
    self.assertIn(f"`keras-remote up --project {PROJECT}` makes one", said)

  def test_several(self) -> None:
    """They are named, and so is the flag; with it, that one is joined."""
    self.up("--accelerator", "cpu")
    self.up("--accelerator", "cpu", "--cluster", "other")
    self.forget()
    self.add_bucket("other")
    said = self.refused("init", "--project", PROJECT)
    self.assertIn("keras-remote in us-central1-a, other in us-cen", said)
    self.assertIn("--cluster names one", said)
    self.type("init", "--project", PROJECT, "--cluster", "other")
    self.assertEqual(self.profiles.active, "other")
    said = self.refused("init", "--project", PROJECT, "--cluster", "third")
    self.assertIn("it has keras-remote, other: --cluster names one", said)

  def test_bucket_of_another_project(self) -> None:
    """Nobody is led to it, though what is known of the cluster does so."""
    self.up("--accelerator", "cpu")
    self.forget()
    with taken(f"{PROJECT}-keras-remote-jobs"):
      said = self.refused("init", "--project", PROJECT, code=1)
      status = self.type("status", "--project", PROJECT).stdout
    self.assertIn("is none of project my-project: another project has", said)
    self.assertIn("is none of project my-project", " ".join(status.split()))
    self.assertNotIn("keras-remote", self.profiles.tables)

  def test_no_bucket(self) -> None:
    """Whoever makes it first would have the jobs."""
    self.up("--accelerator", "cpu", "--cluster", "other")
    self.forget()
    said = self.refused("init", "--project", PROJECT)
    self.assertIn("gs://my-project-other-jobs, which the jobs of other", said)

  def forget(self) -> None:
    """As on another machine."""
    (self.base / "home" / "config.toml").unlink()


class PoolTest(InfraCase):
  def setUp(self) -> None:
    super().setUp()
    self.up("--accelerator", "v5e-8")

  def test_list(self) -> None:
    """It tells each pool, that of CPUs too."""
    lines = self.type("pool", "list").stdout.splitlines()
    self.assertLen(lines, 3)
    self.assertRegex(lines[2], r"tpu-v5e-8 +v5e-8 +0 +4")
    found = self.document("pool-list", "pool", "list")
    self.assertEqual([each["name"] for each in found], ["cpu", "tpu-v5e-8"])

  def test_add(self) -> None:
    """A second one of a kind has a name of its own."""
    self.document("up", "pool", "add", "v5e-16", "--yes")
    self.type("pool", "add", "v5e-16", "--yes")
    names = [
      each["name"] for each in self.document("pool-list", "pool", "list")
    ]
    self.assertEqual(names, ["cpu", "tpu-v5e-8", "tpu-v5e-16", "tpu-v5e-16-2"])
    self.assertIn("create tpu-v5e-16-2", self.log)

  def test_add_what_google_does_not_have_so(self) -> None:
    """It is refused, with the flag that makes it right."""
    said = self.refused("pool", "add", "h200x8", "--yes")
    self.assertIn("or for 'h200x8' with --reservation", said)

  def test_resize(self) -> None:
    """That pool alone is changed; what is not said stays."""
    self.type("pool", "resize", "tpu-v5e-8", "--max-nodes", "9", "--yes")
    more = ("pool", "resize", "tpu-v5e-8", "--min-nodes", "1", "--yes")
    self.assertIn("is to keep 1 from now on:\n", self.type(*more).stdout)
    # By `up` as well; of fewer, and of a new pool, there is nothing to say.
    pools = ("up", "--accelerator", "v5e-8", "--accelerator", "l4", "--yes")
    said = self.type(*pools, "--min-nodes", "2").stdout
    self.assertIn("tpu-v5e-8 is to keep 2 from now on:\n", said)
    self.assertNotIn("gpu-l4 is to keep", said)
    self.assertNotIn("is to keep", self.type(*more).output)
    self.type("pool", "resize", "cpu", "--max-nodes", "3", "--yes")
    found = {p["name"]: p for p in self.document("pool-list", "pool", "list")}
    tpu, cpu = found["tpu-v5e-8"], found["cpu"]
    self.assertEqual((tpu["min_nodes"], tpu["max_nodes"]), (1, 9))
    self.assertEqual((cpu["min_nodes"], cpu["max_nodes"]), (1, 3))
    said = self.refused("pool", "resize", "tpu-v5e-9", "--max-nodes", "1")
    self.assertIn("did you mean 'tpu-v5e-8'?", said)
    said = self.refused("pool", "resize", "tpu-v5e-8")
    self.assertIn("give --min-nodes or --max-nodes", said)

  def test_remove(self) -> None:
    """A pool that no job uses is removed."""
    self.kubernetes()
    self.document("up", "pool", "remove", "tpu-v5e-8", "--yes")
    self.assertIn("delete tpu-v5e-8", self.log)
    self.assertEqual(self.record().config.pools, ())
    said = self.refused("pool", "remove", "tpu-v5e-8")
    self.assertIn("has no pool 'tpu-v5e-8'", said)

  def test_remove_one_in_use(self) -> None:
    """It is refused, with the jobs' names; what has ended does not count."""
    api = self.kubernetes()
    add_node(api, "machine", "tpu-v5e-8")
    add_node(api, "other", "cpu")
    add_pod(api, "done", "machine", namespace="default", phase="Succeeded")
    add_pod(api, "far", "other", namespace="default", phase="Running")
    add_pod(api, "busy", "machine", namespace="default", phase="Running")
    said = self.refused("pool", "remove", "tpu-v5e-8", "--yes")
    self.assertIn("the pool tpu-v5e-8 is used by busy", said)
    self.assertNotIn("delete tpu-v5e-8", self.log)
    self.type("pool", "remove", "tpu-v5e-8", "--yes", "--force")
    self.assertIn("delete tpu-v5e-8", self.log)

  def test_remove_unseen(self) -> None:
    """Where the cluster does not tell, it is not removed unasked."""
    said = self.refused("pool", "remove", "tpu-v5e-8", "--yes", code=1)
    self.assertIn("cannot be told", said)
    self.assertIn("`--force` removes it without knowing", said)


class StatusTest(InfraCase):
  def setUp(self) -> None:
    super().setUp()
    self.builds = self.images()

  def test_all_of_it(self) -> None:
    """Each part says what it is, and the machines what they cost."""
    self.up("--accelerator", "v5e-8")
    api = self.kubernetes()
    add_node(api, "one", "cpu")
    add_node(api, "two", "tpu-v5e-8")
    found = self.document("status", "status")
    parts = found["parts"]
    self.assertEqual(parts["cluster"]["data"], {"version": "1.34.0"})
    self.assertEqual(parts["nodes"]["data"], {"cpu": 1, "tpu-v5e-8": 1})
    self.assertEqual(parts["jobs"]["sentence"], "none now")
    self.assertEqual(parts["bucket"]["data"]["objects"], 0)
    self.assertEqual(parts["images"]["data"], {"count": 0})
    nodes = {pool["name"]: pool["nodes"] for pool in found["pools"]}
    self.assertEqual(nodes, {"cpu": 1, "tpu-v5e-8": 1})
    self.assertEqual(found["an_hour_now"]["usd"], 9.83)
    text = self.type("status").stdout
    self.assertRegex(text, r"cluster +answers, Kubernetes 1.34.0")
    self.assertRegex(text, r"now +9.83 USD an hour \(prices")
    self.assertRegex(text, r"cpu +cpu +1 +8 +0.13")
    self.assertRegex(text, r"tpu-v5e-8 +v5e-8 +1 +4 +9.60")

  def test_what_cannot_be_reached(self) -> None:
    """It says why in its row; the rest is shown, and it is no failure."""
    self.up("--accelerator", "v5e-8")
    self.builds.fault = lambda method: (
      grpc.StatusCode.PERMISSION_DENIED,
      "not you",
    )
    found = self.document("status", "status")
    self.assertFalse(found["parts"]["cluster"]["ok"])
    self.assertIn(
      "no project 'my-project'", found["parts"]["nodes"]["sentence"]
    )
    self.assertTrue(found["parts"]["bucket"]["ok"])
    self.assertIsNone(found["an_hour_now"])
    text = self.type("status").stdout
    self.assertRegex(text, r"images +Artifact Registry did not tell")
    self.assertRegex(text, r"tpu-v5e-8 +v5e-8 +\? +4 +\?")

  def test_images_and_jobs(self) -> None:
    """Images are counted by what they are, jobs by how they are."""
    self.up("--accelerator", "cpu")
    for digest in ("sha256:1", "sha256:2", "sha256:1"):
      build = cloud_build.Build()
      build.results.images.append(cloud_build.BuiltImage(digest=digest))
      self.builds.builds.append(build)
    store = open_store("gs://my-project-keras-remote-jobs")
    for job in ("train-20260101-000001-abcdef", "train-20260101-000002-abcdef"):
      spec = job_spec(job, submitted="2026-01-01T00:00:00.000+00:00")
      index.add(store, spec)
      # A later keras_remote's, which has not ended.
      store.write(f"jobs/{job}/spec.json", b'{"version": 99}')
    index.add_ending(store, spec, State.SUCCEEDED)
    parts = self.document("status", "status")["parts"]
    self.assertEqual(parts["images"]["data"], {"count": 2})
    self.assertEqual(parts["jobs"]["sentence"], "1 RUNNING; 1 of them for long")
    (job,) = parts["jobs"]["data"]
    self.assertEqual(job["id"], "train-20260101-000001-abcdef")
    # It began in January.
    self.assertGreater(job["lasting"]["seconds"], 24 * 60 * 60)
    self.assertIsNone(job["lasting"]["usd_an_hour"])
    text = self.type("status").stdout
    _, below = text.split("\nFor long now:\n")
    self.assertRegex(below, rf"{job['id']} +running for \d+ d")

  def test_machines_that_nobody_asked_for(self) -> None:
    """What they cost is not known, which is said of each pool."""
    self.up("--accelerator", "v5e-8")
    api = self.kubernetes()
    add_node(api, "one", "tpu-v5e-8")
    add_node(api, "two", "default-pool")
    found = self.document("status", "status")
    self.assertEqual(found["an_hour_now"]["unknown"], ["the pool default-pool"])
    self.assertIn("disks", found["an_hour_now"]["left_out"])
    text = self.type("status").stdout
    self.assertRegex(
      text, r"now +9.70 USD an hour without the pool default-poo"
    )
    self.assertRegex(text, r"default-pool +\? +1 +\?")
    self.assertIn("disks and the network come to it", text)
    # Also before they are made.
    plan = self.type("up", "--accelerator", "l4", "--preview").stdout
    self.assertIn("disks and the network come to it", plan)

  def test_while_it_is_changed(self) -> None:
    """It is said who is at it, or was."""
    self.change(stops="tpu-v5e-8")
    self.refused("up", *_V5E, "--yes", code=1)
    text = self.type("status", "--project", PROJECT).stdout
    self.assertRegex(text, r"state +updating by \S+ since 20")

  def test_nothing(self) -> None:
    """It leads to `up`."""
    said = self.refused("status", "--project", PROJECT)
    self.assertIn("`keras-remote up` makes one", said)


if __name__ == "__main__":
  absltest.main()
