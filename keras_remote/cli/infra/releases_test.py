"""The manifest of LeaderWorkerSets: from a page, a file, or not at all."""

from http.server import BaseHTTPRequestHandler

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.cli.infra import releases
from tests.fakes.local_server import LocalServer

_MANIFEST = """
apiVersion: v1
kind: Namespace
metadata:
  name: lws-system
---
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: leaderworkersets.leaderworkerset.x-k8s.io
"""


class _Page(BaseHTTPRequestHandler):
  """Has the manifest at one path, to which another leads."""

  def log_message(self, format: str, *args: object) -> None:
    pass

  def do_GET(self) -> None:  # noqa: N802
    if self.path == "/latest":
      self.send_response(302)
      self.send_header("Location", "/manifests.yaml")
      self.end_headers()
      return
    there = self.path == "/manifests.yaml"
    self.send_response(200 if there else 404)
    self.end_headers()
    self.wfile.write(_MANIFEST.encode() if there else b"nothing")


class ManifestTest(parameterized.TestCase):
  def kinds(self, source: str) -> list[str]:
    return [each["kind"] for each in releases.manifest(source)]

  def file(self, text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return self.create_tempfile(content=data, mode="wb").full_path

  def test_the_projects_own_page(self) -> None:
    """By its version, with or without the letter that releases have."""
    self.assertEndsWith(
      releases.address("v0.9.0"), "/download/v0.9.0/manifests.yaml"
    )
    self.assertEqual(releases.address("0.9.0"), releases.address("v0.9.0"))
    self.assertIn(f"/v{releases.VERSION}/", releases.address())

  def test_a_file(self) -> None:
    """For who cannot reach the page; empty documents count for nothing."""
    self.assertEqual(
      self.kinds(self.file(_MANIFEST)),
      ["Namespace", "CustomResourceDefinition"],
    )

  def test_a_page(self) -> None:
    """A page may lead to another, as that of releases does."""
    with LocalServer(_Page, "releases") as server:
      for path in ("manifests.yaml", "latest"):
        self.assertLen(self.kinds(f"{server.url}/{path}"), 2)
      with self.assertRaisesRegex(errors.ConfigError, "404.*name the file"):
        releases.manifest(f"{server.url}/other")
    with self.assertRaisesRegex(errors.ConfigError, "cannot be fetched"):
      releases.manifest(f"{server.url}/manifests.yaml")

  @parameterized.parameters("odd://host/x", "http://")
  def test_no_page(self, url: str) -> None:
    """What no request can be made of is told in the same way."""
    with self.assertRaisesRegex(errors.ConfigError, "cannot be fetched"):
      releases.manifest(url)

  @parameterized.parameters(
    ("a: [", "is no YAML"),
    ("a: 1", "not all of it are objects"),
    ("- 1", "not all of it are objects"),
    ("{apiVersion: v1, kind: Pod, metadata: {name: 1}}", "not all of it"),
    ("{apiVersion: v1, kind: Pod, metadata: {name: a}}", "nothing in it defi"),
    ("", "nothing in it defines"),
    (b"\xff\xfe\xfd", "it is no UTF-8"),
  )
  def test_another_file(self, text: str | bytes, words: str) -> None:
    """Nothing of it is applied, and the error says what it is not."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      releases.manifest(self.file(text))

  def test_no_file(self) -> None:
    """It is named."""
    with self.assertRaisesRegex(errors.ConfigError, "/nowhere cannot be read"):
      releases.manifest("/nowhere")


if __name__ == "__main__":
  absltest.main()
