"""Prints the most memory that this process ever had, in bytes."""

import json
import resource
import sys

import numpy as np

import keras_remote

_GB = 10**9


@keras_remote.run
def size(data: np.ndarray) -> int:
  return data.nbytes


if __name__ == "__main__":
  # Ones: what is zero need not be in memory.
  assert size(np.ones(_GB, np.uint8)) == _GB
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  print(json.dumps(peak if sys.platform == "darwin" else peak * 1024))
