"""Manifests as data. A golden file that is deleted is made anew here."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.backend.k8s import pods, secrets
from keras_remote.job.launch import ENDED_EXIT, RECIPE_VARIABLE
from keras_remote.job.spec import EntryKind, Image, JobSpec, Limits, Target
from tests.fakes.specs import JOB_ID, job_spec

_GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "k8s"


def _spec(accelerator: str) -> JobSpec:
  spec = job_spec(accelerator=accelerator)
  return dataclasses.replace(
    spec,
    resources=dataclasses.replace(spec.resources, emulated=False),
    target=Target("gke", "gs://bucket/team", "context/team"),
  )


def _manifest(spec: JobSpec, *, restricted: bool = False) -> dict[str, Any]:
  return pods.job_manifest(
    spec,
    digest="2" * 64,
    image="registry/image:1",
    runner="keras-remote-runner-3",
    variables=["HF_TOKEN"],
    restricted=restricted,
  )


class ManifestTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("cpu", "cpu"), ("gpu", "l4"), ("tpu", "v5e-8"), ("spot", "l4x2:spot")
  )
  def test_a_job(self, accelerator: str) -> None:
    """It is as the golden file of its kind, whatever changes."""
    spec = _spec(accelerator)
    limits = Limits(timeout=90.5) if accelerator == "v5e-8" else Limits()
    found = _manifest(dataclasses.replace(spec, limits=limits))
    self.assert_golden(accelerator.replace(":", "-"), found)

  def assert_golden(self, name: str, found: dict[str, Any]) -> None:
    golden = _GOLDEN / f"{name}.json"
    text = json.dumps(found, indent=2) + "\n"
    if not golden.exists():
      golden.write_text(text)
      self.fail(f"{golden} was missing: look at what it is now")
    self.assertEqual(text, golden.read_text())

  @parameterized.named_parameters(
    ("asked", "cpu-asked", False), ("restricted", "l4-restricted", True)
  )
  def test_a_job_with_options(self, name: str, restricted: bool) -> None:
    """It is as the golden file of its name."""
    spec = _spec(name.partition("-")[0])
    asked = dataclasses.replace(
      spec.resources,
      cpu="4",
      memory="16Gi",
      queue="gpus",
      priority_class="low",
      service_account="trainer",
    )
    if not restricted:
      spec = dataclasses.replace(spec, resources=asked)
    self.assert_golden(name, _manifest(spec, restricted=restricted))

  def test_a_user_of_no_name(self) -> None:
    """What the job was given for it counts."""
    manifest = pods.job_manifest(
      _spec("cpu"),
      digest="2" * 64,
      image="image",
      runner="runner",
      variables=["HOME"],
      restricted=True,
    )
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    self.assertEqual(names.count("HOME"), 1)
    self.assertEqual(names.count("USER"), 1)

  def test_starts(self) -> None:
    """One more than attempts, and none once the outcome is stored."""
    spec = dataclasses.replace(_spec("cpu"), limits=Limits(retries=2))
    job = _manifest(spec)["spec"]
    self.assertEqual(job["backoffLimit"], 3)
    rules = {rule["action"]: rule for rule in job["podFailurePolicy"]["rules"]}
    codes = rules["FailJob"]["onExitCodes"]
    self.assertEqual(codes["values"], [ENDED_EXIT])
    self.assertIn("onPodConditions", rules["Ignore"])

  def test_a_long_timeout(self) -> None:
    """The backstop stays a number that the API takes."""
    spec = dataclasses.replace(_spec("cpu"), limits=Limits(timeout=3e9))
    job = _manifest(spec)["spec"]
    self.assertEqual(job["activeDeadlineSeconds"], 2**31 - 1)

  def test_what_it_installs(self) -> None:
    """The first process is told where it is said, of what is in the Secret."""
    spec = dataclasses.replace(_spec("cpu"), image=Image("python:3", ("a",)))
    pod = _manifest(spec)["spec"]["template"]["spec"]
    variables = {v["name"]: v.get("value") for v in pod["containers"][0]["env"]}
    path = Path(variables[RECIPE_VARIABLE] or "")
    mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
    self.assertEqual(str(path.parent), mounts["key"]["mountPath"])
    volumes = {v["name"]: v for v in pod["volumes"]}
    items = [item["path"] for item in volumes["key"]["secret"]["items"]]
    self.assertEqual(items, [secrets.KEY, path.name])
    self.assertEqual(path.name, secrets.RECIPE)

  def test_odd_names(self) -> None:
    """Labels hold what they can; annotations hold what it is."""
    spec = _spec("cpu")
    who, name = "Ada Ü@home", "-" + "a" * 70
    origin = dataclasses.replace(spec.origin, who=who, name=name)
    metadata = _manifest(dataclasses.replace(spec, origin=origin))["metadata"]
    self.assertEqual(metadata["labels"]["keras-remote/owner"], "Ada")
    self.assertEqual(metadata["labels"]["keras-remote/name"], "a" * 62)
    self.assertEqual(metadata["annotations"]["keras-remote/owner"], who)
    self.assertEqual(metadata["annotations"]["keras-remote/name"], name)

  def test_a_command(self) -> None:
    """Its program is named; what follows may be anything."""
    spec = _spec("cpu")
    entry = dataclasses.replace(
      spec.entry,
      kind=EntryKind.COMMAND,
      qualname="",
      argv=("python", "-c", "x"),
    )
    metadata = _manifest(dataclasses.replace(spec, entry=entry))["metadata"]
    self.assertEqual(metadata["annotations"]["keras-remote/function"], "python")

  def test_what_finds_it(self) -> None:
    """Job and pod have the label that a watch asks for."""
    manifest = _manifest(_spec("cpu"))
    name, _, value = pods.selector(JOB_ID).partition("=")
    for metadata in (
      manifest["metadata"],
      manifest["spec"]["template"]["metadata"],
    ):
      self.assertEqual(metadata["labels"][name], value)

  def test_the_archive(self) -> None:
    """It is named by its content, and nobody can change it."""
    found = pods.archive_map(b"zip")
    self.assertEqual(found["metadata"]["name"], pods.archive_name(b"zip"))
    self.assertNotEqual(pods.archive_name(b"zip"), pods.archive_name(b"zap"))
    self.assertTrue(found["immutable"])
    (data,) = found["binaryData"].values()
    self.assertEqual(base64.b64decode(data), b"zip")


if __name__ == "__main__":
  absltest.main()
