"""`keras-remote jobs list` of jobs on a cluster that last."""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from click.testing import CliRunner

from keras_remote import clock
from keras_remote.backend.k8s import pods, shared
from keras_remote.backend.k8s.objects import JOBS, PODS, Kind
from keras_remote.cli.main import cli
from keras_remote.core.jobs import JobSummary
from keras_remote.core.lasting import lasting
from keras_remote.home import Home, ensure
from keras_remote.job import index, layout, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome, Started
from keras_remote.job.spec import JobSpec, Target
from keras_remote.job.state import State
from keras_remote.packaging.provenance import who
from keras_remote.storage.open import open_store
from tests.fakes.api_server import ApiServer
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig
from tests.fakes.specs import job_spec

_GKE, _ELSEWHERE = "gke_my-project_us-central1-a_train", "on-premises"
_RUNNING: dict[str, Any] = {"running": {}}
_WAITING = {"waiting": {"reason": "ContainerCreating"}}
_COLUMNS = 80


class LastingTest(parameterized.TestCase):
  """Jobs of a cluster whose API server says what the test puts there."""

  def setUp(self) -> None:
    super().setUp()
    self.server = self.enter_context(ApiServer())
    folder = self.create_tempdir().full_path
    path = kubeconfig(folder, _GKE, _ELSEWHERE, server=self.server.url)
    self.home = Home(ensure(Path(folder) / "home"))
    self.enter_context(
      environment(KUBECONFIG=path, KERAS_REMOTE_HOME=str(self.home.path))
    )
    self.addCleanup(shared.close_all)
    self.store = open_store(str(self.home.path))

  def job(
    self,
    job_id: str,
    hours: float,
    state: dict[str, Any],
    *,
    began: float | None = None,
    context: str = _GKE,
    backend: str = "gke",
  ) -> None:
    """A job that was submitted so long ago, and has run for `began` hours."""
    now = clock.now()
    at = now - datetime.timedelta(hours=hours)
    spec = job_spec(job_id, submitted=at.isoformat(timespec="milliseconds"))
    spec = dataclasses.replace(
      spec,
      origin=dataclasses.replace(spec.origin, who=who()),
      target=Target(backend, self.store.uri, f"{context}/team"),
    )
    directory = JobDirectory(self.store, job_id, b"key")
    directory.create_spec(spec, b"key")
    if began is not None:
      then = now - datetime.timedelta(hours=began)
      directory.create_started(Started(1, "pod", "", then.isoformat()))
    self.put(JOBS, spec, {"spec": {}})
    status = {"phase": "Running", "containerStatuses": [{"state": state}]}
    containers = {"containers": [{"image": "image:1"}]}
    self.put(PODS, spec, {"spec": containers, "status": status})

  def put(self, kind: Kind, spec: JobSpec, body: dict[str, Any]) -> None:
    metadata = {"name": spec.job_id, "labels": pods.labels(spec)}
    path = f"/{kind.group}/namespaces/team/{kind.plural}"
    self.server.put(path, {"metadata": metadata, **body})

  def listed(self, *arguments: str) -> str:
    ran = CliRunner().invoke(
      cli, ("jobs", "list", *arguments), prog_name="keras-remote"
    )
    self.assertEqual(ran.exit_code, 0, ran.output)
    return ran.stdout

  def note(self) -> list[str]:
    """The lines that are said below the table."""
    return self.listed().partition("\nFor long now:\n")[2].splitlines()

  def lasting(self) -> dict[str, Any]:
    """What the document says of each job."""
    found = json.loads(self.listed("--json"))
    return {job["id"]: job["lasting"] for job in found}

  def test_those_that_last(self) -> None:
    """Each is named with its time and what an hour of it may cost."""
    self.job("train-a", 20, _RUNNING, began=13.5)
    self.job("train-b", 1.5, _WAITING)
    note = self.note()
    self.assertEqual(
      [" ".join(line.split()) for line in note[:2]],
      [
        "train-b pending for 1 h 9.60 USD/h",
        "train-a running for 13 h 9.60 USD/h",
      ],
    )
    self.assertIn("us-central1, March 2026", note[2])
    self.assertLessEqual(max(map(len, note)), _COLUMNS)
    found = self.lasting()
    self.assertEqual(found["train-a"]["usd_an_hour"], 9.60)
    self.assertAlmostEqual(found["train-a"]["seconds"], 13.5 * 3600, delta=600)

  def test_those_that_do_not(self) -> None:
    """A job that waited for long and has begun only now does not last yet."""
    self.job("train-a", 0.5, _WAITING)
    self.job("train-b", 11, _RUNNING, began=11)
    self.job("train-c", 40, _RUNNING, began=2)
    self.assertEmpty(self.note())
    self.assertEqual(set(self.lasting().values()), {None})

  def test_a_price_that_nobody_knows(self) -> None:
    """The job is named all the same."""
    self.job("train-a", 2, _WAITING, context=_ELSEWHERE)
    note = self.note()
    self.assertEqual(note[0].split(), ["train-a", "pending", "for", "2", "h"])
    self.assertNotIn("Price", "".join(note))
    self.assertIsNone(self.lasting()["train-a"]["usd_an_hour"])

  @parameterized.parameters("", "noon", "2026-11-20T10:00:00")
  def test_a_start_that_is_no_time(self, at: str) -> None:
    """A job's own file may say anything: it counts from its submission."""
    self.job("train-a", 20, _RUNNING)
    directory = JobDirectory(self.store, "train-a", b"key")
    directory.create_started(Started(1, "pod", "", at))
    self.assertIn("running for 20 h", " ".join(self.note()[0].split()))

  def test_those_of_this_machine(self) -> None:
    """Nobody pays for them by the hour: they are named in no case."""
    self.job("train-a", 20, _RUNNING, began=20, backend="local")
    at = clock.now() - datetime.timedelta(hours=20)
    job = JobSummary("train-a", State.RUNNING, at, "", "", "", "local", ())
    self.assertEmpty(list(lasting(self.store, [job])))

  @parameterized.parameters(
    ({"version": 99},), ({"started": "yesterday"},), ({"fresh": 1},)
  )
  def test_an_ending_that_is_not_legible(self, changes: dict[str, Any]) -> None:
    """It breaks no list, which says what the list's own entry says."""
    self.job("train-a", 2, _RUNNING)
    directory = JobDirectory(self.store, "train-a", b"key")
    ended = Outcome(
      1, State.SUCCEEDED, Cause.RETURNED, "", "2026-01-02T03:04:05Z", "host 0"
    )
    outcome = json.loads(wire.encode(ended))
    data = json.dumps({**outcome, **changes}).encode()
    self.store.create(layout.job("train-a", layout.OUTCOME), data)
    index.add_ending(self.store, directory.spec(), State.SUCCEEDED, 61.0)
    self.assertIn("1 min 01 s", self.listed())


if __name__ == "__main__":
  absltest.main()
