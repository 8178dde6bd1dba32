"""What the kernel says of this container's memory (Linux; else nothing)."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path

# Where the hierarchies are mounted; a container sees its own group there.
_MOUNTED = Path("/sys/fs/cgroup")
# Above it a limit is none: version 1 writes the largest number of pages.
_UNLIMITED = 2**60


@dataclass(frozen=True)
class Memory:
  """A control group's memory, as it is now.

  Attributes:
    kills: how many of its processes the kernel has killed for want of memory.
    limit: bytes; None where it has none, or that cannot be read.
  """

  kills: int = 0
  limit: int | None = None


def memory(mounted: Path = _MOUNTED) -> Memory:
  """The memory of the control group that this process is in."""
  own = _own()
  for folder, events, limit in (
    (mounted, "memory.events", "memory.max"),
    (mounted / "memory", "memory.oom_control", "memory.limit_in_bytes"),
  ):
    # Its path is that of outside, unless the container has a view of its own.
    for place in (folder / own.lstrip("/"), folder):
      with contextlib.suppress(OSError, ValueError):
        found = Memory(kills=_count(place / events))
        with contextlib.suppress(OSError, ValueError):
          bytes_ = int((place / limit).read_text())
          if bytes_ < _UNLIMITED:
            found = dataclasses.replace(found, limit=bytes_)
        return found
  return Memory()


def _own() -> str:
  """The path of this process's group."""
  with contextlib.suppress(OSError):
    for line in Path("/proc/self/cgroup").read_text().splitlines():
      number, controllers, path = line.split(":", 2)
      if "memory" in controllers.split(",") or number == "0":
        return path
  return ""


def _count(path: Path) -> int:
  for line in path.read_text().splitlines():
    name, _, value = line.partition(" ")
    if name == "oom_kill":
      return int(value)
  raise ValueError(f"{path} counts none")
