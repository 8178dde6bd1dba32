"""Environment variables of this process, for the time of a test."""

import contextlib
import os
from collections.abc import Generator


@contextlib.contextmanager
def environment(**variables: str) -> Generator[None]:
  """This process with these variables; as it was when the block ends."""
  before = dict(os.environ)
  os.environ.update(variables)
  try:
    yield
  finally:
    os.environ.clear()
    os.environ.update(before)
