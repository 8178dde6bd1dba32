"""Installs an environment, by uv, in an image that has little but Python."""

import ast
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keras_remote import errors
from keras_remote.job import redact
from keras_remote.job.environments import PREFIXES, Recipe

# Seconds that all of it may take: more than a slow index needs for jax's CUDA.
_LONGEST = 1800.0
_PIP_SECONDS = 300.0
# What alone reaches the store.
_CLIENT = "google-cloud-storage"
# What pip is told, and uv goes by.
_OF_PIP = {
  "cert": "SSL_CERT_FILE",
  "extra-index-url": "UV_INDEX",
  "find-links": "UV_FIND_LINKS",
  "index-url": "UV_DEFAULT_INDEX",
  "no-index": "UV_NO_INDEX",
  "trusted-host": "UV_INSECURE_HOST",
}
# Where GKE puts the drivers of its GPUs, and what is looked through for them.
_DRIVERS, _LIBRARIES = "/usr/local/nvidia/lib64", "LD_LIBRARY_PATH"
# The last lines of what uv says.
_MOST_LINES = 30


def install(recipe: Recipe, folder: Path) -> None:
  """Makes the environment as the folder.

  Raises:
    ImageBuildError: it cannot be; has uv's own words. What reaches the store
      is there if that could be.
  """
  lines = recipe.requirements
  version = "{}.{}".format(*sys.version_info)
  try:
    if version != recipe.python:
      raise errors.ImageBuildError(
        f"the image {recipe.base} has Python {version}, and the call was made "
        f"by Python {recipe.python}: set base_image= to an image of that, "
        f"such as python:{recipe.python}-slim"
      )
    _install(_uv(folder), lines, folder)
  except errors.ImageBuildError:
    # By this alone the job can say so.
    try:
      install_client(recipe, folder)
    except errors.ImageBuildError:
      shutil.rmtree(folder, ignore_errors=True)
    raise
  finally:
    shutil.rmtree(_cache(folder), ignore_errors=True)


def install_client(recipe: Recipe, folder: Path) -> None:
  """Makes an environment as the folder that reaches the store, and no more.

  Raises:
    ImageBuildError: it cannot be; has uv's own words.
  """
  names = (line.lower().replace("_", "-") for line in recipe.requirements)
  lines = [name for name in names if name.startswith(_CLIENT)]
  _install(_uv(folder), lines, folder)


def python(folder: Path) -> Path:
  """The environment's interpreter."""
  return folder / "bin" / "python"


def packages(folder: Path) -> Path | None:
  """Where the environment's packages are, if anywhere."""
  return next(iter(folder.glob("lib/python3*/site-packages")), None)


def with_drivers(
  environ: Mapping[str, str], drivers: str = _DRIVERS
) -> dict[str, str]:
  """The environment, by which a node's drivers are found where it has some.

  Images of plain Python do not know of them; what an image or a user says of
  libraries comes before them.
  """
  known = list(filter(None, environ.get(_LIBRARIES, "").split(":")))
  if drivers in known or not os.path.isdir(drivers):
    return dict(environ)
  return {**environ, _LIBRARIES: ":".join([*known, drivers])}


def _install(uv: str, lines: Sequence[str], folder: Path) -> None:
  environ = _environ(folder)
  shutil.rmtree(folder, ignore_errors=True)
  wanted = folder.with_suffix(".txt")
  wanted.write_text("\n".join([*lines, ""]))
  # Not from the project or a user's files: nothing but what was sent.
  own = ("--no-project", "--python", sys.executable)
  _run((uv, "venv", "--quiet", *own, str(folder)), environ, _LONGEST)
  into = ("--python", str(python(folder)))
  packed = ("--compile-bytecode", "--requirement", str(wanted))
  _run((uv, "pip", "install", "--quiet", *into, *packed), environ, _LONGEST)


def _uv(folder: Path) -> str:
  """The program: the image's, or what pip brings."""
  found = shutil.which("uv")
  if found:
    return found
  if not _has_pip():
    raise errors.ImageBuildError(
      "the image has neither pip nor uv, so nothing can be installed in it: "
      "choose another base_image=, or give container_image= one that has all"
    )
  to = folder.with_name("uv")
  program = to / "bin" / "uv"
  if program.exists():
    return str(program)
  pip = (sys.executable, "-m", "pip", "install", "--quiet")
  options = ("--disable-pip-version-check", "--target", str(to))
  _run((*pip, *options, "uv"), dict(os.environ), _PIP_SECONDS)
  return str(program)


def _has_pip() -> bool:
  return importlib.util.find_spec("pip") is not None


def _environ(folder: Path) -> dict[str, str]:
  """Variables for uv: it is told what pip is, where it was told nothing."""
  fixed = {
    "NO_COLOR": "1",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
  }
  # Beside the environment, so that files are linked and not copied.
  defaults = {"UV_CACHE_DIR": str(_cache(folder)), **_said_to_pip()}
  return {**defaults, **os.environ, **fixed}


def _said_to_pip() -> dict[str, str]:
  if not _has_pip():
    return {}
  listed = subprocess.run(
    (sys.executable, "-m", "pip", "config", "list"),
    capture_output=True,
    text=True,
    timeout=_PIP_SECONDS,
    check=False,
  )
  told = {}
  # The environment comes last, as it wins there too.
  for line in sorted(listed.stdout.splitlines(), reverse=True):
    option, _, value = line.partition("=")
    name = _OF_PIP.get(option.rpartition(".")[2])
    if name:
      told[name] = " ".join(str(ast.literal_eval(value)).split())
  return told


def _cache(folder: Path) -> Path:
  return folder.with_name("uv-cache")


def _run(
  command: Sequence[str], environ: Mapping[str, str], seconds: float
) -> None:
  program = f"{Path(command[0]).name} {command[1]}"
  try:
    ran = subprocess.run(
      command,
      env=dict(environ),
      # Where no settings of a project are found.
      cwd="/",
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors="replace",
      timeout=seconds,
      check=False,
    )
  except subprocess.TimeoutExpired as error:
    raise errors.ImageBuildError(
      f"{program} took longer than {seconds:g} s: does the cluster reach the "
      "package index?"
    ) from error
  if ran.returncode:
    last = ran.stdout.strip().splitlines()[-_MOST_LINES:]
    told = redact.hide("\n".join(last), _secrets(environ))
    raise errors.ImageBuildError(f"{program} failed:\n{told}")


def _secrets(environ: Mapping[str, str]) -> set[str]:
  """What no text may show: where packages are, and how to log in there."""
  found = set[str]()
  for name, value in environ.items():
    if name.startswith(PREFIXES) or redact.is_secret_name(name):
      found |= {value, *_passwords(value)}
  return found


def _passwords(addresses: str) -> Iterator[str]:
  for address in addresses.split():
    with contextlib.suppress(ValueError):
      password = urlsplit(address).password
      if password:
        yield from (password, unquote(password))
