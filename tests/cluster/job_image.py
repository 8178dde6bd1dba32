"""The image that jobs of tests run in: Python and google-cloud-storage."""

import functools
import hashlib
import http.client
import tempfile
from pathlib import Path

from tests.cluster import harness, images

_SECONDS = 10.0
# `python` and `python3` are the environment's.
_DOCKERFILE = """\
FROM {base}
RUN python3 -m venv /venv && \\
  /venv/bin/pip install --no-cache-dir {packages}
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin
"""


@functools.cache
def job_image(*packages: str) -> str:
  """The image's reference; it is built if the registry does not have it."""
  cluster = harness.cluster()
  wanted = " ".join(["google-cloud-storage", *packages])
  text = _DOCKERFILE.format(base=cluster.python_image, packages=wanted)
  tag = hashlib.sha256(text.encode()).hexdigest()[:12]
  reference = f"{cluster.registry}/keras-remote-job:{tag}"
  if not _has(reference):
    with tempfile.TemporaryDirectory() as folder:
      Path(folder, "Dockerfile").write_text(text)
      images.build(Path(folder), reference)
  return reference


def _has(reference: str) -> bool:
  registry, _, path = reference.partition("/")
  name, _, tag = path.rpartition(":")
  connection = http.client.HTTPConnection(registry, timeout=_SECONDS)
  try:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    connection.request("HEAD", f"/v2/{name}/manifests/{tag}", headers=accept)
    return connection.getresponse().status == 200
  except OSError:  # It speaks TLS only, or from the cluster only.
    return False
  finally:
    connection.close()
