"""A bucket without its client."""

import json
from http.server import BaseHTTPRequestHandler

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.storage import bare
from keras_remote.storage.open import open_store
from tests.fakes.environment import environment
from tests.fakes.gcs_server import gcs_server
from tests.fakes.local_server import LocalServer

_BUCKET = "bare"


class EmulatorTest(absltest.TestCase):
  def test_what_the_client_wrote(self) -> None:
    """It is read whole; what is not there is told apart."""
    for uri in (f"gs://{_BUCKET}", f"gs://{_BUCKET}/a team/ü"):
      with gcs_server(_BUCKET):
        open_store(uri).write("folder/a+b %.tar", b"x" * 100_000)
        with bare.open_object(uri, "folder/a+b %.tar") as stream:
          self.assertEqual(stream.read(), b"x" * 100_000)
        with (
          self.assertRaisesRegex(errors.ObjectNotFoundError, "no"),
          bare.open_object(uri, "no"),
        ):
          pass


class _Google(BaseHTTPRequestHandler):
  """Gives a token to machines, and an object to who has that."""

  def do_GET(self) -> None:
    if self.path.startswith("/computeMetadata/"):
      known = self.headers["Metadata-Flavor"] == "Google"
      self.answer(200 if known else 403, json.dumps({"access_token": "T"}))
    elif self.headers["Authorization"] != "Bearer T":
      self.answer(401, "")
    elif self.path.endswith("/o/cut?alt=media"):
      self.send_response(200)
      self.send_header("Transfer-Encoding", "chunked")
      self.end_headers()
      self.wfile.write(b"5\r\nhal")
    elif self.path.endswith("/o/busy?alt=media"):
      self.answer(503, "")
    else:
      self.answer(200, f"{self.path}")

  def answer(self, status: int, text: str) -> None:
    self.send_response(status)
    self.send_header("Content-Length", str(len(text)))
    self.end_headers()
    self.wfile.write(text.encode())

  def log_message(self, format: str, *args: object) -> None:
    pass


class GoogleTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.url = self.enter_context(LocalServer(_Google, "google")).url

  def read(self, key: str, **variables: str) -> bytes:
    host = {"GCE_METADATA_HOST": self.url.removeprefix("http://")}
    with (
      environment(**{**host, **variables}),
      bare.open_object("gs://bucket/team", key, google=self.url) as stream,
    ):
      return stream.read()

  def test_the_machines_account(self) -> None:
    """Its token opens the object, whatever proxy there is."""
    found = self.read("a/b")
    self.assertEqual(found, b"/storage/v1/b/bucket/o/team%2Fa%2Fb?alt=media")

  @parameterized.parameters("cut", "busy")
  def test_what_fails(self, name: str) -> None:
    """It is an error of the store."""
    with (
      environment(GCE_METADATA_HOST=self.url.removeprefix("http://")),
      self.assertRaises(errors.StoreError) as caught,
      bare.open_object("gs://bucket", name, google=self.url) as stream,
    ):
      stream.read()
    self.assertNotIsInstance(caught.exception, errors.ObjectNotFoundError)

  def test_what_takes_the_client(self) -> None:
    """Who logs in by a file is told so; so is who is not at Google's."""
    with self.assertRaisesRegex(errors.StoreError, "google-cloud-storage"):
      self.read("a", GOOGLE_APPLICATION_CREDENTIALS="/key.json")
    with self.assertRaisesRegex(errors.StoreError, "cannot be asked"):
      self.read("a", GCE_METADATA_HOST="127.0.0.1:9")


if __name__ == "__main__":
  absltest.main()
