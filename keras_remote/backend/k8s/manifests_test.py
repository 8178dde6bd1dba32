"""Manifests as data. A golden file that is deleted is made anew here."""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import manifests, pods, secrets, sets
from keras_remote.backend.k8s.template import Contents
from keras_remote.job.ids import MAX_LENGTH, new_job_id
from keras_remote.job.launch import (
  ENDED_EXIT,
  HOST_VARIABLE,
  LEADER_VARIABLE,
  RECIPE_VARIABLE,
)
from keras_remote.job.spec import EntryKind, Image, JobSpec, Limits, Target
from tests.fakes.specs import JOB_ID, job_spec

_GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "k8s"


def _spec(accelerator: str, *, hosts: int = 1, slices: int = 1) -> JobSpec:
  spec = job_spec(accelerator=accelerator)
  resources = dataclasses.replace(
    spec.resources, emulated=False, hosts=hosts, slices=slices
  )
  target = Target("gke", "gs://bucket/team", "context/team")
  return dataclasses.replace(spec, resources=resources, target=target)


def _asked(spec: JobSpec) -> JobSpec:
  """The job with all that one may ask for."""
  asked = dataclasses.replace(
    spec.resources,
    cpu="4",
    memory="16Gi",
    queue="gpus",
    priority_class="low",
    service_account="trainer",
  )
  return dataclasses.replace(spec, resources=asked)


def _limited(spec: JobSpec, **limits: Any) -> JobSpec:
  return dataclasses.replace(spec, limits=Limits(**limits))


def _contents(*variables: str, restricted: bool = False) -> Contents:
  return Contents(
    digest="2" * 64,
    image="registry/image:1",
    runner="keras-remote-runner-3",
    variables=variables or ("HF_TOKEN",),
    restricted=restricted,
  )


def _environ(template: dict[str, Any]) -> dict[str, Any]:
  """The variables of a template's container."""
  (container,) = template["spec"]["containers"]
  return {each["name"]: each for each in container["env"]}


class GoldenTest(parameterized.TestCase):
  """Manifests are as the golden files of their names, whatever changes."""

  @parameterized.named_parameters(
    ("cpu", "cpu"), ("gpu", "l4"), ("tpu", "v5e-8"), ("spot", "l4x2:spot")
  )
  def test_a_job_of_one_host(self, accelerator: str) -> None:
    """A Job, on the nodes that have its accelerator."""
    timeout = 90.5 if accelerator == "v5e-8" else None
    spec = _limited(_spec(accelerator), timeout=timeout)
    found = manifests.job_manifest(spec, _contents())
    self.assert_golden(accelerator.replace(":", "-"), found)

  def test_a_job_that_asks(self) -> None:
    """It gets what it asks for, in the queue."""
    found = manifests.job_manifest(_asked(_spec("cpu")), _contents())
    self.assert_golden("cpu-asked", found)

  def test_a_restricted_job(self) -> None:
    """Its pod is nobody of rank."""
    contents = _contents(restricted=True)
    found = manifests.job_manifest(_spec("l4"), contents)
    self.assert_golden("l4-restricted", found)

  def test_an_indexed_job(self) -> None:
    """A pod for each host, and the Service by which they find each other."""
    spec = _spec("cpu", hosts=2)
    found = manifests.job_manifest(spec, _contents())
    service = manifests.service_manifest(spec)
    self.assert_golden("cpu-2-hosts-indexed", [found, service])

  def test_an_indexed_job_of_a_slice(self) -> None:
    """All its pods are in one pool, which they share with no other job."""
    spec = _spec("v5e-16", hosts=4)
    found = manifests.job_manifest(spec, _contents())
    self.assert_golden("v5e-16-indexed", found)

  @parameterized.named_parameters(
    ("slice", "v5e-16", _spec("v5e-16", hosts=4)),
    ("slices", "v5e-16-2-slices", _spec("v5e-16", hosts=8, slices=2)),
    ("gpus", "l4-2-hosts", _spec("l4", hosts=2)),
    ("asked", "l4-2-hosts-asked", _asked(_spec("l4", hosts=2))),
    ("spot", "v5e-16-spot", _spec("v5e-16:spot", hosts=4)),
  )
  def test_a_set(self, name: str, spec: JobSpec) -> None:
    """Its templates differ in what only the leader may."""
    self.assert_golden(f"set-{name}", sets.set_manifest(spec, _contents()))

  def test_a_restricted_set(self) -> None:
    """Nor are its pods."""
    spec = _spec("cpu", hosts=2)
    found = sets.set_manifest(spec, _contents(restricted=True))
    self.assert_golden("set-cpu-restricted", found)

  def test_what_a_set_comes_with(self) -> None:
    """Its owner, and what lets its hosts end it."""
    spec = _limited(
      _asked(_spec("l4", hosts=2)), timeout=90.5, retries=1, max_preemptions=2
    )
    found = [
      manifests.owner_manifest(spec, _contents()),
      sets.account(spec),
      sets.role(spec),
      sets.binding(spec),
      sets.release(spec),
    ]
    self.assert_golden("set-beside", found)

  def assert_golden(self, name: str, found: object) -> None:
    golden = _GOLDEN / f"{name}.json"
    text = json.dumps(found, indent=2) + "\n"
    if not golden.exists():
      golden.write_text(text)
      self.fail(f"{golden} was missing: look at what it is now")
    self.assertEqual(text, golden.read_text())


class JobTest(parameterized.TestCase):
  def test_a_user_of_no_name(self) -> None:
    """What the job was given for it counts."""
    contents = _contents("HOME", restricted=True)
    manifest = manifests.job_manifest(_spec("cpu"), contents)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    self.assertEqual(names.count("HOME"), 1)
    self.assertEqual(names.count("USER"), 1)

  @parameterized.parameters((1, "backoffLimit"), (2, "backoffLimitPerIndex"))
  def test_starts(self, hosts: int, limit: str) -> None:
    """One more than attempts, and none once the outcome is stored."""
    spec = _spec("cpu", hosts=hosts)
    job: dict[str, Any] = {}
    for retries, preemptions, failures in ((0, 0, 1), (2, 0, 3), (1, 10, 12)):
      found = _limited(spec, retries=retries, max_preemptions=preemptions)
      job = manifests.job_manifest(found, _contents())["spec"]
      self.assertEqual(job[limit], failures)
    rules = {rule["action"]: rule for rule in job["podFailurePolicy"]["rules"]}
    codes = rules["FailJob"]["onExitCodes"]
    self.assertEqual(codes["values"], [ENDED_EXIT])
    self.assertIn("onPodConditions", rules["Ignore"])

  def test_the_deadline(self) -> None:
    """It leaves room for all attempts, and for hosts that wait for others."""

    def deadline(hosts: int, **limits: Any) -> int:
      spec = _limited(_spec("cpu", hosts=hosts), timeout=1e6, **limits)
      job = manifests.job_manifest(spec, _contents())["spec"]
      owner = manifests.owner_manifest(spec, _contents())["spec"]
      name = "activeDeadlineSeconds"
      self.assertEqual(owner[name], job[name])
      return job[name]

    once, group = deadline(1), deadline(2, startup_timeout=5e5)
    self.assertGreater(deadline(1, retries=1), once + 1e6)
    self.assertGreater(deadline(1, max_preemptions=3), once + 3e6)
    self.assertGreaterEqual(group, once + 5e5)

  @parameterized.parameters(1, 2)
  def test_a_pool_that_is_full_for_days(self, hosts: int) -> None:
    """A job that waits a week for its nodes still has all its time then."""
    spec = _limited(_spec("cpu", hosts=hosts), timeout=60)
    for make in (manifests.job_manifest, manifests.owner_manifest):
      seconds = make(spec, _contents())["spec"]["activeDeadlineSeconds"]
      self.assertGreater(seconds, 7 * 24 * 60 * 60 + 60)

  @parameterized.parameters(1, 2)
  def test_a_node_that_is_little_used(self, hosts: int) -> None:
    """No autoscaler takes it away from under the job."""
    spec = _spec("v5e-16" if hosts > 1 else "cpu", hosts=hosts)
    job = manifests.job_manifest(spec, _contents())["spec"]["template"]
    made = sets.set_manifest(spec, _contents())["spec"]["leaderWorkerTemplate"]
    for pod in (job, made["leaderTemplate"], made["workerTemplate"]):
      self.assertEqual(
        pod["metadata"]["annotations"][
          "cluster-autoscaler.kubernetes.io/safe-to-evict"
        ],
        "false",
      )

  def test_no_timeout(self) -> None:
    """Then there is no deadline, but for what only somebody ends."""
    spec, name = _spec("cpu", hosts=2), "activeDeadlineSeconds"
    job = manifests.job_manifest(spec, _contents())["spec"]
    self.assertNotIn(name, job)
    owner = manifests.owner_manifest(spec, _contents())["spec"]
    self.assertEqual(owner[name], 30 * 24 * 60 * 60)

  def test_a_queue(self) -> None:
    """A group's own Job is not held by it: its time is for waiting, too."""
    name, month = "activeDeadlineSeconds", 30 * 24 * 60 * 60
    for hosts, make in (
      (1, manifests.job_manifest),
      (2, manifests.owner_manifest),
    ):
      spec = _limited(_spec("cpu", hosts=hosts), timeout=60)
      resources = dataclasses.replace(spec.resources, queue="team")
      spec = dataclasses.replace(spec, resources=resources)
      self.assertEqual(make(spec, _contents())["spec"][name] > month, hosts > 1)

  def test_a_long_timeout(self) -> None:
    """The backstop stays a number that the API takes."""
    spec = _limited(_spec("cpu"), timeout=3e9)
    job = manifests.job_manifest(spec, _contents())["spec"]
    self.assertEqual(job["activeDeadlineSeconds"], 2**31 - 1)

  def test_what_it_installs(self) -> None:
    """The first process is told where it is said, of what is in the Secret."""
    spec = dataclasses.replace(_spec("cpu"), image=Image("python:3", ("a",)))
    template = manifests.job_manifest(spec, _contents())["spec"]["template"]
    path = Path(_environ(template)[RECIPE_VARIABLE]["value"])
    pod = template["spec"]
    mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
    self.assertEqual(str(path.parent), mounts["key"]["mountPath"])
    volumes = {v["name"]: v for v in pod["volumes"]}
    items = [item["path"] for item in volumes["key"]["secret"]["items"]]
    self.assertEqual(items, [secrets.KEY, path.name])
    self.assertEqual(path.name, secrets.RECIPE)

  def test_a_command(self) -> None:
    """Its program is named; what follows may be anything."""
    spec = _spec("cpu")
    entry = dataclasses.replace(
      spec.entry,
      kind=EntryKind.COMMAND,
      qualname="",
      argv=("python", "-c", "x"),
    )
    spec = dataclasses.replace(spec, entry=entry)
    metadata = manifests.job_manifest(spec, _contents())["metadata"]
    self.assertEqual(metadata["annotations"]["keras-remote/function"], "python")

  def test_what_finds_it(self) -> None:
    """Job and pod have the label that a watch asks for."""
    manifest = manifests.job_manifest(_spec("cpu"), _contents())
    name, _, value = pods.selector(JOB_ID).partition("=")
    for metadata in (
      manifest["metadata"],
      manifest["spec"]["template"]["metadata"],
    ):
      self.assertEqual(metadata["labels"][name], value)


class GroupTest(parameterized.TestCase):
  def test_who_a_host_is(self) -> None:
    """Each pod learns it where it runs, by no name that has to resolve."""
    spec = _spec("cpu", hosts=2)
    group = sets.set_manifest(spec, _contents())["spec"]["leaderWorkerTemplate"]
    indexed = manifests.job_manifest(spec, _contents())["spec"]
    for template, index in (
      (group["leaderTemplate"], "leaderworkerset.sigs.k8s.io/worker-index"),
      (group["workerTemplate"], "leaderworkerset.sigs.k8s.io/worker-index"),
      (indexed["template"], "batch.kubernetes.io/job-completion-index"),
    ):
      environ = _environ(template)
      host = environ[HOST_VARIABLE]["valueFrom"]["fieldRef"]["fieldPath"]
      self.assertIn(f"'{index}'", host)
      leader = environ[LEADER_VARIABLE]["valueFrom"]["fieldRef"]["fieldPath"]
      self.assertEqual(leader, "status.podIP")

  def test_who_may_end_it(self) -> None:
    """Every host, and nothing but this one set and this one Job."""
    spec = _spec("cpu", hosts=2)
    group = sets.set_manifest(spec, _contents())["spec"]["leaderWorkerTemplate"]
    name = sets.release(spec)["metadata"]["name"]
    volumes = [
      [v["secret"]["secretName"] for v in t["spec"]["volumes"] if "secret" in v]
      for t in (group["leaderTemplate"], group["workerTemplate"])
    ]
    self.assertEqual(volumes, [[JOB_ID, name]] * 2)
    for rule in sets.role(spec)["rules"]:
      self.assertEqual(rule["resourceNames"], [JOB_ID])
      self.assertEqual(rule["verbs"], ["delete"])

  @parameterized.parameters(
    ("v5e-16", 4, 1, None, "exclusive-topology"),
    ("v5e-16", 8, 2, 4, "subgroup-exclusive-topology"),
    ("v5e-8", 2, 2, None, None),
    ("l4", 2, 1, None, None),
    ("cpu", 4, 1, None, None),
  )
  def test_slices(
    self,
    accelerator: str,
    hosts: int,
    slices: int,
    of_slice: int | None,
    exclusive: str | None,
  ) -> None:
    """One of several hosts has a pool for itself, and its hosts know it."""
    spec = _spec(accelerator, hosts=hosts, slices=slices)
    found = sets.set_manifest(spec, _contents())
    body = found["spec"]
    self.assertEqual(body["replicas"], 1)
    self.assertEqual(body["leaderWorkerTemplate"]["size"], hosts)
    policy = body["leaderWorkerTemplate"].get("subGroupPolicy", {})
    self.assertEqual(policy.get("subGroupSize"), of_slice)
    there = [
      name.partition("/")[2]
      for name in found["metadata"]["annotations"]
      if "topology" in name
    ]
    self.assertEqual(there, [exclusive] if exclusive else [])

  @parameterized.parameters(
    ("v5e-16", 4, 1, False), ("v5e-8", 2, 2, True), ("v5e-8", 1, 1, True)
  )
  def test_chips(
    self, accelerator: str, hosts: int, slices: int, told: bool
  ) -> None:
    """Only where a slice is one host are its chips told so here."""
    spec = _spec(accelerator, hosts=hosts, slices=slices)
    group = sets.set_manifest(spec, _contents())["spec"]["leaderWorkerTemplate"]
    for template in (group["leaderTemplate"], group["workerTemplate"]):
      self.assertEqual("TPU_WORKER_ID" in _environ(template), told)

  @parameterized.parameters(1, 10, 2304)
  def test_long_names(self, hosts: int) -> None:
    """With the longest id, and the most hosts that a TPU slice has, all fit.

    Also what the cluster makes of them: names of pods, and their labels.
    """
    job_id = new_job_id("a" * 99, datetime.datetime(2026, 1, 2))
    self.assertLen(job_id, MAX_LENGTH)
    last = hosts - 1
    names = [
      job_id,
      sets.release_name(job_id),
      # Of a set: its last pod, and the revision of the workers.
      f"{job_id}-0-{last}",
      f"{job_id}-0-{'f' * 10}",
      # Of an Indexed Job.
      f"{job_id}-{last}-{'f' * 5}",
    ]
    for name in names:
      self.assertRegex(name, "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")
    spec = job_spec(job_id, hosts=hosts)
    origin = dataclasses.replace(spec.origin, who="a" * 99, name="b" * 99)
    spec = dataclasses.replace(spec, origin=origin)
    for value in pods.labels(spec).values():
      self.assertLessEqual(len(value), 63)

  def test_a_queue(self) -> None:
    """It admits the set, as its Job has no pods."""
    spec = _asked(_spec("cpu", hosts=2))
    of_set = sets.set_manifest(spec, _contents())["metadata"]["labels"]
    self.assertEqual(of_set[pods.QUEUE_LABEL], "gpus")
    owner = manifests.owner_manifest(spec, _contents())
    self.assertNotIn(pods.QUEUE_LABEL, owner["metadata"]["labels"])
    self.assertNotIn("suspend", owner["spec"])


if __name__ == "__main__":
  absltest.main()
