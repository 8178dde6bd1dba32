"""What a first process says as it ends, to whatever started it.

That is a text for people where the store cannot be told, or a record: the
ending, and the result if it is small. A record saves its reader the store. It
is there whole or not at all, and proves nothing: the ending in it is signed,
and names the result by its digest, as everywhere else.
"""

import base64
import struct
import zlib

from keras_remote import errors
from keras_remote.job import layout, signing, wire
from keras_remote.job.outcome import Outcome

# Bytes that Kubernetes keeps of it.
LONGEST = 4096
_MARK = "keras-remote-ending:"
_LENGTH = struct.Struct(">I")
# A record is made by whoever ran in the container: it must not swell here.
_LARGEST = 1 << 20


def record(outcome: Outcome, result: bytes | None) -> str:
  """The ending as a record, with its result if that fits; "" if neither does.

  Args:
    outcome: signed, and stored already.
  """
  ending = wire.encode(outcome)
  for data in ([] if result is None else [result]) + [b""]:
    packed = zlib.compress(_LENGTH.pack(len(ending)) + ending + data)
    text = _MARK + base64.b64encode(packed).decode()
    if len(text) <= LONGEST:
      return text
  return ""


def is_record(text: str) -> bool:
  """Whether it is nothing that a person reads."""
  return text.startswith(_MARK)


def read(
  text: str, job_id: str, key: bytes
) -> tuple[Outcome, bytes | None] | None:
  """The ending in a record, and its result if that is in it too.

  Args:
    key: the job's key.

  Returns:
    None for what is no record, or none of this job's: the store may know more.
  """
  if not is_record(text):
    return None
  unpacking = zlib.decompressobj()
  try:
    packed = base64.b64decode(text.removeprefix(_MARK), validate=True)
    data = unpacking.decompress(packed, _LARGEST)
    if not unpacking.eof:
      return None
    (length,) = _LENGTH.unpack_from(data)
    rest = data[_LENGTH.size :]
    outcome = wire.decode(Outcome, rest[:length], "the last words")
    signing.verify(outcome, job_id, key)
  except (ValueError, zlib.error, struct.error, errors.KerasRemoteError):
    return None
  result = rest[length:]
  if layout.digest(result) != outcome.result:
    return outcome, None
  return outcome, result
