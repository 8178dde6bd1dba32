"""Bad luck on a real cluster: the right state, the right error, and one call.

What happens                            | the test that shows it
----------------------------------------|--------------------------------------
API server down for 30 s mid-job        | test_it_is_away_for_half_a_minute
the API server itself restarts          | restarts_test: test_the_api_server
watch cut every 2 s, log streams cut    | test_what_goes_on_is_cut
410 on a watch, 5xx and resets there    | test_watches_that_fail
5xx and resets at submit                | test_submitting_while_requests_fail
reply of a creation lost                | test_answers_that_are_lost
GCS answers 503 for 20 s                | test_it_is_away
GCS is slow                             | test_it_is_slow
laptop asleep for the whole job         | test_one_that_sleeps
client killed, attached from another    | test_one_that_is_killed
client killed between upload and create | test_one_that_is_killed_before_the_job_is
two submits with one id                 | gke_test: test_submitting_twice
pod deleted, Job deleted                | test_taken_away
node gone                               | restarts_test: test_a_node_that_dies
TTL passed before anyone collected      | test_removed_before_it_was_collected
project removed by a lifecycle rule     | test_what_was_sent_before_is_gone
runner's ConfigMap removed              | test_what_was_sent_before_is_gone
image not pullable                      | test_images_that_cannot_be_pulled
image missing, or lacking something     | gke_test: test_an_image_that_…
image of another Python                 | fetch_test: test_another_python
image of a Python that is too old       | runner_archive_test: test_a_python_…
eviction, sandbox loss, SIGTERM, 412    | exactly_once_test
credentials, wrong zone or project      | connect_test
builds and requirements that fail       | images_build_test
out of memory                           | pods_test
"""

import contextlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from absl.testing import absltest
from kubernetes import client

import keras_remote
from keras_remote import errors
from keras_remote.core.handle import JobHandle
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.cluster.api_proxy import creates, watches
from tests.cluster.calls import GCS, CallTest, Hold, every, wait_until
from tests.cluster.namespace import POD_SECONDS, REQUEST_SECONDS
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, Request, times
from tests.fakes.local_server import LOOPBACK

# Seconds for which an API server, and a bucket, is away.
_AWAY, _STORE_AWAY = 30.0, 20.0
# Seconds in which a job ends, and that is known, on a busy machine: no watch
# makes anybody wait for its time, which is minutes.
_SOON = 30.0
_GONE = (
  b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",'
  b'"message":"too old resource version"}}\n'
)


def _counting(seconds: int) -> Callable[[], int]:
  """Prints a number each half a second."""

  def count() -> int:
    import time

    for number in range(2 * seconds):
      print(number, flush=True)
      time.sleep(0.5)
    return seconds

  return count


def _numbers(seconds: int) -> str:
  return "".join(f"{number}\n" for number in range(2 * seconds))


class ApiServerTest(CallTest):
  """What stands between this process and the API server fails."""

  def following(self, *jobs: JobHandle[Any]) -> Callable[[], list[str]]:
    """Follows the logs of the jobs; what came, when they have ended."""
    logs = [""] * len(jobs)

    def follow(number: int) -> None:
      logs[number] = "".join(jobs[number].logs(follow=True))

    threads = [
      threading.Thread(target=follow, args=(number,))
      for number in range(len(jobs))
    ]
    for thread in threads:
      thread.start()

    def end() -> list[str]:
      for thread in threads:
        thread.join(POD_SECONDS)
      return logs

    return end

  @contextlib.contextmanager
  def watching(self, job: JobHandle[Any]) -> Iterator[None]:
    """The block begins when the job is watched; then it is told to end."""
    with ThreadPoolExecutor(1) as pool:
      ended = pool.submit(job.outcome, POD_SECONDS)
      self.wait_watched()
      yield
      self.tell()
      told = time.monotonic()
      ended.result()
    self.assertLess(time.monotonic() - told, _SOON)

  def watches(self) -> int:
    """How many watches were begun."""
    return len([r for r in self.proxy.requests if r.watches])

  def wait_watched(self) -> None:
    """Returns once the watches of Jobs, pods and events go on."""
    wait_until(
      lambda: len([r for r in self.proxy.open if r.watches]) == 3,
      "not all is watched",
    )

  def test_it_is_away_for_half_a_minute(self) -> None:
    """Jobs that end meanwhile or later return; the logs have every line once.

    A job that is submitted meanwhile runs when it is back.
    """
    early, late = self.submit(_counting(6)), self.submit(_counting(35))
    end = self.following(early, late)
    self.wait_called(early)
    self.wait_called(late)
    with self.proxy.away():
      began = time.monotonic()
      new = self.submit(lambda: "new")
      self.assertEqual(new.status(), State.PREPARING)
      wait_until(self.directory(early).outcome, "it does not end")
      time.sleep(max(0.0, began + _AWAY - time.monotonic()))
    self.assertEqual(end(), [_numbers(6), _numbers(35)])
    self.assert_succeeds(early, 6)
    self.assert_succeeds(late, 35)
    self.assert_succeeds(new, "new")

  def test_what_goes_on_is_cut(self) -> None:
    """Every 2 s watches and logs end: no line is lost, or comes twice."""
    jobs = [self.submit(_counting(seconds)) for seconds in (7, 9)]
    end = self.following(*jobs)
    with every(2.0, self.proxy.cut):
      self.assert_succeeds(jobs[0], 7)
      self.assert_succeeds(jobs[1], 9)
    self.assertEqual(end(), [_numbers(7), _numbers(9)])
    # None is begun again without a pause.
    self.assertLess(self.watches(), 150)

  def test_watches_that_fail(self) -> None:
    """They begin anew after a 410, an error, a reset: the ending is seen."""
    job = self.submit(self.until_told)
    self.wait_called(job)
    with self.watching(job):
      for fault in (
        Fault(410, body=b"{}"),
        Fault(200, body=_GONE),
        Fault(503),
        Fault(None),
      ):
        # Two of the three, of Jobs, pods and events, fail each time.
        self.proxy.fault = times(2, fault, watches)
        before = self.watches()
        self.proxy.cut(watches)
        wait_until(lambda b=before: self.watches() >= b + 5, "none fails")
        self.wait_watched()
    self.assert_succeeds(job, "told")

  def test_submitting_while_requests_fail(self) -> None:
    """They are made again; there is one job, and one call."""
    seen: Counter[str] = Counter()
    faults = [Fault(503), Fault(None)]

    def fail(request: Request) -> Fault | None:
      """Each request fails twice, each in its own way."""
      place = f"{request.method} {request.path}"
      seen[place] += 1
      return faults[seen[place] - 1] if seen[place] <= len(faults) else None

    self.proxy.fault = fail
    self.assert_succeeds(self.submit(lambda: 1), 1)
    for kind in ("secrets", "jobs"):
      self.assertTrue(any(f"/{kind}" in place for place in seen))

  def test_answers_that_are_lost(self) -> None:
    """What was created is known as the job's own: it is called once."""
    faults = {
      "secrets": Fault(None, arrives=True),
      "configmaps": Fault(None, arrives=True),
      "jobs": Fault(504, arrives=True),
    }
    jobs = []
    for kind, fault in faults.items():
      self.proxy.fault = times(1, fault, creates(kind))
      jobs.append(self.submit(lambda kind=kind: kind))
      # It is submitted before the next fault.
      self.assertEqual(jobs[-1].spec.job_id, jobs[-1].id)
    for job, kind in zip(jobs, faults, strict=True):
      self.assert_succeeds(job, kind)
      self.assertLen(self.pods(job), 1)


class StoreTest(CallTest):
  """The bucket fails, for this process and for the pods."""

  def test_it_is_away(self) -> None:
    """503 for 20 s: jobs go on, end meanwhile or later, and return."""
    until = [0.0]
    url = self.bucket(
      lambda request: Fault(503) if time.monotonic() < until[0] else None
    )
    with environment(**{GCS: url}):
      jobs = [self.submit(_counting(each), gcs=url) for each in (5, 22)]
      for job in jobs:
        self.wait_called(job)
      until[0] = time.monotonic() + _STORE_AWAY
      self.assert_succeeds(jobs[0], 5)
      self.assertGreater(time.monotonic(), until[0])
      self.assert_succeeds(jobs[1], 22)
      for job, seconds in zip(jobs, (5, 22), strict=True):
        self.assertEqual("".join(job.logs()), _numbers(seconds))

  def test_it_is_slow(self) -> None:
    """Every request takes a while: nothing fails for that."""

    def slow(request: Request) -> None:
      time.sleep(0.15)

    url = self.bucket(slow)
    with environment(**{GCS: url}):
      self.assert_succeeds(self.submit(lambda: 1, gcs=url), 1)


_SCRIPT = """
import keras_remote
from keras_remote.storage.open import open_store

@keras_remote.run(env={env!r})
def train(seconds):
  import time, uuid
  job = keras_remote.current_job()
  key = "jobs/" + job.id + "/calls/" + uuid.uuid4().hex
  open_store({store!r}).write(key, b"called")
  print("begun", flush=True)
  time.sleep(seconds)
  return seconds

if __name__ == "__main__":
  print(train({seconds}))
"""


class ClientTest(CallTest):
  """The process that made the call is not there when it should be."""

  def start(self, seconds: float, name: str) -> "subprocess.Popen[str]":
    """A script that calls a function that takes so long."""
    path = self.project / f"{name}.py"
    text = _SCRIPT.format(
      env={GCS: self.gcs}, store=self.store, seconds=seconds
    )
    path.write_text(textwrap.dedent(text))
    process = subprocess.Popen(
      [sys.executable, str(path)],
      cwd=self.project,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    self.addCleanup(process.communicate)
    self.addCleanup(process.kill)
    return process

  def latest(self) -> JobHandle[Any]:
    """The job that was submitted last, by whomever."""

    def found() -> JobHandle[Any] | None:
      with contextlib.suppress(errors.JobNotFoundError):
        return keras_remote.attach()
      return None

    return wait_until(found, "no job was submitted")

  def test_one_that_sleeps(self) -> None:
    """Stopped for the whole job, it shows and returns all of it later."""
    process = self.start(2, "train")
    job = self.latest()
    self.wait_called(job)
    process.send_signal(signal.SIGSTOP)
    wait_until(self.directory(job).outcome, "it does not end")
    # Until the cluster has told everybody who listens.
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    printed, said = process.communicate(timeout=POD_SECONDS)
    self.assertEqual(printed, "begun\n2\n", said)
    self.assertIn("SUCCEEDED", said)
    self.assertEqual(self.calls(job), 1)

  def test_one_that_is_killed(self) -> None:
    """The job goes on; another process gets its value and its log."""
    process = self.start(3, "train")
    job = self.latest()
    self.wait_called(job)
    process.kill()
    self.assert_succeeds(job, 3)
    self.assertEqual("".join(job.logs()), "begun\n")

  def test_one_that_is_killed_before_the_job_is(self) -> None:
    """Nothing runs, nothing is left, and the job says that it never began."""
    hold = Hold(creates("jobs"), Fault(None))
    self.proxy.fault = hold
    process = self.start(3, "train")
    hold.wait()
    process.kill()
    process.wait()
    hold.release()
    self.proxy.cut()
    job = self.latest()
    self.assertEqual(job.status(), State.LOST)
    self.assert_lost(job, "it never started: the submitting process", calls=0)
    self.assertEqual(self.pods(job), [])
    secrets = self.core.list_namespaced_secret(
      self.namespace, _request_timeout=REQUEST_SECONDS
    ).items
    self.assertNotIn(job.id, [each.metadata.name for each in secrets])


class GoneTest(CallTest):
  """Somebody, or something, removes what a job is made of."""

  def batch(self) -> Any:
    return client.BatchV1Api(self.api)

  def delete_job(self, job: JobHandle[Any]) -> None:
    self.batch().delete_namespaced_job(
      job.id,
      self.namespace,
      propagation_policy="Background",
      _request_timeout=REQUEST_SECONDS,
    )

  def test_taken_away(self) -> None:
    """The job is lost, says how, and was called once; its log is kept."""

    def wait() -> None:
      import time

      print("begun", flush=True)
      time.sleep(600)

    without_pod, without_job = self.submit(wait), self.submit(wait)
    for job in (without_pod, without_job):
      self.wait_called(job)
    self.delete_pod(without_pod)
    self.delete_job(without_job)
    self.assert_lost(without_pod, "its pod was deleted")
    self.assert_lost(without_job, "deleted")
    for job in (without_pod, without_job):
      self.assertEqual("".join(job.logs()), "begun\n")

  def test_images_that_cannot_be_pulled(self) -> None:
    """Of one that is not there the wait ends, of a registry that is away not;
    both say what to do, and neither calls anything."""
    away = f"{LOOPBACK}:9/nobody/listens:1"
    absent = f"{self.cluster.registry}/no-such-image:1"
    waits = self.submit(print, container_image=away)
    ends = self.submit(print, container_image=absent, pending_timeout=3)
    with self.assertRaises(errors.JobError) as caught:
      ends.result(timeout=POD_SECONDS)
    said = {absent: str(caught.exception), away: str(waits.why())}
    for image, words in said.items():
      self.assertIn(f"its image {image} cannot be pulled", words)
    self.assertIn("3 s in vain (pending_timeout)", said[absent])
    self.assertIn("connection refused", said[away])
    self.assertEqual(waits.status(), State.PENDING)
    self.assertTrue(waits.cancel())
    for job in (waits, ends):
      self.assertTrue(job.done())
      self.assertEqual(self.calls(job), 0)
      wait_until(lambda job=job: not self.pods(job), "its pod stays")

  def test_removed_before_it_was_collected(self) -> None:
    """After its end a Job may go, as after a day: the ending stays what it was."""

    def fail() -> None:
      raise ValueError("it does not learn")

    well, badly = self.submit(lambda: 7), self.submit(fail)
    for job in (well, badly):
      wait_until(self.directory(job).outcome, "it does not end")
      self.delete_job(job)
      wait_until(lambda job=job: not self.pods(job), "its pod stays")
    self.assert_succeeds(keras_remote.attach(well.id), 7)
    with self.assertRaisesRegex(ValueError, "it does not learn"):
      keras_remote.attach(badly.id).result(timeout=POD_SECONDS)
    self.assertEqual(badly.status(), State.FAILED)

  def test_what_was_sent_before_is_gone(self) -> None:
    """The project and the runner are sent again, once, if rules removed them."""
    (self.project / "data.txt").write_text("here")
    store = open_store(self.store)

    def read() -> str:
      from pathlib import Path

      return Path("data.txt").read_text()

    def maps() -> list[str]:
      found = self.core.list_namespaced_config_map(
        self.namespace, _request_timeout=REQUEST_SECONDS
      ).items
      names = [each.metadata.name for each in found]
      return [name for name in names if name.startswith("keras-remote")]

    self.assert_succeeds(self.submit(read), "here")
    before, runners = [entry.key for entry in store.list("contexts/")], maps()
    for key in before:
      store.delete(key)
    for name in runners:
      self.core.delete_namespaced_config_map(
        name, self.namespace, _request_timeout=REQUEST_SECONDS
      )
    # On another node: this one's kubelet still has the runner.
    self.assert_succeeds(self.submit(read, accelerator="l4x4"), "here")
    self.assertEqual([entry.key for entry in store.list("contexts/")], before)
    self.assertEqual(maps(), runners)
    created = [r for r in self.proxy.requests if creates("configmaps")(r)]
    self.assertLen(created, 2)


if __name__ == "__main__":
  absltest.main()
