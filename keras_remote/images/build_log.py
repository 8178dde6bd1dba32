"""A build's log: read while it grows, and what of it a person wants to see."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_remote import errors
from keras_remote.storage.store import Store

if TYPE_CHECKING:
  from keras_remote.images.container_builder import Build

# `Step #1 - "image": text`, as Cloud Build marks what each step prints.
_PRINTED = re.compile(r'Step #(\d+)(?: - "[^"]*")?: ?(.*)')
_LAST = 30
_MAY_NOT_PUSH = "artifactregistry.repositories.uploadArtifacts"


class BuildLog:
  """The lines of an object that grows.

  Attributes:
    lines: all that were read, whole ones.
    unread: why it cannot be read; empty where it can.
  """

  def __init__(self, store: Store | None, key: str) -> None:
    self.lines: list[str] = []
    self.unread = "" if store else "only Cloud Logging has it"
    self._store, self._key = store, key
    self._read, self._rest = 0, b""

  def more(self) -> list[str]:
    """The lines that came since the last time."""
    if self._store is None or self.unread:
      return []
    try:
      data = self._store.read_range(self._key, self._read)
    except errors.ObjectNotFoundError:  # Nothing was printed yet.
      return []
    except errors.StoreError as error:
      self.unread = str(error)
      return []
    self._read += len(data)
    *whole, self._rest = (self._rest + data).split(b"\n")
    lines = [line.decode(errors="replace").rstrip() for line in whole]
    self.lines += lines
    return lines


def printed(line: str) -> str:
  """What a step printed with this line; empty if it is none of a step's."""
  match = _PRINTED.fullmatch(line)
  return match[2].strip() if match else ""


def last_lines(lines: Iterable[str], step: int | None) -> str:
  """The end of what the step printed; of everything, if it printed nothing."""
  everything = [line for line in lines if line]
  matches = [_PRINTED.fullmatch(line) for line in everything]
  of_step = [m[2] for m in matches if m and step == int(m[1])]
  return "\n".join((of_step or everything)[-_LAST:])


def story(build: "Build", log: BuildLog, project: str) -> str:
  """Why there is no image, with the last lines of the step that failed."""
  how = f"it ended with {build.status}"
  if build.step is not None:
    how = f"its step '{build.step_name}' failed"
  said = [f"the image could not be built: {how}", build.detail]
  if log.lines:
    said.append(last_lines(log.lines, build.step))
  if log.unread:
    said.append(f"its log cannot be read: {log.unread}")
  if any(_MAY_NOT_PUSH in line for line in log.lines):
    said.append(
      "the build's service account may not push there: `gcloud projects "
      f"add-iam-policy-binding {project} "
      f"--member=serviceAccount:{build.account or 'ACCOUNT'} "
      "--role=roles/artifactregistry.writer`"
    )
  said.append(f"the whole log: {build.url}")
  return "\n".join(filter(None, said))
