"""Images, and their way into a registry.

Those of one layer take a few requests of HTTP: no hub, no image builder.
"""

import hashlib
import http.client
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tests.cluster import process

_SECONDS = 60.0
_OCI = "application/vnd.oci.image"
_MANIFEST = f"{_OCI}.manifest.v1+json"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Runs a command with the given folder, its first argument, as /var/lib.
_OWN_VAR_LIB = 'mount --bind "$0" /var/lib && exec "$@"'


@dataclass(frozen=True)
class Image:
  """An image of one layer.

  Attributes:
    layer: a tar archive of its root, not compressed: it never travels far.
    command: what a container runs that is told nothing else.
  """

  layer: Path
  command: tuple[str, ...]
  environ: Mapping[str, str] = field(default_factory=dict)


def tar(root: Path, layer: Path) -> None:
  """Makes the layer of an image that has `root` for its root."""
  command = ("tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", layer)
  subprocess.run((*command, "."), check=True)


def push(image: Image, reference: str) -> str:
  """Puts the image into its registry, which speaks plain HTTP.

  Args:
    reference: registry, name and tag.

  Returns:
    The reference by digest.

  Raises:
    OSError: The registry does not answer, or says no.
  """
  registry, _, path = reference.partition("/")
  name, _, tag = path.partition(":")
  connection = http.client.HTTPConnection(registry, timeout=_SECONDS)
  try:
    manifest = json.dumps(_manifest(connection, name, image)).encode()
    digest = _digest(manifest)
    kind = {"Content-Type": _MANIFEST}
    target = f"/v2/{name}/manifests/{tag}"
    _ask(connection, "PUT", target, (201,), manifest, kind)
  finally:
    connection.close()
  return f"{registry}/{name}@{digest}"


def build(context: Path, reference: str) -> None:
  """Builds the folder's Dockerfile and pushes the image, by buildah.

  It keeps what it writes, also what has no option, out of the machine.

  Raises:
    ClusterError: A step failed; the message has its output.
  """
  with tempfile.TemporaryDirectory() as folder:
    buildah = (
      *("unshare", "--mount", "sh", "-c", _OWN_VAR_LIB, folder, "buildah"),
      *("--storage-driver", "vfs", "--runroot", "/var/lib/run"),
    )
    plain = "--tls-verify=false"
    build = (*buildah, "build", "--isolation", "chroot", plain)
    networks = ("--cni-config-dir", "/var/lib/networks")
    process.run(*build, *networks, "--tag", reference, context)
    process.run(*buildah, "push", plain, reference)


def digest(reference: str) -> str | None:
  """The digest of the image with this tag; None where there is none.

  Raises:
    OSError: The registry does not answer, or says no.
  """
  registry, _, path = reference.partition("/")
  name, _, tag = path.rpartition(":")
  connection = http.client.HTTPConnection(registry, timeout=_SECONDS)
  try:
    target, kinds = f"/v2/{name}/manifests/{tag}", {"Accept": _MANIFEST}
    found = _ask(connection, "HEAD", target, (200, 404), headers=kinds)
    return found.headers["Docker-Content-Digest"]
  finally:
    connection.close()


def _manifest(
  connection: http.client.HTTPConnection, name: str, image: Image
) -> dict[str, object]:
  """The image's manifest; what it names is in the registry then."""
  with image.layer.open("rb") as layer:
    layer_digest = f"sha256:{hashlib.file_digest(layer, 'sha256').hexdigest()}"
    layer.seek(0)
    _upload(connection, name, layer_digest, layer)
  config = json.dumps(_config(image, layer_digest)).encode()
  _upload(connection, name, _digest(config), config)
  return {
    "schemaVersion": 2,
    "mediaType": _MANIFEST,
    "config": {
      "mediaType": f"{_OCI}.config.v1+json",
      "digest": _digest(config),
      "size": len(config),
    },
    "layers": [
      {
        "mediaType": f"{_OCI}.layer.v1.tar",
        "digest": layer_digest,
        "size": image.layer.stat().st_size,
      }
    ],
  }


def _config(image: Image, layer_digest: str) -> dict[str, object]:
  environ = {"PATH": _PATH, **image.environ}
  return {
    "architecture": "amd64",
    "os": "linux",
    "config": {
      "Env": [f"{name}={value}" for name, value in environ.items()],
      "Cmd": image.command,
    },
    "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    # Who builds on it counts its layers here too.
    "history": [{"created_by": "tar"}],
  }


def _upload(
  connection: http.client.HTTPConnection,
  name: str,
  digest: str,
  blob: bytes | IO[bytes],
) -> None:
  found = _ask(connection, "HEAD", f"/v2/{name}/blobs/{digest}", (200, 404))
  if found.status == 200:
    return
  uploads = f"/v2/{name}/blobs/uploads/"
  response = _ask(connection, "POST", uploads, (202,))
  location = urlsplit(response.headers["Location"])
  target = f"{location.path}?{location.query}&digest={digest}"
  kind = {"Content-Type": "application/octet-stream"}
  if not isinstance(blob, bytes):
    kind["Content-Length"] = str(Path(blob.name).stat().st_size)
  _ask(connection, "PUT", target, (201,), blob, kind)


def _ask(
  connection: http.client.HTTPConnection,
  method: str,
  target: str,
  expected: tuple[int, ...],
  body: bytes | IO[bytes] | None = None,
  headers: Mapping[str, str] | None = None,
) -> http.client.HTTPResponse:
  connection.request(method, target, body, headers or {})
  response = connection.getresponse()
  said = response.read()
  if response.status not in expected:
    raise OSError(f"{method} {target}: {response.status} {said.decode()}")
  return response


def _digest(data: bytes) -> str:
  return f"sha256:{hashlib.sha256(data).hexdigest()}"
