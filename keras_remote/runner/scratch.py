"""The scratch folder: everything that a host has of a job on its own disk."""

import contextlib
import shutil
from pathlib import Path

from keras_remote.constants import KIB

SPOOL = "spool"
CONTEXT = "context"
PAYLOAD = "payload.pkl"
RESULT = "result.pkl"
# What the worker answers where the function has closed its pipe.
ANSWER = "answer.json"
OUTPUT = "output"
# What the worker is at: a link, whose text says it.
DOING = "doing"
RESERVE = "reserve"
# Kept free for the ending where the disk is full.
RESERVE_BYTES = 64 * KIB


def environment(scratch: str) -> Path:
  """Beside the scratch folder: what was installed for the job."""
  return Path(scratch).with_name("environment")


def make(scratch: Path) -> None:
  """Makes the scratch folder anew: an earlier start may have left its own."""
  remove(scratch)
  scratch.mkdir(parents=True, mode=0o700)
  for name in (SPOOL, OUTPUT, CONTEXT):
    (scratch / name).mkdir(mode=0o700)
  with contextlib.suppress(OSError):
    (scratch / RESERVE).write_bytes(bytes(RESERVE_BYTES))


def remove(scratch: Path) -> None:
  """Removes the scratch folder, as far as that goes."""
  shutil.rmtree(scratch, ignore_errors=True)
