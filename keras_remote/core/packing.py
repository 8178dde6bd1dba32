"""What is run, made ready to be sent."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from keras_remote.core import environment
from keras_remote.core.context import JobContext
from keras_remote.job import redact
from keras_remote.job.spec import Entry, EntryKind
from keras_remote.progress import Report, Step

# A larger payload is better kept out of the call.
LARGE_PAYLOAD = 100_000_000
_IN_MEMORY = 8_000_000


@dataclass(frozen=True)
class Packed:
  """What is run, ready to be sent.

  Attributes:
    stream: the payload, at its start; None for a command.
    digest: sha256 of the payload; None for a command.
    modules: names of modules that the function uses.
  """

  entry: Entry
  name: str
  stream: BinaryIO | None = None
  digest: str | None = None
  modules: tuple[str, ...] = ()


def pack_call(
  context: JobContext,
  function: Callable[..., object],
  args: tuple[Any, ...],
  kwargs: Mapping[str, Any],
  bound: Mapping[str, object],
  report: Report,
) -> Packed:
  """The call as a pickle.

  Raises:
    PackagingError: something in it cannot be pickled.
  """
  from keras_remote.pickling import payload, reference

  secrets = tuple(context.variables.values())
  stream = cast(BinaryIO, _Spool(_IN_MEMORY))
  saved = payload.save(
    function,
    args,
    kwargs,
    stream,
    by_value=environment.modules_by_value(context.root),
    secrets=secrets,
  )
  stream.seek(0)
  if saved.size > LARGE_PAYLOAD:
    report(_too_large(saved.size, payload.largest(function, args, kwargs)))
  name = getattr(function, "__name__", type(function).__name__)
  qualname = getattr(function, "__qualname__", name)
  found = reference.reference(function)
  module = getattr(function, "__module__", "__main__")
  return Packed(
    entry=Entry(
      kind=EntryKind.CALL,
      qualname=str(found) if found else f"{module}:{qualname}",
      params=redact.flat_params(bound, secrets),
    ),
    name=name,
    stream=stream,
    digest=saved.digest,
    modules=saved.modules,
  )


class _Spool(tempfile.SpooledTemporaryFile[bytes]):
  """A file in memory while it is small; a large write goes straight to disk."""

  def write(self, s: Any) -> int:
    if memoryview(s).nbytes > _IN_MEMORY:
      self.rollover()
    return super().write(s)


def _too_large(size: int, largest: list[tuple[str, int]]) -> Step:
  parts = ", ".join(
    f"{path} ({_megabytes(n)})" for path, n in largest if n > 1e6
  )
  return Step(
    f"the call is {_megabytes(size)}, most of it {parts}: better load large "
    "data inside the function",
    warning=True,
  )


def _megabytes(size: int) -> str:
  return f"{size / 1e6:,.0f} MB"


def pack_command(argv: tuple[str, ...]) -> Packed:
  """A command, run in the project."""
  return Packed(
    entry=Entry(kind=EntryKind.COMMAND, argv=argv),
    name=Path(argv[0]).name,
  )
