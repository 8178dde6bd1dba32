import contextlib
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from typing import BinaryIO, ClassVar, cast

from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import storage

from keras_remote import clock, constants, errors
from keras_remote.constants import MIB
from keras_remote.home import DAY
from keras_remote.storage import client, gcs
from keras_remote.storage.gcs import GcsStore
from keras_remote.storage.open import open_store
from keras_remote.storage.store import Store
from tests import store_contract
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.http_proxy import Fault, HttpProxy, Request

_BUCKET = "keras-remote-test"
_WITHOUT_GOOGLE = """
import sys
from keras_remote.storage.open import open_store
sys.modules["google.cloud"] = None
open_store("gs://some-bucket")
"""


class _OnEmulator(parameterized.TestCase):
  """Tests with an emulator of Cloud Storage, behind a proxy."""

  server: ClassVar[str]
  numbers: ClassVar["itertools.count[int]"]

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    stack = contextlib.ExitStack()
    cls.addClassCleanup(stack.close)
    cls.server = stack.enter_context(gcs_server(_BUCKET))
    cls.numbers = itertools.count()

  def new_uri(self) -> str:
    return f"gs://{_BUCKET}/test-{next(self.numbers)}"

  @contextlib.contextmanager
  def proxied(self) -> Generator[HttpProxy]:
    """Within this block new stores reach the emulator through a proxy."""
    with (
      HttpProxy(self.server) as proxy,
      environment(STORAGE_EMULATOR_HOST=proxy.url),
    ):
      yield proxy


class GcsStoreContractTest(_OnEmulator, store_contract.StoreContract):
  shared = True
  streams = True
  memory = 32 * MIB

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

  def test_exchange(self) -> None:
    """It is stored in place of what passes, and of nothing else."""
    store = GcsStore(self.new_uri())
    self.assertFalse(store.exchange("a", lambda there: there == b"0", b"1"))
    self.assertEqual(list(store.list("")), [])
    self.assertTrue(store.exchange("a", lambda there: there is None, b"1"))
    self.assertFalse(store.exchange("a", lambda there: there is None, b"2"))
    self.assertTrue(store.exchange("a", lambda there: there == b"1", b"2"))
    self.assertEqual(store.read("a"), b"2")

  @parameterized.parameters(None, b"1")
  def test_exchange_at_once(self, first: bytes | None) -> None:
    """What somebody writes between the look and the write is not lost."""
    store, seen = GcsStore(self.new_uri()), list[bytes | None]()
    if first:
      store.write("a", first)

    def same(there: bytes | None) -> bool:
      if not seen:
        store.write("a", b"theirs")
      seen.append(there)
      return there == first

    self.assertFalse(store.exchange("a", same, b"2"))
    self.assertEqual(seen, [first, b"theirs"])
    self.assertEqual(store.read("a"), b"theirs")

  def test_exchange_whose_answer_is_lost(self) -> None:
    """It is known by what is there then."""
    lost: list[str] = []

    def lose(request: Request) -> Fault | None:
      if lost or not request.path.startswith("/upload/"):
        return None
      lost.append(request.path)
      return Fault(503, arrives=True)

    with self.proxied() as proxy:
      store = GcsStore(self.new_uri())
      store.write("a", b"1")
      proxy.fault = lose
      self.assertTrue(store.exchange("a", lambda there: there == b"1", b"2"))
      self.assertLen(lost, 1)

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
        lambda: _opened(store, "a"),
        lambda: store.read_range("a", 0, 9),
      ):
        proxy.requests.clear()
        self.assertNotEmpty(read())
        self.assertLen(proxy.requests, 1)

  @parameterized.parameters(gcs.LARGE, 70 * MIB + 3)
  def test_large_files(self, size: int) -> None:
    """They go in parallel both ways, and come back as they were."""
    store = GcsStore(self.new_uri())
    with _random_file(size) as file:
      self.assertTrue(store.create("large", file, {"k": "v"}))
      with store.open("large") as found:
        self.assertEqual(_whole(found), _whole(file))
    (entry,) = store.list("")
    self.assertEqual((entry.size, entry.metadata), (size, {"k": "v"}))
    client = storage.Client(project=None)
    prefix = store.uri.removeprefix(f"gs://{_BUCKET}/")
    names = [b.name for b in client.list_blobs(_BUCKET, prefix=prefix)]
    self.assertEqual(names, [f"{prefix}/large"])

  def test_a_large_file_that_is_there_is_not_sent(self) -> None:
    """Nobody waits for a gigabyte to be told that it was in vain."""
    with self.proxied() as proxy, _random_file(gcs.LARGE + 1) as file:
      store = GcsStore(self.new_uri())
      store.write("large", b"other")
      proxy.requests.clear()
      self.assertFalse(store.create("large", file))
      self.assertNotIn("POST", [r.method for r in proxy.requests])
      self.assertEqual(store.read("large"), b"other")

  @parameterized.parameters(
    (gcs.LARGE, "uploadType=resumable"), (gcs.LARGE + 1, "/compose")
  )
  def test_large_files_are_created_only_where_none_is(
    self, size: int, decisive: str
  ) -> None:
    """The condition is sent along: somebody may come in between.

    The emulator heeds it for small objects only, so the proxy does.
    """
    with self.proxied() as proxy, _random_file(size) as file:
      store = GcsStore(self.new_uri())

      def fault(request: Request) -> Fault | None:
        if decisive not in request.path or request.method != "POST":
          return None
        self.assertIn("ifGenerationMatch=0", request.path)
        proxy.fault = lambda request: None
        store.write("large", b"other")
        return Fault(412)

      proxy.fault = fault
      self.assertFalse(store.create("large", file))
      self.assertEqual(store.read("large"), b"other")

  def test_a_large_file_whose_answer_is_lost(self) -> None:
    """A retry's conflict with itself is no other writer."""
    with self.proxied() as proxy, _random_file(gcs.LARGE + 1) as file:
      store = GcsStore(self.new_uri())
      faults = iter([Fault(503, arrives=True), Fault(412)])
      proxy.fault = lambda request: (
        next(faults, None) if "/compose" in request.path else None
      )
      self.assertTrue(store.create("large", file, {"k": "v"}))
      self.assertIsNone(next(faults, None))
      self.assertEqual([e.metadata for e in store.list("")], [{"k": "v"}])

  @parameterized.parameters(gcs.LARGE, gcs.LARGE + 1)
  def test_large_files_while_the_server_fails_at_times(self, size: int) -> None:
    """Each piece is sent and fetched again, also from its middle on."""
    faults = itertools.cycle(
      (None, Fault(503), Fault(None), Fault(None, arrives=True, after=999))
    )

    def fault(request: Request) -> Fault | None:
      found = next(faults)
      # The emulator takes a piece twice if it comes twice; the real one not.
      uploads = request.method == "PUT"
      return None if uploads and found and found.arrives else found

    with self.proxied() as proxy, _random_file(size) as file:
      store = GcsStore(self.new_uri())
      proxy.fault = fault
      store.write("large", file)
      with store.open("large") as found:
        self.assertEqual(_whole(found), _whole(file))

  def test_from_where_a_stream_stands(self) -> None:
    """What was read of it before is not stored."""
    store = GcsStore(self.new_uri())
    with _random_file(gcs.LARGE + 9) as file:
      file.seek(4)
      store.write("large", file)
      with store.open("large") as found:
        self.assertEqual(_whole(found), _whole(file)[4:])

  @parameterized.parameters(
    Fault(503), Fault(503, arrives=True), Fault(None), Fault(429)
  )
  def test_a_server_that_fails_for_a_while(self, fault: Fault) -> None:
    """Each request is made again, until it goes through."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri())
      store.write("old", b"1")
      for name, call in _calls(store).items():
        with self.subTest(name):
          faults = iter([fault])
          proxy.fault = lambda request, faults=faults: next(faults, None)
          call()
          self.assertIsNone(next(faults, None))

  def test_when_it_was_written(self) -> None:
    """By that a bucket deletes: what is written again begins anew."""
    store = GcsStore(self.new_uri())
    store.create("a", b"1")
    (first,) = store.list("a")
    store.write("a", b"1")
    (second,) = store.list("a")
    assert first.written and second.written
    self.assertLess(first.written, second.written)
    away = abs(clock.now() - second.written)
    self.assertLess(away, datetime.timedelta(hours=1))

  @parameterized.parameters(
    (Fault(503), errors.StoreError, "503"),
    (Fault(None), errors.StoreError, "RemoteDisconnected"),
    (Fault(403), errors.StoreAccessError, "add-iam-policy-binding"),
    (Fault(401), errors.StoreAccessError, "application-default login"),
    (
      Fault(404, body=b"The specified bucket does not exist."),
      errors.BucketNotFoundError,
      "buckets create",
    ),
  )
  def test_a_server_that_keeps_failing(
    self, fault: Fault, expected: type[errors.StoreError], told: str
  ) -> None:
    """It is told after a while, whatever was asked for, and can heal."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri(), patience=0.1)
      store.write("old", b"1")
      proxy.fault = lambda request: fault
      for name, call in _calls(store).items():
        with self.subTest(name), self.assertRaises(expected) as caught:
          call()
        self.assertIs(type(caught.exception), expected)
        self.assertIn(store.uri, str(caught.exception))
        self.assertIn(told, str(caught.exception))
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
    with (
      _google(self.create_tempdir().full_path),
      self.assertRaisesRegex(
        errors.CredentialsError, "application-default login"
      ),
    ):
      GcsStore("gs://some-bucket")

  def test_a_log_in_that_is_over(self) -> None:
    """Credentials that are no longer taken: the error says how to log in."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
      serialization.Encoding.PEM,
      serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption(),
    )
    with HttpProxy("http://nobody") as google:
      google.fault = lambda r: Fault(400, body=b'{"error": "invalid_grant"}')
      file = self.create_tempfile(
        content=json.dumps(
          {
            "type": "service_account",
            "client_email": "ada@example.com",
            "private_key": key.decode(),
            "token_uri": google.url,
          }
        )
      )
      with _google(
        self.create_tempdir().full_path,
        GOOGLE_APPLICATION_CREDENTIALS=file.full_path,
      ):
        store = GcsStore("gs://some-bucket")
        with self.assertRaisesRegex(
          errors.StoreAccessError, "application-default login"
        ):
          store.read("a")

  def test_the_client_library_is_not_installed(self) -> None:
    """The error says what to install."""
    done = subprocess.run(
      [sys.executable, "-c", _WITHOUT_GOOGLE], text=True, capture_output=True
    )
    self.assertIn("ConfigError", done.stderr)
    self.assertIn(constants.install("gcp"), done.stderr)

  def test_bytes_need_no_disk(self) -> None:
    """How a job ended can be stored, and read, where the disk is full."""
    store = GcsStore(self.new_uri())
    before, tempfile.tempdir = tempfile.tempdir, "/nowhere"
    try:
      self.assertTrue(store.create("outcome.json", bytes(9 * MIB)))
      store.write("outcome.json", b"short")
      self.assertEqual(store.read("outcome.json"), b"short")
    finally:
      tempfile.tempdir = before

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

  def test_a_large_file_that_is_replaced_while_it_is_read(self) -> None:
    """Half of the one and half of the other is nothing."""
    with (
      self.proxied() as proxy,
      _random_file(gcs.LARGE + 1) as old,
      _random_file(gcs.LARGE + 1) as new,
    ):
      store = GcsStore(self.new_uri())
      store.write("large", old)

      def replace(request: Request) -> None:
        if request.path.startswith("/storage/"):  # After the first piece.
          proxy.fault = lambda request: None
          store.write("large", new)

      proxy.fault = replace
      with self.assertRaisesRegex(errors.StoreError, "try again"):
        store.open("large")
      self.assertEqual(store.read("large"), _whole(new))

  def test_an_upload_that_is_damaged_on_its_way(self) -> None:
    """It is told, and nothing of it stays: here a piece arrived twice."""
    with self.proxied() as proxy:
      store = GcsStore(self.new_uri(), patience=5)
      faults = iter([Fault(503, arrives=True)])
      proxy.fault = lambda request: (
        next(faults, None) if request.method == "PUT" else None
      )
      with self.assertRaisesRegex(errors.StoreError, "CRC32C"):
        store.write("a", bytes(10 * MIB))
      self.assertEmpty(list(store.list("")))

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


@contextlib.contextmanager
def _google(home: str, **variables: str) -> Generator[None]:
  """The real service's client, for whoever has this home."""
  with environment(HOME=home, NO_GCE_CHECK="true", **variables):
    del os.environ["STORAGE_EMULATOR_HOST"]
    client.forget_log_in()  # Of another test's log-in.
    yield


def _calls(store: Store) -> Mapping[str, Callable[[], object]]:
  return {
    "write": lambda: store.write("a", b"1"),
    "create": lambda: store.create("b", b"1"),
    "read": lambda: store.read("old"),
    "open": lambda: _opened(store, "old"),
    "read_range": lambda: store.read_range("old", 0),
    "list": lambda: list(store.list("")),
    "delete": lambda: store.delete("a"),
  }


def _opened(store: Store, key: str) -> bytes:
  with store.open(key) as file:
    return file.read()


def _whole(file: BinaryIO) -> bytes:
  file.seek(0)
  return file.read()


if __name__ == "__main__":
  absltest.main()
