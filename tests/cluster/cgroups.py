"""Where the containers of a node are accounted, on cgroups of version 1 or 2."""

import time
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_PARENT = "keras_remote"
_LOOK = 0.05
_EMPTY_SECONDS = 10.0


def name(node: str) -> str:
  """The node's cgroup, relative to where cgroups are mounted."""
  return f"{_PARENT}/{node}"


def create(node: str) -> None:
  for root in _roots():
    for path in (root / _PARENT, root / name(node)):
      path.mkdir(exist_ok=True)
      # Version 1 runs nothing where these are empty.
      for file in ("cpuset.cpus", "cpuset.mems"):
        if root.name == "cpuset":
          (path / file).write_text((path.parent / file).read_text())
      if root == _MOUNT:
        _delegate(path.parent)


def remove() -> None:
  """Removes those of all nodes, once their processes are gone."""
  for root in (_MOUNT, *_MOUNT.iterdir()):
    parent = root / _PARENT
    if parent.is_dir():
      # The deepest first.
      for path in sorted(parent.rglob("*/"), reverse=True):
        _remove(path)
      _remove(parent)


def _roots() -> Iterator[Path]:
  """The one hierarchy of version 2, or that of each controller."""
  if (_MOUNT / "cgroup.controllers").exists():
    yield _MOUNT
    return
  for root in _MOUNT.iterdir():
    # Beside version 1, version 2 has no controllers.
    if not root.is_symlink() and root.name != "unified":
      yield root


def _delegate(path: Path) -> None:
  """Lets the children of a cgroup of version 2 use its controllers."""
  controllers = (path / "cgroup.controllers").read_text().split()
  for controller in controllers:
    (path / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove(path: Path) -> None:
  deadline = time.monotonic() + _EMPTY_SECONDS
  while True:
    try:
      path.rmdir()
      return
    except OSError:
      # What was killed is counted until it is buried.
      if time.monotonic() > deadline:
        raise
      time.sleep(_LOOK)
