"""What a host of a job prints, attempt by attempt, each byte once."""

import codecs
import collections
import threading
from collections.abc import Generator, Iterable, Iterator

from keras_remote.backend.base import Shown
from keras_remote.core.job import Job
from keras_remote.job.outcome import Started

# Seconds between looks at what a job elsewhere has stored of its log, as stores
# cannot push: the first ones, and the most, for one that may wait for hours.
_LOOK, _SELDOM = 1.0, 5.0


class HostLog:
  """Reads what a host prints, and knows how far it has come.

  The live view comes first; what it does not have any more is in the store.

  Args:
    ended: set when the job has ended by whoever watches it, so that it is not
      watched for each of its hosts; None where nobody does.
  """

  def __init__(
    self, job: Job, host: int, ended: threading.Event | None = None
  ) -> None:
    self._job = job
    self._host = host
    limits = job.spec.limits
    self._most = 1 + limits.retries + limits.max_preemptions
    self._watched = ended is not None
    self._ended = ended or threading.Event()
    # 0 while it is not known which one the live view shows.
    self._attempt = 0
    self._allocation: str | None = None
    self._offset = 0
    self._whole_line = True

  def now(self) -> Iterator[bytes]:
    """What is there now, of the newest attempt, and was not read yet."""
    newest = self._newest()
    if newest and newest.attempt > self._attempt:
      self._turn_to(newest)
    shown = yield from self._live(follow=False)
    if not shown.whole:
      yield from self._stored()

  def rest(self) -> Iterator[bytes]:
    """What comes, until the job ends: of each further attempt too."""
    while True:
      shown = yield from self._live(follow=True)
      if shown.whole:
        return
      if not self._attempt:
        self._attempt = self._of(shown.allocation)
      pause = _LOOK
      while True:
        # Asked before reading: what was stored before the end is then read.
        ended = self._has_ended()
        if self._attempt:
          yield from self._stored()
        following = self._following()
        if following:
          break
        if ended:
          return
        self._ended.wait(pause)
        pause = min(2 * pause, _SELDOM)
      yield from self._begin(following)

  def _has_ended(self) -> bool:
    if self._watched:
      return self._ended.is_set()
    return self._job.observe().state.ended

  def _live(self, *, follow: bool) -> Generator[bytes, None, Shown]:
    shown = self._job.backend.job_logs(
      self._job.spec,
      self._host,
      allocation=self._allocation,
      offset=self._offset,
      follow=follow,
    )
    found = yield from self._counted(shown)
    self._allocation = found.allocation or self._allocation
    return found

  def _stored(self) -> Iterator[bytes]:
    directory = self._job.directory
    for data in directory.log(self._attempt, self._host, self._offset):
      self._count(data)
      yield data

  def _counted(
    self, pieces: Generator[bytes, None, Shown]
  ) -> Generator[bytes, None, Shown]:
    while True:
      try:
        data = next(pieces)
      except StopIteration as ended:
        return ended.value
      self._count(data)
      yield data

  def _count(self, data: bytes) -> None:
    self._offset += len(data)
    self._whole_line = data.endswith(b"\n")

  def _newest(self) -> Started | None:
    """The last attempt that was claimed; most jobs have one at most."""
    claims = self._job.directory.claims(most=self._most)
    return max(claims, key=lambda claim: claim.attempt, default=None)

  def _following(self) -> Started | None:
    """The attempt after the one that is read, if it has begun."""
    if not self._attempt:
      return self._newest()
    if self._attempt >= self._most:
      return None
    claims = self._job.directory.claims(self._attempt)
    return next(claims, None)

  def _of(self, allocation: str) -> int:
    """The attempt of these processes; 0 where they claimed none."""
    for claim in self._job.directory.claims(most=self._most):
      if claim.allocation_of(self._host) == allocation:
        return claim.attempt
    return 0

  def _turn_to(self, claim: Started) -> None:
    self._attempt = claim.attempt
    self._allocation = claim.allocation_of(self._host)
    self._offset = 0

  def _begin(self, claim: Started) -> Iterator[bytes]:
    if claim.attempt > 1:
      end = b"" if self._whole_line else b"\n"
      yield end + b"[keras_remote: attempt %d begins]\n" % claim.attempt
      self._whole_line = True
    self._turn_to(claim)


def text(log: HostLog, *, follow: bool, tail: int | None) -> Iterator[str]:
  """What a host printed, as text in pieces.

  Args:
    follow: go on until the job ends.
    tail: of what is there now only so many lines.
  """
  decoder = codecs.getincrementaldecoder("utf-8")("replace")

  def decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    return filter(None, map(decoder.decode, pieces))

  if tail is not None:
    yield from last_lines(decoded(log.now()), tail)
  elif not follow:
    yield from decoded(log.now())
  if follow:
    yield from decoded(log.rest())
  if rest := decoder.decode(b"", final=True):
    yield rest


def last_lines(pieces: Iterable[str], count: int) -> list[str]:
  """The last lines of a text in pieces, with their ends."""
  last: collections.deque[str] = collections.deque(maxlen=count)
  rest: list[str] = []  # In pieces: a long line is put together once.
  for piece in pieces:
    rest.append(piece)
    if "\n" in piece:
      *lines, end = "".join(rest).splitlines(keepends=True)
      last.extend(lines)
      rest = [end]
      if end.endswith("\n"):
        last.append(end)
        rest = []
  last.extend("".join(rest).splitlines(keepends=True))
  return list(last)
