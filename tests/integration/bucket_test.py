"""Jobs whose store is a bucket: the whole way, with an emulator of it."""

import datetime
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from absl.testing import absltest

from keras_remote.job import index
from keras_remote.job.state import State
from keras_remote.storage.open import open_store
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.http_proxy import Fault, HttpProxy, Request
from tests.fakes.specs import job_spec
from tests.integration.harness import ProjectTest

_BUCKET = "keras-remote-test"
_AWAY_SECONDS = 3.0


class BucketTest(ProjectTest):
  server: ClassVar[str]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cls.server = cls.enterClassContext(gcs_server(_BUCKET))

  def setUp(self) -> None:
    super().setUp()
    self.uri = f"gs://{_BUCKET}/{self.id().rpartition('.')[2]}"

  def environ(self, variables: dict[str, str]) -> dict[str, str]:
    return super().environ({"KERAS_REMOTE_STORE": self.uri, **variables})

  def test_the_whole_way(self) -> None:
    """A job, and all that can be asked of it from another process later."""
    submitted = self.output("""
      import keras_remote

      @keras_remote.run(tags=["first"])
      def train(lr: float) -> float:
        print("it trains")
        job = keras_remote.current_job()
        job.output_dir.joinpath("weights.txt").write_text("0.9")
        return lr * 2

      @keras_remote.run
      def forever() -> None:
        import time
        time.sleep(60)

      if __name__ == "__main__":
        print(train(0.25))
        job = forever.submit()
        while job.status() != "RUNNING":
          pass
        print(job.id)
    """)
    value, running = submitted.split()[-2:]
    self.assertEqual(value, "0.5")
    elsewhere = self.output(
      """
      import keras_remote

      (row,) = keras_remote.list_jobs(tag="first")
      job = keras_remote.attach(row.id)
      print(job.status(), "".join(job.logs()).strip())
      (path,) = job.files().copy_to("elsewhere")
      print(path.read_text())
      try:
        job.result(timeout=20)
      except keras_remote.IntegrityError:
        print("refused")
      """,
      KERAS_REMOTE_HOME=str(self.base / "elsewhere"),
    )
    self.assertEqual(
      elsewhere.splitlines(), ["SUCCEEDED it trains", "0.9", "refused"]
    )
    later = self.output(
      """
      import datetime, os, pathlib
      import keras_remote

      running = os.environ["RUNNING"]
      print([(r.name, str(r.state)) for r in keras_remote.list_jobs()])
      print(keras_remote.attach(running).cancel())
      (row,) = keras_remote.list_jobs(tag="first")
      job = keras_remote.attach(row.id)
      print(job.status(), job.result(timeout=20), "".join(job.logs()).strip())
      (path,) = job.files().copy_to("there")
      print(path.name, path.read_text())
      print([str(row.state) for row in keras_remote.list_jobs()])
      try:
        keras_remote.attach(running).result(timeout=20)
      except keras_remote.JobCancelledError:
        print("cancelled")
      print(len(keras_remote.prune(datetime.timedelta(0))))
      print(keras_remote.list_jobs())
      """,
      RUNNING=running,
    )
    self.assertEqual(
      later.splitlines(),
      [
        "[('forever', 'RUNNING'), ('train', 'SUCCEEDED')]",
        "True",
        "SUCCEEDED 0.5 it trains",
        "weights.txt 0.9",
        "['CANCELLED', 'SUCCEEDED']",
        "cancelled",
        "2",
        "[]",
      ],
    )
    self.assertEmpty(list(open_store(self.uri).list("")))
    self.assertEmpty(self.stored("jobs/*"))

  def test_a_bucket_that_is_away_for_a_while(self) -> None:
    """A job that ends meanwhile ends as if nothing had been."""
    with HttpProxy(self.server) as proxy:
      script = self.start_script(
        """
        import keras_remote

        @keras_remote.run
        def train() -> int:
          import time
          print("begun", flush=True)
          time.sleep(1)
          print("done", flush=True)
          return 7

        if __name__ == "__main__":
          print(train())
        """,
        STORAGE_EMULATOR_HOST=proxy.url,
      )
      with script:
        assert script.stdout
        self.assertEqual(script.stdout.readline(), b"begun\n")
        back = time.monotonic() + _AWAY_SECONDS
        refused: list[Request] = []

        def away(request: Request) -> Fault | None:
          if time.monotonic() > back:
            return None
          refused.append(request)
          return Fault(None)

        proxy.fault = away
        self.assertEqual(script.stdout.read(), b"done\n7\n")
      self.assertEqual(script.returncode, 0)
      # What the job stores of its own.
      self.assertIn("POST", [request.method for request in refused])
      self.assertGreater(time.monotonic(), back)
    logs = self.output("""
      import keras_remote
      print("".join(keras_remote.attach().logs()))
    """)
    self.assertEqual(logs.split(), ["begun", "done"])

  def test_waiting_takes_few_requests(self) -> None:
    """They cost: nobody asks for an outcome 50 times a second."""
    with HttpProxy(self.server) as proxy:
      began = time.monotonic()
      said = self.output(
        """
        import keras_remote

        @keras_remote.run
        def train() -> int:
          import time
          time.sleep(2)
          return 7

        print(train())
        """,
        STORAGE_EMULATOR_HOST=proxy.url,
      )
      self.assertEqual(said, "7\n")
      most = 45 + 3 * (time.monotonic() - began)
      self.assertLess(len(proxy.requests), most)

  def test_a_listing_of_many_is_list_calls_only(self) -> None:
    """1,000 jobs with their fields and states: no request for one of them."""
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    store = open_store(self.uri)

    def add(number: int) -> None:
      at = begin + datetime.timedelta(seconds=number)
      spec = job_spec(f"job-{number}", submitted=at.isoformat())
      index.add(store, spec)
      if number % 10 == 0:
        index.add_ending(store, spec, State.SUCCEEDED)

    with ThreadPoolExecutor(4) as pool:
      list(pool.map(add, range(1000)))
    with (
      HttpProxy(self.server) as proxy,
      environment(STORAGE_EMULATOR_HOST=proxy.url),
    ):
      rows = list(index.rows(open_store(self.uri)))
    self.assertEqual(
      [row.job_id for row in rows], [f"job-{n}" for n in reversed(range(1000))]
    )
    self.assertEqual({row.fields["name"] for row in rows}, {"train"})
    self.assertLen([row for row in rows if row.state], 100)
    self.assertLessEqual(len(proxy.requests), 2)
    for request in proxy.requests:
      self.assertStartsWith(request.path, f"/storage/v1/b/{_BUCKET}/o?")
      # What is not named here the emulator sends too, and Google does not.
      self.assertIn("metadata", request.path)


if __name__ == "__main__":
  absltest.main()
