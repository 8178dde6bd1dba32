"""Prints how long each of some calls takes, in milliseconds."""

import json
import time

import keras_remote

_CALLS = 10


@keras_remote.run
def noop() -> None: ...


if __name__ == "__main__":
  noop()  # The first one packs what all of them share.
  times = []
  for _ in range(_CALLS):
    began = time.perf_counter()
    noop()
    times.append((time.perf_counter() - began) * 1000)
  print(json.dumps(times))
