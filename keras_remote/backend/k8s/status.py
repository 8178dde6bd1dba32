"""What the JSON of a pod says, by its parts."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
# More of a message nobody reads.
_LONGEST = 500


def state(pod: Json) -> Json:
  """Of its container: waiting, running or terminated."""
  statuses = pod.get("status", {}).get("containerStatuses") or ()
  return statuses[0].get("state", {}) if statuses else {}


def condition(thing: Json, kind: str) -> Json:
  """A condition of a pod, or nothing."""
  for each in thing.get("status", {}).get("conditions") or ():
    if each["type"] == kind:
      return each
  return {}


def image(pod: Json) -> str:
  """Its container's."""
  return pod["spec"]["containers"][0]["image"]


def plain(text: str) -> str:
  """The text in one line, and no longer than somebody reads."""
  line = " ".join(text.split()).rstrip(".")
  return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
