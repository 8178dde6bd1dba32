"""The images that every cluster of tests has: Python, and busybox.

The Python image reaches the same package index as this machine, through the
same proxy and trusting the same certificates: what the machine says of them
is read here and lives in the image only.
"""

import ast
import os
import shutil
import sys
from pathlib import Path

from tests.cluster import images
from tests.cluster.install import built
from tests.cluster.layout import (
  BUSYBOX_IMAGE,
  PAUSE_IMAGE,
  PYTHON_IMAGE,
)
from tests.cluster.process import ClusterError, run

_SUITE = "bookworm"
_INCLUDED = "ca-certificates,python3,python3-pip,python3-venv"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Of no use in a container, and half of its size.
_IDLE = (
  "usr/share/doc",
  "usr/share/info",
  "usr/share/locale",
  "usr/share/man",
  "var/cache/apt",
  "var/lib/apt/lists",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Names of pip's options that say where packages are.
_INDEX = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}


def built_images() -> dict[str, images.Image]:
  """The images by their references, built if they are not yet."""
  busybox = built("busybox", run("busybox"), _make_busybox)
  inputs = (_SUITE, _INCLUDED, _IDLE, _pip_conf(), _certificates())
  python = built("python", repr(inputs), _make_python)
  sleep = ("/bin/sleep", "2147483647")
  return {
    PAUSE_IMAGE: images.Image(busybox, sleep),
    BUSYBOX_IMAGE: images.Image(busybox, ("/bin/sh",)),
    PYTHON_IMAGE: images.Image(python, ("/usr/bin/python3",), _environ()),
  }


def _make_busybox(layer: Path) -> None:
  root = layer.with_suffix(".root")
  (root / "bin").mkdir(parents=True)
  for folder in ("etc", "proc", "sys", "tmp"):
    (root / folder).mkdir()
  program = shutil.which("busybox")
  if program is None:
    raise ClusterError("busybox is not on the PATH")
  shutil.copy(program, root / "bin")
  for applet in run(program, "--list").split():
    if applet != "busybox":
      (root / "bin" / applet).symlink_to("busybox")
  images.tar(root, layer)
  shutil.rmtree(root)


def _make_python(layer: Path) -> None:
  root = layer.with_suffix(".root")
  if root.exists():
    shutil.rmtree(root)
  included = f"--include={_INCLUDED}"
  run("debootstrap", "--variant=minbase", included, _SUITE, root, _mirror())
  for idle in _IDLE:
    shutil.rmtree(root / idle, ignore_errors=True)
  (root / _CERTIFICATES[1:]).write_text(_certificates())
  (root / "etc/pip.conf").write_text(_pip_conf())
  # As in the images called python: pip may install for the whole system.
  for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
    mark.unlink()
  (root / "usr/bin/python").symlink_to("python3")
  images.tar(root, layer)
  shutil.rmtree(root)


def _mirror() -> str:
  """Where this machine's own Debian packages come from."""
  targets = run(
    *("apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)"),
    "Created-By: Packages",
  )
  for line in targets.splitlines():
    suite, _, site = line.partition(" ")
    if suite == _SUITE:
      return site
  raise ClusterError(f"apt has no source of Debian's {_SUITE}")


def _certificates() -> str:
  """Those that this machine trusts, its own additions too."""
  return Path(os.environ.get("SSL_CERT_FILE", _CERTIFICATES)).read_text()


def _pip() -> dict[str, str]:
  """What pip is told on this machine, by files or variables."""
  lines = run(sys.executable, "-m", "pip", "config", "list").splitlines()
  # The environment last, as it wins there too.
  pairs = (line.partition("=")[::2] for line in sorted(lines, reverse=True))
  options = {
    name.rpartition(".")[2]: ast.literal_eval(value) for name, value in pairs
  }
  return options | {"cert": _CERTIFICATES}


def _pip_conf() -> str:
  options = {
    name: value
    for name, value in _pip().items()
    # A folder of this machine means nothing there.
    if name != "find-links"
  }
  # Several values are on lines of their own.
  lines = [
    f"{name} = {value.replace(chr(10), chr(10) + '  ')}"
    for name, value in options.items()
  ]
  return "\n".join(["[global]", "root-user-action = ignore", *lines, ""])


def _environ() -> dict[str, str]:
  """What programs other than pip look for: uv, requests, OpenSSL."""
  pip = _pip()
  indexes = {to: pip[name] for name, to in _INDEX.items() if name in pip}
  proxies = {
    name: os.environ[name]
    for upper in _PROXIES
    for name in (upper, upper.lower())
    if name in os.environ
  }
  certificates = {
    "REQUESTS_CA_BUNDLE": _CERTIFICATES,
    "SSL_CERT_FILE": _CERTIFICATES,
  }
  return {**certificates, **indexes, **proxies}
