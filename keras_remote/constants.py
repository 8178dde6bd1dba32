"""Facts that every room may use and none of them owns."""

import json
import shlex
from urllib.parse import unquote, urlsplit

VERSION = "0.1.0"

# Variables that users set; those that a first process is given belong to
# job/launch.py, those of options to core/options.py.
HOME_VARIABLE = "KERAS_REMOTE_HOME"
OUTPUT_DIR_VARIABLE = "KERAS_REMOTE_OUTPUT_DIR"

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def install(extras: str = "") -> str:
  """What installs this package again, from where it came.

  Indexes have another project of its name.

  Args:
    extras: come with it, such as "cli,gcp"; gcp has the clients of Google
      Cloud and Kubernetes.
  """
  import importlib.metadata  # It is slow, and seldom needed.

  try:
    found = importlib.metadata.distribution("keras-remote")
    origin = found.read_text("direct_url.json") or "{}"
  except importlib.metadata.PackageNotFoundError:
    origin = "{}"
  url = urlsplit(json.loads(origin).get("url", ""))
  path = unquote(url.path) if url.scheme == "file" else "path/to/the/clone"
  return f"pip install {shlex.quote(path + (f'[{extras}]' if extras else ''))}"
