"""A function that forks may come back more than once."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from keras_remote.pickling import exceptions

T = TypeVar("T")


def once(function: Callable[[], T]) -> T:
  """What the function returns or raises, in the process that called it.

  A child that it forked and that comes back as well ends here, as a child
  would: with 0, with the code of its SystemExit, or with 1 and a traceback.
  """
  caller = os.getpid()
  try:
    value = function()
  except BaseException as error:
    if os.getpid() != caller:
      _end(error)
    raise
  if os.getpid() != caller:
    _end(None)
  return value


def flush() -> None:
  """Writes out what this process, C code included, holds back of its output."""
  for stream in (sys.stdout, sys.stderr):
    # A user's own stream may be None, or raise anything.
    with contextlib.suppress(Exception):
      stream.flush()
  ctypes.CDLL(None).fflush(None)


def _end(error: BaseException | None) -> NoReturn:
  code = 0
  if isinstance(error, SystemExit):
    code = error.code if isinstance(error.code, int) else bool(error.code)
  elif error:
    code = 1
    with contextlib.suppress(Exception):  # It may be a user's own, too.
      sys.stderr.write(exceptions.traceback_text(error))
  flush()
  os._exit(code & 0xFF)
