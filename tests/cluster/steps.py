"""What `up` and `down` say of their steps."""

import contextlib
import time
from collections.abc import Iterator


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
  """Prints the step and the seconds it took, once it is done."""
  before = time.monotonic()
  yield
  print(f"{time.monotonic() - before:6.1f} s  {what}", flush=True)
