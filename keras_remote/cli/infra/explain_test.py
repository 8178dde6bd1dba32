"""What Google and Pulumi say, as sentences with a cure."""

import os
import socket

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.accelerators import zones
from keras_remote.cli.config import InfraConfig, NodePool
from keras_remote.cli.infra.engine import (
  Change,
  EngineError,
  Failure,
  LockedError,
  Op,
  Resource,
  StoppedError,
)
from keras_remote.cli.infra.explain import explain, explained
from keras_remote.cli.infra.kinds import BUCKET, CLUSTER, POOL, SERVICE

_CONFIG = InfraConfig(
  "my-project", "us-central1-a", pools=(NodePool("h100x8"),)
)
_CLUSTER = Resource(CLUSTER, "cluster", {"name": "keras-remote"})
_POOL = Resource(POOL, "gpu-h100x8", {"name": "gpu-h100x8"})
_BUCKET = Resource(BUCKET, "jobs", {"name": "my-project-keras-remote-jobs"})
_API = Resource(SERVICE, "container", {"service": "container.googleapis.com"})
_NETWORK = "gcp:compute/network:Network"
_NO_BILLING = (
  "Error 403: Billing account for project '123' is not found. Billing must be "
  "enabled for activation of service(s) 'container.googleapis.com' to "
  "proceed., failedPrecondition, UREQ_PROJECT_BILLING_NOT_FOUND"
)
_NOT_USED = (
  "Error 403: Kubernetes Engine API has not been used in project 123 before "
  "or it is disabled. Enable it by visiting https://console.developers."
  "google.com/apis/api/container.googleapis.com/overview?project=123 then "
  "retry., SERVICE_DISABLED"
)


class ExplainTest(parameterized.TestCase):
  @parameterized.named_parameters(
    (
      "no billing",
      _API,
      _NO_BILLING,
      "the project my-project has no billing account.*"
      "billing/linkedaccount.project=my-project links one",
    ),
    (
      "billing disabled",
      _CLUSTER,
      'reason: "BILLING_DISABLED"',
      "has no billing account",
    ),
    (
      "an API that is not on yet",
      _CLUSTER,
      _NOT_USED,
      "the cluster keras-remote was not made: the API container.googleapis.com "
      "is not enabled yet.*some minutes; type this again",
    ),
    (
      "the API that enables others",
      _API,
      "Error 403: Service Usage API has not been used in project 123 before or "
      "it is disabled: serviceusage.googleapis.com",
      "gcloud services enable serviceusage.googleapis.com --project=my-project",
    ),
    (
      "an API that cannot be enabled",
      _API,
      "Error 403: Permission denied to enable service "
      "[container.googleapis.com], forbidden",
      "the API container.googleapis.com cannot be enabled in project "
      "my-project.*roles/serviceusage.serviceUsageAdmin",
    ),
    (
      "a quota of a region",
      _POOL,
      "Error 403: Insufficient regional quota to satisfy request: resource "
      "\"NVIDIA_H100_GPUS\": request requires '8.0' and is short '8.0'.",
      "the node pool gpu-h100x8 was not made: the quota NVIDIA_H100_GPUS is "
      "not enough: https://console.cloud.google.com/iam-admin/quotas.project="
      "my-project asks for more .look for NVIDIA_H100_GPUS in us-central1.",
    ),
    (
      "a quota of the whole project, as the provider has it",
      _POOL,
      "error creating NodePool: googleapi: Error 403: Insufficient project "
      'quota to satisfy request: resource "GPUS_ALL_REGIONS": request '
      "requires '8.0' and is short '8.0'. project has a quota of '0.0' with "
      "'0.0' available. View and manage quotas at https://…, forbidden",
      "the quota GPUS_ALL_REGIONS, which is 0.0, is not enough: .*asks for "
      "more .look for GPUS_ALL_REGIONS., or take fewer",
    ),
    (
      "a quota with its limit",
      _POOL,
      "GCE_QUOTA_EXCEEDED: Quota 'NVIDIA_H100_GPUS' exceeded.  Limit: 4.0 in "
      "region us-central1.",
      "the quota NVIDIA_H100_GPUS, which is 4.0, is not enough",
    ),
    (
      "a quota without a name",
      _POOL,
      "reason: GCE_QUOTA_EXCEEDED",
      "the quota of the project is not enough",
    ),
    (
      "no machines left",
      _POOL,
      "Not all instances running in IGM after 35m. Current errors: "
      "[GCE_STOCKOUT]: ZONE_RESOURCE_POOL_EXHAUSTED",
      "us-central1-a has no such machines left just now: try again later, or "
      "elsewhere .as of .* h100x8 is in us-central1-b, .* more",
    ),
    (
      "a zone without the machine",
      _POOL,
      "Error 400: Invalid machine type a3-highgpu-8g in zone us-central1-a: "
      "GCE_NOT_FOUND",
      "us-central1-a has no machines of this kind .as of",
    ),
    (
      "a zone without the GPU",
      _POOL,
      "The resource 'projects/p/zones/z/acceleratorTypes/nvidia-h100-80gb' was "
      "not found",
      "has no machines of this kind",
    ),
    (
      "a pool that GKE could not make whole",
      _POOL,
      'NodePool gpu-h100x8 was created in the error state "ERROR"',
      "the node pool gpu-h100x8 is there, but in error: `gcloud container "
      "node-pools describe gpu-h100x8 --cluster=keras-remote "
      "--location=us-central1-a --project=my-project "
      "--format='value.statusMessage.'` says why.*`keras-remote pool remove "
      "gpu-h100x8`, and then `keras-remote pool add h100x8`",
    ),
    (
      "a pool that cannot be without",
      Resource(POOL, "pool-cpu", {"name": "cpu"}),
      'NodePool cpu was created in the error state "RUNNING_WITH_ERROR"',
      "node-pools describe cpu .*`keras-remote down`, and then `keras-remote "
      "up`, make it anew",
    ),
    (
      "a cluster that GKE could not make whole",
      _CLUSTER,
      'Cluster keras-remote was created in the error state "ERROR"',
      "the cluster keras-remote is there, but in error: `gcloud container "
      "clusters describe keras-remote --location=us-central1-a "
      "--project=my-project --format='value.statusMessage.'` says why.*"
      "`keras-remote down`, and then `keras-remote up`, make it anew",
    ),
    (
      "a network that something else uses",
      Resource(_NETWORK, "network", {"name": "keras-remote-network"}),
      "Error when reading or editing Network: googleapi: Error 400: The "
      "network resource 'projects/p/global/networks/keras-remote-network' is "
      "already being used by 'projects/p/global/firewalls/k8s-fw-a1'., "
      "resourceInUseByAnotherResource",
      "it is used by projects/p/global/firewalls/k8s-fw-a1, which keras-remote "
      "has not made: remove that, and type this again",
    ),
    (
      "a cluster's name",
      _CLUSTER,
      "Error 409: Already exists: projects/p/zones/z/clusters/keras-remote.",
      "the cluster keras-remote was not made: there is one of this name.*"
      "--adopt.*--cluster.*keras-remote config set cluster keras-remote",
    ),
    (
      "a bucket's name",
      _BUCKET,
      "Error 409: The requested bucket name is not available., conflict",
      "another one has this name already, here or in another project.*--adopt",
    ),
    (
      "rights that others change",
      _CLUSTER,
      "Error 409: There were concurrent policy changes. Please retry the whole "
      "read-modify-write with exponential backoff., aborted",
      "not made: somebody else changes rights there at the moment.*type this "
      "again",
    ),
    (
      "a zone that there is not, or not for the project",
      _CLUSTER,
      "googleapi: Error 403: Permission denied on 'locations/us-central9-a' (or "
      "it may not exist)., forbidden",
      "^the cluster keras-remote was not made: us-central9-a is not there, or "
      "the project my-project may not use it: `gcloud compute zones list "
      "--project=my-project`",
    ),
    (
      "a place that the organisation forbids",
      _CLUSTER,
      "googleapi: Error 412: 'us-central1' violates constraint "
      "'constraints/gcp.resourceLocations' on the resource 'projects/1'",
      "the organisation of the project my-project allows nothing in "
      "us-central1: .*`--zone`",
    ),
    (
      "no rights",
      _CLUSTER,
      "Error 403: Required 'container.clusters.create' permission(s)",
      "whoever is logged in may not do this in project my-project "
      ".container.clusters.create.: who owns it",
    ),
    (
      "nobody logged in",
      _CLUSTER,
      "google: could not find default credentials. See https://…",
      "nobody is logged in.*gcloud auth application-default login",
    ),
    (
      "the state's bucket",
      None,
      "error: could not list bucket: blob (code=NotFound): storage: bucket "
      "doesn't exist",
      "gs://my-project-keras-remote-state.*is gone.*--adopt",
    ),
    (
      "a bucket that is not empty",
      _BUCKET,
      "Error trying to delete bucket x without `force_destroy` set to true",
      "it is not empty.*--keep-data",
    ),
    (
      "a bucket that got something just now",
      _BUCKET,
      "googleapi: Error 409: The bucket you tried to delete is not empty., "
      "conflict",
      "it is not empty.*--keep-data",
    ),
    (
      "no plugin",
      None,
      "error: could not download plugin for provider gcp",
      "plugin for Google Cloud: look at this machine's network",
    ),
    (
      "no network here",
      _CLUSTER,
      "dial tcp: lookup container.googleapis.com: no such host",
      "Google's services cannot be reached",
    ),
    (
      "anything else",
      _CLUSTER,
      "Error 500: of a kind\nthat nobody has seen yet",
      "the cluster keras-remote was not made: Error 500: of a kind that nobody",
    ),
  )
  def test_sentence(
    self, resource: Resource | None, text: str, expected: str
  ) -> None:
    """It says what failed, why, and what to do about it."""
    change = Change(Op.CREATE, resource) if resource else None
    said = explain(Failure(change, text), _CONFIG)
    self.assertRegex(said, f"(?s){expected}")
    self.assertNotIn("\n", said)

  def test_zones_of_the_table(self) -> None:
    """The near ones are named, without the one that lacks it."""
    said = explain(Failure(Change(Op.CREATE, _POOL), "GCE_STOCKOUT"), _CONFIG)
    having = zones.offers().zones(NodePool("h100x8").kind)
    others = [zone for zone in having if zone != _CONFIG.zone]
    self.assertLess(len(others), len(having))
    self.assertIn(f"is in {zones.some(_CONFIG.zone, others)})", said)

  def test_several(self) -> None:
    """Each failure has its sentence; what only repeats them is left out."""
    error = EngineError(
      "update failed",
      (
        Failure(Change(Op.CREATE, _POOL), "GCE_STOCKOUT"),
        Failure(Change(Op.CREATE, _CLUSTER), "Error 409: Already exists"),
        Failure(None, "update failed"),
      ),
    )
    said = str(explained(error, _CONFIG, "keras-remote up"))
    lines = said.splitlines()
    self.assertLen(lines, 3)
    self.assertStartsWith(lines[0], "- the node pool")
    self.assertStartsWith(lines[1], "- the cluster")
    self.assertIn("`keras-remote up` goes on from there", lines[2])

  def test_no_resource(self) -> None:
    """What fails without a resource is said as it is."""
    error = EngineError("code: 1\n stdout: \n stderr: error: it is broken")
    said = explained(error, _CONFIG, "keras-remote down")
    self.assertIsInstance(said, errors.InfraError)
    self.assertIn("it failed: stderr: error: it is broken", str(said))

  def test_interrupted(self) -> None:
    """It goes on with the same command."""
    said = str(
      explained(StoppedError("canceled"), _CONFIG, "keras-remote down")
    )
    self.assertIn("`keras-remote down` goes on from there", said)

  @parameterized.parameters(
    ("ada@elsewhere", 7, "ada@elsewhere (process 7) since 2026"),
    ("ada@{here}", os.getpid(), "(process {pid}, which runs)"),
    ("ada@{here}", 2**22 + 1, "(process {pid}, which runs no more)"),
  )
  def test_locked(self, who: str, pid: int, expected: str) -> None:
    """It names who, and of a process of this machine whether it lives."""
    here = socket.gethostname()
    text = f"x: created by {who} (pid {pid}) at 2026-11-26T04:52:14Z"
    error = LockedError(text.format(here=here))
    said = str(explained(error, _CONFIG, "keras-remote up"))
    self.assertIn(expected.format(pid=pid), said)
    self.assertIn("`keras-remote up --unlock`", said)


if __name__ == "__main__":
  absltest.main()
