"""Where a job comes from: its commit, its versions, its author."""

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_remote.constants import VERSION

_GIT_TIMEOUT_S = 2.0
_DISTRIBUTIONS = frozenset({"cloudpickle", "jax", "keras", "numpy"})
# A git hook sets these for its own repository, which need not be the root's.
_GIT_PLACES = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"})


@dataclass(frozen=True)
class GitState:
  """What git says of a project.

  Attributes:
    commit: the checked-out commit, in hex.
    dirty: something under the root differs from it or is not tracked.
  """

  commit: str
  dirty: bool


def git_state(root: Path) -> GitState | None:
  """The commit under `root`; None without git, repository or commit.

  Also None where git takes over 2 s. Takes no lock in the repository and runs
  none of its programs.
  """
  command = ("git", "-C", str(root), "-c", "core.fsmonitor=false", "status")
  options = ("--porcelain=v2", "--branch", "-z", "--", ".")
  inherited = {k: v for k, v in os.environ.items() if k not in _GIT_PLACES}
  try:
    status = subprocess.run(
      (*command, *options),
      env=inherited | {"GIT_OPTIONAL_LOCKS": "0"},
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      timeout=_GIT_TIMEOUT_S,
      check=True,
    ).stdout
  except (OSError, subprocess.SubprocessError):
    return None
  lines = [
    line for line in status.decode("utf-8", "replace").split("\0") if line
  ]
  header, _, commit = lines[0].rpartition(" ") if lines else ("", "", "")
  if header != "# branch.oid" or commit == "(initial)":
    return None
  return GitState(commit, any(not line.startswith("# ") for line in lines))


def versions() -> dict[str, str]:
  """The versions of Python and of what a job depends on, where installed.

  Read from the names of the `.dist-info` folders, which the packaging
  standards fix: 0.3 ms, where importing importlib.metadata takes 20.
  """
  return dict(_versions())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
  found = {"python": "{}.{}.{}".format(*sys.version_info)}
  for name, version in _installed():
    found.setdefault(name, version)
  return (*found.items(), ("keras-remote", VERSION))


def _installed() -> Iterator[tuple[str, str]]:
  """Name and version of each distribution of interest, as Python finds it."""
  for folder in sys.path:
    try:
      names = os.listdir(folder or ".")
    except OSError:
      continue
    for entry in names:
      name, _, version = entry.removesuffix(".dist-info").partition("-")
      if entry.endswith(".dist-info") and name.lower() in _DISTRIBUTIONS:
        yield name.lower(), version


def who() -> str:
  """The user and machine that submit, as `user@host`."""
  import getpass

  try:
    user = getpass.getuser()
  except (KeyError, OSError):  # An id without an account, as in containers.
    user = str(os.getuid())
  return f"{user}@{socket.gethostname()}"
