"""A worker of Cloud Build that really runs the steps: by buildah, here.

What a step calls docker is buildah; Artifact Registry is the cluster's
registry. As on Cloud Build, each build finds an empty machine: nothing that
an earlier one left is there, save in the registry.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from google.cloud.devtools import cloudbuild_v1

from keras_remote.images.builder import EMULATOR_VARIABLE
from keras_remote.storage.open import open_store
from tests.cluster import images
from tests.cluster.layout import ARTIFACTS, REGISTRY
from tests.fakes.cloud_build import CloudBuildServer, StepFailedError
from tests.fakes.environment import environment

# Runs a command with the given folder, its first argument, as /var/lib.
_OWN_VAR_LIB = 'mount --bind "$0" /var/lib && exec "$@"'
_DOCKER = """\
#!/bin/sh
what=$1
shift
buildah() {
  command buildah --storage-driver vfs --runroot /var/lib/run "$@"
}
case $what in
  build) buildah build --isolation chroot --tls-verify=false \\
    --cni-config-dir /var/lib/networks "$@" ;;
  # The registry then has the base's layer already.
  push) buildah push --disable-compression --tls-verify=false "$@" ;;
  *) buildah "$what" --tls-verify=false "$@" ;;
esac
"""


@contextlib.contextmanager
def cloud_build() -> Iterator[CloudBuildServer]:
  """A Cloud Build of the cluster's; clients within the block are led to it.

  Its logs go to the bucket that STORAGE_EMULATOR_HOST leads to.
  """
  with (
    CloudBuildServer(BuildahWorker(), open_store) as server,
    environment(**{EMULATOR_VARIABLE: server.address}),
  ):
    yield server


class BuildahWorker:
  """Runs the steps on this machine, and pushes to the cluster's registry."""

  def build(
    self, build: cloudbuild_v1.Build, log: Callable[[str], None]
  ) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
      for place in ("var", "workspace", "bin"):
        Path(folder, place).mkdir()
      docker = Path(folder, "bin", "docker")
      docker.write_text(_DOCKER)
      docker.chmod(0o755)
      for number, step in enumerate(build.steps):
        log(f'Starting Step #{number} - "{step.id}"')
        script = Path(folder, "bin", step.id)
        shebang = "" if step.script.startswith("#!") else "#!/bin/sh\n"
        script.write_text(shebang + step.script)
        script.chmod(0o755)
        environ = dict(_here(each).split("=", 1) for each in step.env)
        code = _run(folder, (str(script),), environ, _marked(log, number, step))
        if code:
          raise StepFailedError(number, code)
        log(f'Finished Step #{number} - "{step.id}"')
      log("PUSH")
      for image in build.images:
        code = _run(folder, ("docker", "push", _here(image)), {}, log)
        if code:
          raise StepFailedError(len(build.steps) - 1, code)
    return {image: self.digest(image) or "" for image in build.images}

  def digest(self, image: str) -> str | None:
    return images.digest(_here(image))


def _here(text: str) -> str:
  """The text, with the cluster's registry for Artifact Registry."""
  return text.replace(f"{ARTIFACTS}/", f"{REGISTRY}/")


def _marked(
  log: Callable[[str], None], number: int, step: cloudbuild_v1.BuildStep
) -> Callable[[str], None]:
  return lambda line: log(f'Step #{number} - "{step.id}": {line}')


def _run(
  folder: str,
  command: tuple[str, ...],
  environ: dict[str, str],
  log: Callable[[str], None],
) -> int:
  """Runs it with all that buildah writes in the folder; its exit code."""
  own = ("unshare", "--mount", "sh", "-c", _OWN_VAR_LIB, f"{folder}/var")
  path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
  with subprocess.Popen(
    (*own, *command),
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    env={**os.environ, **environ, "PATH": path, "TMPDIR": folder},
    cwd=f"{folder}/workspace",
    start_new_session=True,
    text=True,
    errors="replace",
  ) as process:
    assert process.stdout
    try:
      for line in process.stdout:
        log(line.rstrip())
    except BaseException:
      os.killpg(process.pid, signal.SIGKILL)
      raise
  return process.returncode
