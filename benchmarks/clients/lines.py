"""Prints how long each line of a job is on its way, in milliseconds."""

import io
import json
import sys
import time

import keras_remote

_LINES = 30


class Arrivals(io.StringIO):
  """Notes when each line came that says when it left."""

  def __init__(self) -> None:
    super().__init__()
    self.delays: list[float] = []

  def write(self, text: str) -> int:
    arrived = time.time()
    self.delays += [(arrived - float(sent)) * 1000 for sent in text.split()]
    return len(text)


@keras_remote.run
def speak(lines: int) -> None:
  for _ in range(lines):
    print(time.time())
    time.sleep(0.05)


if __name__ == "__main__":
  out, sys.stdout = sys.stdout, Arrivals()
  speak(_LINES)
  delays, sys.stdout = sys.stdout.delays, out
  assert len(delays) == _LINES
  print(json.dumps(delays))
