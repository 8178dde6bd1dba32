"""The cluster that tests run on: this machine's, or one that is named.

Which one is said by variables:
  KERAS_REMOTE_TEST_CONTEXT: a context of the user's kubeconfig.
  KERAS_REMOTE_TEST_REGISTRY: where its nodes and this machine find images.
  KERAS_REMOTE_TEST_BUCKET: gs://…, which both of them can write to.
Without the first it is the one that `make cluster-up` starts here.
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import layout

CONTEXT_VARIABLE = "KERAS_REMOTE_TEST_CONTEXT"
REGISTRY_VARIABLE = "KERAS_REMOTE_TEST_REGISTRY"
BUCKET_VARIABLE = "KERAS_REMOTE_TEST_BUCKET"


@dataclass(frozen=True)
class Cluster:
  """A cluster that is up.

  Attributes:
    kubeconfig: its file; None for the user's own.
    registry: its host and port, or host and path.
    python_image: has Python 3.11 and pip, which reaches an index.
    busybox_image: a shell and little else; starts at once.
    bucket: gs://…
    gcs: the address of the fake that has the bucket, from here and in pods;
      None if it is Google's.
    dns: the address of its name server, if that can be asked from here.
    here: whether it is this machine's, whose processes a test may end.
    environ: variables by which clients here find it and the bucket.
  """

  context: str
  kubeconfig: Path | None
  registry: str
  python_image: str
  busybox_image: str
  bucket: str
  gcs: str | None
  dns: str | None
  here: bool
  environ: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def cluster() -> Cluster:
  """The cluster that the environment names.

  Raises:
    KeyError: A context is named, but no registry or bucket.
  """
  context = os.environ.get(CONTEXT_VARIABLE)
  if context is not None:
    return Cluster(
      context=context,
      kubeconfig=None,
      registry=os.environ[REGISTRY_VARIABLE],
      python_image="python:3.11-slim",
      busybox_image="busybox:1",
      bucket=os.environ[BUCKET_VARIABLE],
      gcs=None,
      dns=None,
      here=False,
    )
  return Cluster(
    context=layout.CONTEXT,
    kubeconfig=layout.KUBECONFIG,
    registry=layout.REGISTRY,
    python_image=layout.PYTHON_IMAGE,
    busybox_image=layout.BUSYBOX_IMAGE,
    bucket=f"gs://{layout.BUCKET}",
    gcs=layout.GCS,
    dns=layout.HOST,
    here=True,
    environ={
      "KUBECONFIG": str(layout.KUBECONFIG),
      "STORAGE_EMULATOR_HOST": layout.GCS,
    },
  )
