"""JobDirectory: every read and every write of a job's files."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from keras_remote import errors
from keras_remote.job import ids, index, layout, signing, wire
from keras_remote.job.doing import Doing, Hang
from keras_remote.job.outcome import HostReport, Outcome, Present, Started
from keras_remote.job.spec import JobSpec
from keras_remote.storage.store import Entry, Source, Store

T = TypeVar("T")


@dataclass(frozen=True)
class JobDirectory:
  """The files of one job: a store and an id.

  Attributes:
    key: the job's key, where an outcome that it did not sign is none.

  Every method raises StoreError where the store fails.
  """

  store: Store
  job_id: str
  key: bytes | None = field(default=None, repr=False)

  # What to run.

  def create_spec(
    self,
    spec: JobSpec,
    key: bytes,
    *,
    payload: Source | None = None,
    beside: Sequence[Callable[[], object]] = (),
  ) -> str:
    """Lists the job and stores its spec, signed; the spec's digest.

    All of it goes side by side. What a submitter that dies leaves behind is
    listed, or else `prune` finds it.

    Args:
      payload: see `create_payload`.
      beside: what else is done meanwhile.

    Raises:
      StoreError: the id is taken; or the store failed, and holds nothing.
    """
    data = wire.encode(spec)
    digest = layout.digest(data)
    signature = signing.sign_spec(digest, key).encode()
    parts: dict[str, Source] = {layout.SPEC: data, layout.SIGNATURE: signature}
    if payload is not None:
      parts[layout.PAYLOAD] = payload
    with ThreadPoolExecutor(1 + len(parts) + len(beside)) as pool:
      listed = pool.submit(index.add, self.store, spec)
      made = {
        name: pool.submit(self.store.create, self._key(name), part)
        for name, part in parts.items()
      }
      others = [pool.submit(each) for each in beside]
    ours = _succeeded(made[layout.SPEC])
    with contextlib.ExitStack() as undo:
      if listed.exception() is None and listed.result():
        undo.callback(index.remove, self.store, spec)
      if ours is not False:
        for name, each in reversed(made.items()):
          if _succeeded(each):
            undo.callback(self.store.delete, self._key(name))
      for each in (listed, *made.values(), *others):
        each.result()
      if not ours:
        raise errors.StoreError(
          f"a job with the id {self.job_id} exists already"
        )
      for name, part in parts.items():
        if not made[name].result():
          # Who has the spec has the rest: it was left by who came too late.
          self._write_again(name, part)
      undo.pop_all()
    return digest

  def spec(
    self, digest: str | None = None, key: bytes | None = None
  ) -> JobSpec:
    """The spec.

    Args:
      digest: the sha256 that it must have; None to take any.
      key: the job's key, with which it must be signed before anything that
        it names is run; None to only look at it.

    Raises:
      JobNotFoundError: there is no such job.
      IntegrityError: it is not the one that was sent, or another job's.
    """
    if not ids.is_job_id(self.job_id):
      raise errors.IntegrityError(f"'{self.job_id}' is the id of no job")
    try:
      data = self.store.read(self._key(layout.SPEC))
    except errors.ObjectNotFoundError as error:
      raise errors.JobNotFoundError(
        f"the store {self.store.uri} holds no job {self.job_id}"
      ) from error
    if digest is not None and layout.digest(data) != digest:
      raise errors.IntegrityError(
        f"spec.json of {self.job_id} is not the one that was sent"
      )
    if key is not None:
      signature = self._read(self._key(layout.SIGNATURE)) or b""
      signing.verify_spec(layout.digest(data), signature, self.job_id, key)
    spec = wire.decode(JobSpec, data, f"spec.json of {self.job_id}")
    if spec.job_id != self.job_id:
      raise errors.IntegrityError(
        f"spec.json of {self.job_id} says that it is another job's"
      )
    return spec

  def signed(self) -> bool:
    """Whether the spec has a signature, be it right or not."""
    return self._read(self._key(layout.SIGNATURE)) is not None

  def try_to_write(self) -> None:
    """Passes where the job's files can be read, and others be made.

    Nothing is changed: what is made is there already.

    Raises:
      StoreError: they cannot, or there is no such job.
    """
    key = self._key(layout.SPEC)
    self.store.create(key, self.store.read(key))

  def create_payload(self, data: Source) -> None:
    """Stores the pickled function and its arguments."""
    self.store.create(self._key(layout.PAYLOAD), data)

  def open_payload(self) -> BinaryIO:
    """The pickled function and its arguments; not yet checked."""
    return self.store.open(self._key(layout.PAYLOAD))

  # Attempts.

  def write_present(self, present: Present) -> None:
    """Says that a host's first process is there."""
    key = self._key(layout.present(present.host))
    self.store.write(key, wire.encode(present))

  def present(self, host: int, key: bytes | None = None) -> Present | None:
    """What the host said last of being there; None while not, or legibly.

    Args:
      key: with which it must be signed; None to only look at it.
    """
    found = self._decoded(Present, self._key(layout.present(host)))
    return self._signed(found, key)

  def attempts(self, key: bytes | None = None) -> list[int]:
    """The attempts that were claimed, in order.

    Their numbers have no gaps but where another than the job has claimed one:
    to ask for one after the other costs less than to list all that a long job
    has logged.

    Args:
      key: with which a claim must be signed; None for the directory's own.
    """
    key = self.key if key is None else key
    return [
      number for number, found in self._claims(0, key) if found or key is None
    ]

  def claims(
    self,
    after: int = 0,
    key: bytes | None = None,
    *,
    most: int | None = None,
  ) -> Iterator[Started]:
    """The claims that can be read, in order: see `attempts`.

    Args:
      after: number of an attempt; of those up to it nothing is told.
      most: the number up to which is looked; None for all.
    """
    key = self.key if key is None else key
    for number, found in self._claims(after, key):
      if found:
        yield found
      if number == most:
        return

  def create_started(self, started: Started) -> bool:
    """Claims the attempt; False where another start has."""
    key = self._attempt(started.attempt, layout.STARTED)
    return self.store.create(key, wire.encode(started))

  def started(self, attempt: int, key: bytes | None = None) -> Started | None:
    """The claim of an attempt; None where there is none, or not legibly.

    Args:
      key: with which it must be signed; None to only look at it.
    """
    found = self._decoded(Started, self._attempt(attempt, layout.STARTED))
    return self._signed(found, key)

  def write_heartbeat(self, attempt: int, host: int, count: int) -> None:
    """Says that the host lives: a counter that goes up; 0 is its last beat."""
    key = self._attempt(attempt, layout.heartbeat(host))
    self.store.write(key, b"%d" % count)

  def heartbeat(self, attempt: int, host: int) -> int | None:
    """The host's counter; it is alive while this changes."""
    data = self._read(self._attempt(attempt, layout.heartbeat(host)))
    return int(data) if data and data.isdigit() else None

  def create_host_report(self, report: HostReport) -> None:
    """Stores how a host of the attempt ended."""
    key = self._attempt(report.attempt, layout.host_report(report.host))
    self.store.create(key, wire.encode(report))

  def host_report(self, attempt: int, host: int) -> HostReport | None:
    """How a host of the attempt ended; None while not said, or legible."""
    key = self._attempt(attempt, layout.host_report(host))
    return self._decoded(HostReport, key)

  def reported(self, attempt: int) -> set[int]:
    """The hosts of the attempt whose reports are there, by one request."""
    prefix = self._attempt(attempt, layout.HOSTS)
    names = (
      entry.key.removeprefix(prefix).removesuffix(".json")
      for entry in self.store.list(prefix)
    )
    return {int(name) for name in names if name.isdecimal()}

  def create_death(self, report: HostReport) -> None:
    """Stores why the processes of the attempt died, by their backend."""
    key = self._attempt(report.attempt, layout.DEATH)
    self.store.create(key, wire.encode(report))

  def death(self, attempt: int) -> HostReport | None:
    """Why the attempt's processes died; None while not said, or legible."""
    return self._decoded(HostReport, self._attempt(attempt, layout.DEATH))

  def write_doing(self, attempt: int, host: int, doing: Doing) -> None:
    """Says what the host is at."""
    key = self._attempt(attempt, layout.doing(host))
    self.store.write(key, wire.encode(doing))

  def doing(self, attempt: int, host: int) -> Doing | None:
    """What the host is at; None where it has not said, or not legibly."""
    return self._decoded(Doing, self._attempt(attempt, layout.doing(host)))

  def write_hang(self, attempt: int, hang: Hang) -> None:
    """Says what holds up the group, or that nothing does any more."""
    self.store.write(self._attempt(attempt, layout.HANG), wire.encode(hang))

  def hang(self, attempt: int) -> Hang | None:
    """What holds up the group; None where nothing ever did."""
    return self._decoded(Hang, self._attempt(attempt, layout.HANG))

  # Logs.

  def create_log_segment(
    self, attempt: int, host: int, offset: int, data: bytes
  ) -> None:
    """Stores what the host printed from byte `offset` on."""
    self.store.create(
      self._attempt(attempt, layout.log_segment(host, offset)), data
    )

  def log(self, attempt: int, host: int, offset: int = 0) -> Iterator[bytes]:
    """What the host printed from byte `offset` on, as far as it is stored."""
    prefix = self._attempt(attempt, layout.logs(host))
    for entry in self.store.list(prefix):
      name = entry.key.removeprefix(prefix)
      if name.isdecimal() and (start := int(name)) + entry.size > offset:
        yield self.store.read_range(entry.key, max(0, offset - start))

  def log_end(self, attempt: int, host: int) -> int:
    """The offset behind the last byte of a host's log that is stored."""
    prefix = self._attempt(attempt, layout.logs(host))
    ends = [
      int(name) + entry.size
      for entry in self.store.list(prefix)
      if (name := entry.key.removeprefix(prefix)).isdecimal()
    ]
    return max(ends, default=0)

  # Results and endings.

  def create_result(self, digest: str, data: Source) -> None:
    """Stores a result under its digest."""
    self.store.create(self._key(layout.result(digest)), data)

  def open_result(self, digest: str) -> BinaryIO:
    """The result of that digest; not yet checked."""
    return self.store.open(self._key(layout.result(digest)))

  def create_outcome(self, outcome: Outcome, key: bytes | None = None) -> bool:
    """Stores how the job ended; False where somebody else has.

    One that cannot be read, or is not signed with the key, counts as absent
    and is replaced.
    """
    name, data = self._key(layout.OUTCOME), wire.encode(outcome)
    if self.store.create(name, data):
      return True
    if self.outcome(key) is None:
      self.store.write(name, data)
    return self.outcome(key) == outcome

  def outcome(self, key: bytes | None = None) -> Outcome | None:
    """How the job ended; None while nobody has said, or not legibly.

    Args:
      key: with which it must be signed; None for the directory's own.
    """
    found = self._decoded(Outcome, self._key(layout.OUTCOME))
    key = self.key if key is None else key
    try:
      if found and key is not None:
        signing.verify(found, self.job_id, key)
    except errors.IntegrityError:
      return None
    return found

  # What the function leaves behind.

  def write_file(self, path: str, data: Source) -> None:
    """Stores a file that the function left in its output folder."""
    self.store.write(self._key(layout.FILES + path), data)

  def delete_file(self, path: str) -> None:
    """Removes one of `files()`, if it is there."""
    self.store.delete(self._key(layout.FILES + path))

  def files(self) -> Iterator[Entry]:
    """The files that the function left; each key is the path in the folder."""
    prefix = self._key(layout.FILES)
    for entry in self.store.list(prefix):
      yield Entry(entry.key.removeprefix(prefix), entry.size)

  def open_file(self, path: str) -> BinaryIO:
    """One of `files()`."""
    return self.store.open(self._key(layout.FILES + path))

  def delete(self, job: JobSpec | index.Row | None) -> None:
    """Removes the job; while it is listed it can be removed again.

    Args:
      job: how it is listed; None where it is not.
    """
    for entry in list(self.store.list(self._key(""))):
      self.store.delete(entry.key)
    if job is not None:
      index.remove(self.store, job)

  def _write_again(self, name: str, part: Source) -> None:
    if not isinstance(part, bytes):
      part.seek(0)
    self.store.write(self._key(name), part)

  def _key(self, name: str) -> str:
    return layout.job(self.job_id, name)

  def _attempt(self, number: int, name: str) -> str:
    return self._key(layout.attempt(number, name))

  def _claims(
    self, after: int, key: bytes | None
  ) -> Iterator[tuple[int, Started | None]]:
    """The numbers that were claimed after one, with the claims that count."""
    for number in itertools.count(after + 1):
      data = self._read(self._attempt(number, layout.STARTED))
      if data is None:
        return
      yield number, self._signed(self._record(Started, data), key)

  def _decoded(self, cls: type[T], key: str) -> T | None:
    data = self._read(key)
    return None if data is None else self._record(cls, data)

  def _record(self, cls: type[T], data: bytes) -> T | None:
    """What is in a file; None where that is not legible."""
    try:
      return wire.decode(cls, data, f"a file of {self.job_id}")
    except errors.IntegrityError:
      return None

  def _signed(self, found: T | None, key: bytes | None) -> T | None:
    """The record, if it is signed with the key or none is asked for."""
    if found is None or key is None:
      return found
    assert isinstance(found, (Started, Present))
    return found if signing.is_signed(found, self.job_id, key) else None

  def _read(self, key: str) -> bytes | None:
    try:
      return self.store.read(key)
    except errors.ObjectNotFoundError:
      return None


def _succeeded(future: "Future[bool]") -> bool | None:
  """What it says; None where it failed, and perhaps did it nevertheless."""
  return future.result() if future.exception() is None else None
