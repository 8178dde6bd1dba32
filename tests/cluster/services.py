"""What a cluster has beside it: a registry of images and a bucket store."""

import json
from pathlib import Path

from tests.cluster import api
from tests.cluster.layout import BUCKET, GCS, GCS_PORT, HOST, REGISTRY, STATE
from tests.cluster.process import Process


def registry() -> Process:
  """Speaks plain HTTP."""
  config = {
    "version": "0.1",
    "log": {"level": "warn"},
    "storage": {
      "filesystem": {"rootdirectory": str(STATE / "registry")},
      "delete": {"enabled": True},
    },
    # The secret only joins several registries into one.
    "http": {"addr": REGISTRY, "secret": "one"},
  }
  path = STATE / "registry.yml"
  return Process(
    name="registry",
    command=("docker-registry", "serve", path),
    ready=lambda: api.answers(f"http://{REGISTRY}/v2/"),
    files={path: json.dumps(config)},
  )


def gcs(program: Path) -> Process:
  """A fake of Google Cloud Storage, which forgets all when it ends."""
  return Process(
    name="gcs",
    command=(
      *(program, "-scheme", "http", "-backend", "memory"),
      *("-host", HOST, "-port", str(GCS_PORT), "-log-level", "warn"),
      *("-external-url", GCS, "-public-host", f"{HOST}:{GCS_PORT}"),
    ),
    ready=lambda: api.answers(f"{GCS}/_internal/healthcheck"),
  )


def create_bucket() -> None:
  api.post(f"{GCS}/storage/v1/b?project=test", {"name": BUCKET})
