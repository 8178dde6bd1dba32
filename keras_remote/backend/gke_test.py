"""What needs no cluster; tests/cluster/gke_test.py has what does."""

import base64
import dataclasses
import queue
import socket
import threading
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import clock, errors
from keras_remote.backend.base import Observation, Submission, Wanted
from keras_remote.backend.gke import GKEBackend
from keras_remote.backend.k8s import pods, secrets, shared
from keras_remote.backend.k8s.objects import (
  CONFIG_MAPS,
  EVENTS,
  JOBS,
  PODS,
  SECRETS,
  SERVICES,
)
from keras_remote.home import IMAGES, Home, ensure, holding
from keras_remote.job import endings, last_words, layout, signing
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import Cause, Outcome, Started
from keras_remote.job.spec import Image, JobSpec, Target
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import CONTEXT, KubernetesCase
from tests.fakes.specs import JOB_ID, job_spec

_BUCKET = "gs://bucket"
_RUNNING: dict[str, object] = {"running": {}}


class BackendCase(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    base = Path(self.create_tempdir().full_path)
    self.home = Home(ensure(base / "home"))
    # A bucket's part is played by a folder, for whoever only watches.
    self.store = open_store(str(ensure(base / "store")))
    self.backend = self.open()

  def open(
    self,
    context: str | None = CONTEXT,
    place: str | None = None,
  ) -> GKEBackend:
    return GKEBackend(self.home, Wanted(context, None), place)


class SettingsTest(BackendCase):
  @parameterized.parameters(
    ("here", None, "here/team"),
    (None, "here/mine", "here/mine"),
    ("other", "here/mine", "here/mine"),
    ("here", "theirs/mine", "here/mine"),
  )
  def test_places(
    self, context: str | None, place: str | None, expected: str
  ) -> None:
    """A job's own place counts, by a name that is known here."""
    self.assertEqual(self.open(context, place=place).place, expected)

  def test_no_context(self) -> None:
    """Nobody uses a cluster by accident."""
    with self.assertRaisesRegex(errors.ConfigError, "KERAS_REMOTE_CONTEXT"):
      self.open(None)
    with self.assertRaisesRegex(errors.ConfigError, "'arn:x/theirs'"):
      self.open(None, place="arn:x/theirs/mine")

  def test_hosts(self) -> None:
    """As many as there are nodes for."""
    for hosts in (1, 64):
      self.backend.check_hosts(hosts, named=False)

  def test_calls(self) -> None:
    """What pods cannot have is refused before anything is sent."""
    self.backend.check_call(_BUCKET, {"A": "b"})
    with self.assertRaisesRegex(errors.ConfigError, "gs://"):
      self.backend.check_call("/folder", {})
    with self.assertRaisesRegex(errors.ConfigError, "'a b'"):
      self.backend.check_call(_BUCKET, {"a b": "c"})
    self.assertEmpty(self.server.requests)


class SubmitTest(BackendCase):
  def submission(self, *, hosts: int = 1, **environ: str) -> Submission:
    runner = Path(self.create_tempfile(content="zip").full_path)
    target = Target("gke", _BUCKET, self.backend.place)
    spec = job_spec(accelerator="cpu")
    resources = dataclasses.replace(spec.resources, hosts=hosts)
    spec = dataclasses.replace(
      spec, target=target, image=Image("image:1"), resources=resources
    )
    return Submission(spec, "2" * 64, runner, environ, b"the key")

  def test_what_there_is_then(self) -> None:
    """The runner once, the secrets with their owner, and the Job."""
    for _ in range(2):
      self.backend.submit_job(self.submission(TOKEN="hunter2"))
    self.assertIsNotNone(self.found(CONFIG_MAPS, pods.archive_name(b"zip")))
    secret, job = self.owned(), self.found(JOBS, JOB_ID)
    (owner,) = secret["metadata"]["ownerReferences"]
    self.assertEqual(owner["uid"], job["metadata"]["uid"])
    values = {base64.b64decode(v) for v in secret["data"].values()}
    self.assertEqual(values, {b"hunter2", b"the key"})
    self.assertNotIn("hunter2", str(job))
    posted = [r.path for r in self.server.requests if r.method == "POST"]
    self.assertLen([path for path in posted if "configmaps" in path], 1)

  def test_several_hosts(self) -> None:
    """A pod for each, and a Service that goes with the Job."""
    for _ in range(2):
      self.backend.submit_job(self.submission(hosts=2))
    job, service = self.found(JOBS, JOB_ID), self.found(SERVICES, JOB_ID)
    self.assertEqual(job["spec"]["completions"], 2)
    (owner,) = service["metadata"]["ownerReferences"]
    self.assertEqual(owner["uid"], job["metadata"]["uid"])

  def test_several_slices(self) -> None:
    """No Job has them, and it says what does."""
    with self.assertRaisesRegex(errors.ConfigError, "pathways"):
      self.backend.check_hosts(8, named=True, slices=2)

  def test_sweeping(self) -> None:
    """What others left is removed once a day, and nobody waits for it."""
    lists: "queue.SimpleQueue[str]" = queue.SimpleQueue()

    def look(request: Request) -> None:
      if request.method == "GET" and request.path.endswith("/jobs"):
        lists.put(request.path)

    self.server.fault = look
    self.backend.submit_job(self.submission())
    lists.get(timeout=20)
    self.assertTrue(self.home.remembered("swept", self.backend.place))
    self.backend.submit_job(self.submission())
    self.assertTrue(lists.empty())

  def owned(self) -> Any:
    """The job's Secret, once it has its owner."""
    deadline = clock.monotonic() + 20
    while "ownerReferences" not in self.found(SECRETS, JOB_ID)["metadata"]:
      self.assertLess(clock.monotonic(), deadline, "it gets none")
      threading.Event().wait(0.01)
    return self.found(SECRETS, JOB_ID)

  def test_a_warm_call(self) -> None:
    """Two requests to have the Job: the first beside what is stored."""
    self.backend.submit_job(self.submission())
    self.owned()
    self.backend.cleanup_job(self.submission().spec)
    again = self.open()  # Every call has a backend of its own.
    again.signing_key()
    before = len(self.server.requests)
    asked: list[str] = []

    def stored() -> None:
      asked.extend(r.method for r in self.server.requests[before:])
      self.assertIsNone(self.found(JOBS, JOB_ID))

    again.submit_job(self.submission(), stored)
    self.owned()
    self.assertEqual(asked, ["POST"])
    methods = [r.method for r in self.server.requests[before:]]
    self.assertEqual(methods, ["POST", "POST", "PATCH"])

  def test_the_key(self) -> None:
    """A process asks for it once."""
    key = self.backend.signing_key()
    before = len(self.server.requests)
    self.assertEqual(self.open().signing_key(), key)
    self.assertLen(self.server.requests, before)

  def test_a_directory_that_cannot_be_stored(self) -> None:
    """Nothing is started, and nothing of it left; another's stays."""

    def stored() -> None:
      raise errors.StoreError("the bucket is gone")

    with self.assertRaisesRegex(errors.StoreError, "is gone"):
      self.backend.submit_job(self.submission(), stored)
    for kind in (JOBS, SECRETS):
      self.assertIsNone(self.found(kind, JOB_ID))
    self.put(SECRETS, {"metadata": {"name": JOB_ID}})
    with self.assertRaisesRegex(errors.StoreError, "is gone"):
      self.backend.submit_job(self.submission(), stored)
    self.assertIsNotNone(self.found(SECRETS, JOB_ID))

  def test_a_secret_that_another_job_of_this_id_left(self) -> None:
    """The job that is stored gets its own, and keeps it when it submits again."""
    theirs = secrets.job_secret(JOB_ID, {}, b"other", {}, spec="3" * 64)
    self.put(SECRETS, theirs)
    for _ in range(2):
      self.backend.submit_job(self.submission(TOKEN="mine"))
      values = self.owned()["data"].values()
      self.assertEqual(
        {base64.b64decode(v) for v in values}, {b"mine", b"the key"}
      )
    removed = [r for r in self.server.requests if r.method == "DELETE"]
    self.assertLen(removed, 1)

  def test_a_secret_that_another_job_of_this_id_made_meanwhile(self) -> None:
    """Who could not store its job removes its own alone."""
    theirs = secrets.job_secret(JOB_ID, {}, b"other", {}, spec="3" * 64)
    theirs["metadata"]["uid"] = "another"

    def stored() -> None:
      self.put(SECRETS, theirs)
      raise errors.StoreError("the id is taken")

    with self.assertRaisesRegex(errors.StoreError, "is taken"):
      self.backend.submit_job(self.submission(), stored)
    self.assertEqual(self.found(SECRETS, JOB_ID)["metadata"]["uid"], "another")

  def test_names_of_a_first_process(self) -> None:
    """They are not the user's to give: nothing else is left out."""
    self.backend.submit_job(
      self.submission(KERAS_REMOTE_LAUNCH_STORE="gs://theirs", A="b")
    )
    template = self.found(JOBS, JOB_ID)["spec"]["template"]
    environ = template["spec"]["containers"][0]["env"]
    stores = [e for e in environ if e["name"] == "KERAS_REMOTE_LAUNCH_STORE"]
    self.assertEqual([each["value"] for each in stores], [_BUCKET])
    self.assertEqual(environ[0]["name"], "A")

  def test_what_the_cluster_refuses(self) -> None:
    """The job was not taken, or the user may not."""
    for status, kind in (
      (422, errors.SubmitError),
      (403, errors.ClusterAccessError),
    ):
      self.server.fault = lambda request, status=status: status
      with self.assertRaises(kind):
        self.backend.submit_job(self.submission())

  def test_removal(self) -> None:
    """Nothing but the runner and the namespace's key is left."""
    self.backend.submit_job(self.submission())
    self.backend.cleanup_job(self.submission().spec)
    for kind in (JOBS, SECRETS):
      self.assertIsNone(self.found(kind, JOB_ID))


class WatchTest(BackendCase):
  def setUp(self) -> None:
    super().setUp()
    spec = job_spec(accelerator="cpu")
    target = Target("gke", self.store.uri, self.backend.place)
    self.spec = dataclasses.replace(spec, target=target)
    self.key = signing.job_key(self.backend.signing_key(), JOB_ID)
    self.directory = JobDirectory(self.store, JOB_ID, self.key)

  def watch(
    self, spec: JobSpec | None = None, timeout: float = 20.0
  ) -> list[Observation]:
    spec = spec or self.spec
    return list(self.backend.watch_job(spec, timeout=timeout))

  def put_job(self) -> None:
    labels = pods.labels(self.spec)
    self.put(JOBS, {"metadata": {"name": JOB_ID, "labels": labels}, "spec": {}})

  def put_pod(self, state: object, name: str = "pod") -> None:
    labels = pods.labels(self.spec)
    statuses = [{"state": state}]
    status = {"phase": "Running", "containerStatuses": statuses}
    metadata = {"name": name, "labels": labels}
    spec = {"containers": [{"image": "image:1"}]}
    self.put(PODS, {"metadata": metadata, "spec": spec, "status": status})

  def claim(self) -> None:
    now = clock.now().isoformat()
    started = Started(1, "allocation", "", now)
    self.directory.create_started(signing.sign(started, JOB_ID, self.key))

  def cancel(self) -> None:
    endings.cancel(self.directory, self.spec, self.key, "me")

  def test_an_outcome(self) -> None:
    """It counts, whatever is in the cluster."""
    self.cancel()
    self.put_job()
    self.put_pod(_RUNNING)
    self.assertEqual([s.state for s in self.watch()], [State.CANCELLED])

  def limited(self, seconds: float) -> JobSpec:
    """The job, with a time for which it waits in vain."""
    limits = dataclasses.replace(self.spec.limits, pending_timeout=seconds)
    return dataclasses.replace(self.spec, limits=limits)

  def test_waiting_in_vain(self) -> None:
    """Its time is up once, and nobody asks the cluster meanwhile."""
    self.put_job()
    self.put_pod({"waiting": {"reason": "InvalidImageName"}})
    seen = self.watch(self.limited(0.2), timeout=1.0)
    self.assertEqual([each.overdue for each in seen], [False, True])
    self.assertIn("InvalidImageName", seen[1].sentence)
    self.assertEqual(seen[1].state, State.PENDING)

  def test_an_image_that_is_gone(self) -> None:
    """It is remembered no more, so that the next call has it made again."""
    self.put_job()
    self.home.remember(IMAGES, "image:1")
    self.home.remember(IMAGES, "image:2")
    self.put_pod({"waiting": {"reason": "ImagePullBackOff"}})
    (seen,) = self.watch(timeout=0.5)
    self.assertEqual(seen.state, State.PENDING)
    self.assertFalse(self.home.remembered(IMAGES, "image:1"))
    self.assertTrue(self.home.remembered(IMAGES, "image:2"))

  def test_waiting(self) -> None:
    """For what may come there is no limit."""
    self.put_job()
    self.put_pod({"waiting": {"reason": "ContainerCreating"}})
    (seen,) = self.watch(self.limited(0.1), timeout=0.5)
    self.assertFalse(seen.overdue)

  def test_waiting_in_vain_for_a_while(self) -> None:
    """What heals begins anew."""
    self.put_job()
    self.put_pod({"waiting": {"reason": "InvalidImageName"}})
    watch = self.backend.watch_job(self.limited(0.3), timeout=20)
    self.assertFalse(next(watch).overdue)
    self.put_pod(_RUNNING)
    self.assertEqual(next(watch).state, State.RUNNING)

  def test_a_runner_that_is_gone(self) -> None:
    """Who submitted the job makes it again, once; others forget it."""
    runner = Path(self.create_tempfile(content="zip").full_path)
    target = dataclasses.replace(self.spec.target, store="gs://bucket")
    spec = dataclasses.replace(self.spec, target=target)
    self.backend.submit_job(Submission(spec, "2" * 64, runner, {}, b"key"))
    name = pods.archive_name(b"zip")
    self.remove(CONFIG_MAPS, name)
    self.put_pod({"waiting": {"reason": "ContainerCreating"}}, f"{JOB_ID}-x")
    self.put(
      EVENTS,
      {
        "metadata": {"name": "event"},
        "involvedObject": {"kind": "Pod", "name": f"{JOB_ID}-x"},
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "runner" : configmap '
        f'"{name}" not found',
      },
    )
    self.watch(timeout=0.1)
    self.assertIsNotNone(self.found(CONFIG_MAPS, name))
    self.remove(CONFIG_MAPS, name)
    self.watch(timeout=0.1)
    self.assertIsNone(self.found(CONFIG_MAPS, name))
    self.open().submit_job(Submission(spec, "2" * 64, runner, {}, b"key"))
    self.assertIsNotNone(self.found(CONFIG_MAPS, name))

  def test_no_request_while_it_runs(self) -> None:
    """What happens is pushed."""
    self.put_job()
    self.put_pod(_RUNNING)
    self.watch(timeout=0.1)
    before = len(self.server.requests)
    seen = self.watch(timeout=0.5)
    self.assertEqual([s.state for s in seen], [State.RUNNING])
    self.assertEmpty(self.server.requests[before:])

  def test_the_end_of_a_process_that_told(self) -> None:
    """The outcome is there when its pod says so."""
    self.put_job()
    self.put_pod(_RUNNING)
    watch = self.backend.watch_job(self.spec, timeout=20)
    self.assertEqual(next(watch).state, State.RUNNING)
    self.cancel()
    self.put_pod({"terminated": {"exitCode": 80}})
    self.assertEqual([s.state for s in watch], [State.CANCELLED])

  @parameterized.parameters(True, False)
  def test_last_words(self, ours: bool) -> None:
    """They save a look into the store, if the job signed them."""
    self.put_job()
    result = b"value"
    outcome = Outcome(
      1, State.SUCCEEDED, Cause.RETURNED, "", "now", "host 0",
      result=layout.digest(result),
    )  # fmt: skip
    key = self.key if ours else b"another key"
    signed = signing.sign(outcome, JOB_ID, key)
    words = last_words.record(signed, result)
    self.put_pod(_RUNNING)
    watch = self.backend.watch_job(self.spec, timeout=20)
    next(watch)
    self.cancel()  # What the store says is another thing, to tell them apart.
    self.put_pod({"terminated": {"exitCode": 0, "message": words}})
    (seen,) = watch
    if ours:
      self.assertEqual(seen.state, State.SUCCEEDED)
      self.assertEqual((seen.outcome, seen.result), (signed, result))
    else:
      self.assertEqual(seen.state, State.CANCELLED)
      self.assertIsNone(seen.result)

  def test_who_may_not_read_the_key(self) -> None:
    """States are shown, by what the store says; no last words are heard."""

    def refuse(request: Request) -> int | None:
      return 403 if "/secrets/" in request.path else None

    self.server.fault = refuse
    backend = self.open("other")  # It knows no key yet.
    self.put_job()
    self.put_pod(_RUNNING)
    watch = backend.watch_job(self.spec, timeout=20)
    self.assertEqual(next(watch).state, State.RUNNING)
    self.cancel()
    outcome = self.directory.outcome()
    assert outcome
    words = last_words.record(outcome, b"bomb")
    self.put_pod({"terminated": {"exitCode": 80, "message": words}})
    (seen,) = watch
    self.assertEqual((seen.state, seen.result), (State.CANCELLED, None))
    with self.assertRaises(errors.CredentialsError):
      backend.signing_key()

  def test_the_end_of_a_process_that_told_nobody(self) -> None:
    """The job is lost once no start can call; until then one may come."""
    self.put_job()
    self.put_pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    (seen,) = self.watch(timeout=0)
    self.assertEqual(seen.state, State.PENDING)
    self.claim()
    (seen,) = self.watch(timeout=0)
    self.assertEqual(seen.state, State.LOST)
    self.assertIn("OOMKilled", seen.sentence)

  def test_why_a_pod_died(self) -> None:
    """Whoever claimed an attempt is asked for by its uid."""
    self.put_job()
    self.put_pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    why = self.backend.death(self.spec, "uid-pod")
    self.assertIn("ran out of memory", why)
    self.remove(PODS, "pod")
    self.assertEqual(self.backend.death(self.spec, "uid-pod"), "")

  def test_a_job_that_somebody_deleted(self) -> None:
    """It is lost as soon as its last pod is gone."""
    self.put_job()
    self.put_pod(_RUNNING)
    watch = self.backend.watch_job(self.spec, timeout=20)
    next(watch)
    self.remove(JOBS, JOB_ID)
    self.assertEqual(next(watch).sentence, "its pod is being stopped")
    self.remove(PODS, "pod")
    (seen,) = watch
    self.assertEqual(seen.state, State.LOST)
    self.assertIn("deleted", seen.sentence)

  def test_what_is_being_sent(self) -> None:
    """Its Job comes, or its submitter dies."""
    path = ensure(self.home.preparing) / JOB_ID
    with holding(path):
      watch = self.backend.watch_job(self.spec, timeout=20)
      self.assertEqual(next(watch).state, State.PREPARING)
      self.put_job()
      self.assertEqual(next(watch).state, State.PENDING)
      del watch
      shared.close_all()  # Else it may be late to tell.
      self.remove(JOBS, JOB_ID)
      watch = self.backend.watch_job(self.spec, timeout=20)
      self.assertEqual(next(watch).state, State.PREPARING)
    (seen,) = watch
    self.assertEqual(seen.state, State.LOST)

  def test_a_job_that_comes_with_the_end_of_its_submitter(self) -> None:
    """It is not taken for lost, however late the watch tells of it."""
    path = ensure(self.home.preparing) / JOB_ID
    with holding(path):
      watch = self.backend.watch_job(self.spec, timeout=20)
      self.assertEqual(next(watch).state, State.PREPARING)

      def refuse(request: Request) -> int | None:
        return 503 if "watch" in request.query else None

      self.server.fault = refuse
      self.put_job()
    self.assertEqual(next(watch).state, State.PENDING)

  def test_what_others_send(self) -> None:
    """It has its time, unless this home's own process died at it."""

    def sent(who: str) -> JobSpec:
      now = clock.now().isoformat()
      origin = dataclasses.replace(self.spec.origin, who=who, submitted=now)
      return dataclasses.replace(self.spec, origin=origin)

    (seen,) = self.watch(sent("ada@elsewhere"), timeout=0)
    self.assertEqual(seen.state, State.PREPARING)
    self.assertIn("ada@elsewhere", seen.sentence)
    here = sent(f"ada@{socket.gethostname()}")
    # Of another user here, or from another home.
    (seen,) = self.watch(here, timeout=0)
    self.assertEqual(seen.state, State.PREPARING)
    (ensure(self.home.preparing) / JOB_ID).touch()  # It died.
    (seen,) = self.watch(here, timeout=0)
    self.assertEqual(seen.state, State.LOST)
    # A home may be shared by machines that do not see each other's locks.
    (seen,) = self.watch(sent("ada@elsewhere"), timeout=0)
    self.assertEqual(seen.state, State.PREPARING)
    self.claim()
    (seen,) = self.watch(sent("ada@elsewhere"), timeout=0)
    self.assertEqual(seen.state, State.LOST)


if __name__ == "__main__":
  absltest.main()
