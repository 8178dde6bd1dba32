"""Frees a job's machines when it has ended, from inside the job.

A LeaderWorkerSet runs until it is deleted, and nobody else may be there to do
that: so the job's own hosts do, host 0 first, by a service account that may do
no more than this.
"""

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_remote import errors
from keras_remote.runner import deleting

# Seconds that a cluster may take to know a new Role.
_KNOWN_SECONDS = 30.0
# Seconds for which a deletion fails before anybody is told.
_TELL_SECONDS = 60.0
# Seconds between two requests: at first, and at most.
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_REFUSALS = (401, 403)


class Release:
  """The right to delete what runs a job, and its use.

  Args:
    folder: has `token`, `ca.crt` and `namespace`.
    say: is told what somebody should know.
    environ: names the API server, as in every container of a cluster.
    known_seconds: for which a refusal may yet change when the right is needed.
    tell_seconds: for which a deletion fails before that is said.
  """

  def __init__(
    self,
    folder: Path,
    job_id: str,
    say: Callable[[str], object],
    *,
    environ: Mapping[str, str] = os.environ,
    known_seconds: float = _KNOWN_SECONDS,
    tell_seconds: float = _TELL_SECONDS,
  ) -> None:
    self._folder = folder
    self._job_id = job_id
    self._say = say
    self._environ = environ
    self._known_seconds = known_seconds
    self._tell_seconds = tell_seconds
    self._asked = threading.Event()
    self._begun = time.monotonic()
    self._needed: float | None = None
    # Until somebody has answered.
    self._refusal = "the cluster has not said whether this job may delete it"
    self._deleting: threading.Thread | None = None
    self._deleted = False

  def ask(self) -> None:
    """Begins to ask whether the right is there."""
    self._begun = time.monotonic()
    self._beside("right to release", self._ask)

  def check(self, patience: float) -> None:
    """Passes when the right is there; after `ask`.

    Args:
      patience: seconds, since it was asked, for which an API server that does
        not answer is waited for.

    Raises:
      ClusterAccessError: it is not, or nobody answers.
    """
    now = self._needed = time.monotonic()
    left = self._begun + patience - now
    self._asked.wait(max(left, self._known_seconds + 2 * _PAUSE))
    if self._refusal:
      raise errors.ClusterAccessError(
        f"{self._refusal}; so it does not begin: its machines would run on "
        "after its end. Call again: each job has a Role of its own, which is "
        "made with it. If that is gone again, ask who keeps the namespace what "
        "removes or refuses it"
      )

  def begin(self) -> None:
    """Begins to delete, until it works; nothing while that goes on, or after.

    Whatever ends it before that, it goes on when this is called again.
    """
    if self._deleted or (self._deleting and self._deleting.is_alive()):
      return
    self._deleting = self._beside("release", self._delete)

  def finish(self, seconds: float) -> None:
    """Waits so long until what was begun has worked."""
    if self._deleting:
      self._deleting.join(seconds)

  def _beside(self, name: str, work: Callable[[], None]) -> threading.Thread:
    # A daemon: it may go on for as long as the cluster refuses.
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread

  def _ask(self) -> None:
    while not self._is_answered():
      time.sleep(_PAUSE)
    self._asked.set()

  def _is_answered(self) -> bool:
    """Whether it may delete, or may not, which is then known for good."""
    for kind in deleting.KINDS:
      try:
        allowed = self._may_delete(kind)
      except Exception as error:  # A missing file, a network, a strange answer.
        self._refusal = (
          "the cluster cannot be asked whether this job may delete its own "
          f"{kind.resource}: {error}"
        )
        return False
      if not allowed:
        self._refusal = (
          f"this job may not delete its own {kind.resource} in the namespace "
          f"{self._namespace}: its Role or RoleBinding {self._job_id} is "
          "missing there, or was changed"
        )
        # The hosts may take minutes to come, and so may a busy cluster.
        needed = self._needed
        late = time.monotonic() - self._known_seconds
        return needed is not None and needed <= late
    self._refusal = ""
    return True

  def _may_delete(self, kind: deleting.Kind) -> bool:
    asked = {
      "verb": "delete",
      "group": kind.group,
      "resource": kind.resource,
      "subresource": "",
      "namespace": self._namespace,
      "name": self._job_id,
    }
    body = {
      "apiVersion": "authorization.k8s.io/v1",
      "kind": "SelfSubjectAccessReview",
      "spec": {"resourceAttributes": asked},
    }
    status, answer = deleting.request(
      self._environ, self._folder, "POST", _REVIEWS, body
    )
    if status not in (200, 201):
      raise http.client.HTTPException(_told(status, answer))
    return answer["status"]["allowed"] is True

  def _delete(self) -> None:
    left, told, pause = list(deleting.KINDS), False, _PAUSE
    began = time.monotonic()
    while True:
      for kind in list(left):
        status, answer = self._try_to_delete(kind)
        if deleting.is_done(status):
          left.remove(kind)
          continue
        late = time.monotonic() - began >= self._tell_seconds
        if not told and (late or status in _REFUSALS):
          told = True
          self._tell(kind, answer if status == 0 else _told(status, answer))
      if not left:
        self._deleted = True
        return
      time.sleep(pause)
      pause = min(2 * pause, _LONGEST_PAUSE)

  def _tell(self, kind: deleting.Kind, why: object) -> None:
    # Whoever cannot hear it is no reason to stop.
    with contextlib.suppress(Exception):
      self._say(
        f"this job's {kind.resource} cannot be deleted from inside it, and "
        f"its machines run on: {why}; "
        f"`keras-remote jobs cancel {self._job_id}` deletes them"
      )

  def _try_to_delete(self, kind: deleting.Kind) -> tuple[int, Any]:
    try:
      return deleting.delete(self._environ, self._folder, self._job_id, kind)
    except Exception as error:  # Whatever it is: the next time may go well.
      return 0, error

  @property
  def _namespace(self) -> str:
    return deleting.namespace(self._folder)


def _told(status: int, answer: object) -> str:
  """An answer's own words."""
  words = answer.get("message", "") if isinstance(answer, dict) else ""
  return f"{status} {words}".strip()
